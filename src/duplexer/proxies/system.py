"""The proxy that the system's settings name, as far as the standard library sees them."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duplexer.http.uri import URI

__all__ = ["system_proxy"]


def system_proxy(uri: URI) -> str | None:
    """The proxy for ``uri``: of its own scheme, then SOCKS, then HTTPS, then HTTP (RFC 6455 4.1).

    ``None`` where there is none, or where ``no_proxy`` names the host.
    """
    proxies = urllib.request.getproxies()
    if urllib.request.proxy_bypass(f"{uri.host}:{uri.port}"):
        return None
    scheme = "wss" if uri.secure else "ws"
    wanted = [scheme, "socks", "https"] if uri.secure else [scheme, "socks", "https", "http"]
    for kind in wanted:
        proxy = proxies.get(kind)
        if proxy:
            if kind == "socks" and proxy.startswith("http://"):
                return "socks5h://" + proxy.removeprefix("http://")
            return proxy
    return None
