"""One proxy on the way, of whatever kind; several in a row make a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duplexer.proxies.connect import HttpTunnel
from duplexer.proxies.socks import socks_tunnel

if TYPE_CHECKING:
    from collections.abc import Generator

    from duplexer.limits import Limits
    from duplexer.proxies.address import Proxy

__all__ = ["Hop"]


class Hop:
    """The way through one proxy.

    It lives as long as one attempt to connect, and remembers what the proxy has asked for. Before
    :meth:`open` there is a connection to ``proxy.host`` and ``proxy.port``, through the hops before
    it, with TLS for ``proxy.host`` where ``proxy.secure`` says so.
    """

    def __init__(self, proxy: Proxy, limits: Limits) -> None:
        self.proxy = proxy
        self._http = HttpTunnel(proxy, limits) if proxy.scheme in ("http", "https") else None

    def open(self, host: str, port: int) -> Generator[bytes | None, bytes, bool]:
        """Ask the proxy for a tunnel to ``host`` (without brackets) and ``port``.

        Yields bytes to write, and ``None`` to be sent what came (``b""`` at the end). Where
        ``proxy.resolves`` is false, ``host`` has to be an IP address.

        Ends in ``True`` when the tunnel is there: nothing of what was received belongs to the
        target. Ends in ``False`` when the same is to be done once more over a new connection: the
        proxy has said what it wants to know, and the next :meth:`open` tells it.

        Raises :exc:`~duplexer.errors.ProxyError`.
        """
        if self._http is not None:
            return (yield from self._http.open(host, port))
        yield from socks_tunnel(self.proxy, host, port)
        return True
