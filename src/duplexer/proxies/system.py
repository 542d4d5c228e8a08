"""The proxy that the system's settings name: the environment's, or else the operating system's."""

from __future__ import annotations

import sys
import urllib.request
from typing import TYPE_CHECKING

from duplexer.proxies.bypass import bypassed

if TYPE_CHECKING:
    from duplexer.http.uri import URI

__all__ = ["system_proxy"]


def system_proxy(uri: URI) -> str | None:
    """The proxy for ``uri``, or the proxy configuration that chooses it (``pac+...``, ``wpad:``).

    Variables are those that all programs know, in small letters or capitals: that of the scheme
    (``ws_proxy``, ``wss_proxy``), then ``socks_proxy``, ``https_proxy`` and, for ``ws:``,
    ``http_proxy`` (RFC 6455 4.1), then ``all_proxy``; ``auto_proxy``, as Chromium has it, before
    them all. Only where there are none of these, the settings of macOS and Windows count.

    ``None`` where there is none, or where ``no_proxy`` exempts the host (see
    :func:`~duplexer.proxies.bypass.bypassed`).
    """
    proxies = urllib.request.getproxies_environment()
    if proxies:
        if bypassed(uri.host, uri.port, proxies.get("no", "")):
            return None
        configuration = proxies.get("auto")
    else:
        proxies = urllib.request.getproxies()
        if urllib.request.proxy_bypass(uri.host):
            return None
        configuration = _os_configuration()
    if configuration:
        return configuration if configuration == "wpad:" else f"pac+{configuration}"
    scheme = "wss" if uri.secure else "ws"
    for kind in (scheme, "socks", "https", "" if uri.secure else "http", "all"):
        proxy = proxies.get(kind)
        if proxy:
            return _with_scheme(kind, proxy)
    return None


def _with_scheme(kind: str, proxy: str) -> str:
    """The scheme may be missing, or ``socks``; and macOS says ``http`` whatever the proxy is."""
    scheme, slashes, address = proxy.rpartition("://")
    if scheme == "socks" or (kind == "socks" and scheme in ("http", "")):
        return f"socks5h://{address}"
    return proxy if slashes else f"http://{proxy}"


def _os_configuration() -> str | None:
    """The address of the PAC file in the settings of macOS or Windows, if PyPAC is there to ask."""
    if sys.platform not in ("darwin", "win32"):
        return None
    try:
        from pypac import os_settings
    except ImportError:  # the extra pac: without it, what the standard library sees has to do
        return None
    if sys.platform == "win32":
        url = os_settings.autoconfig_url_from_registry()
    else:
        url = os_settings.autoconfig_url_from_preferences()
    return str(url) if url else None
