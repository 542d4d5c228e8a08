"""Dialling through a proxy under asyncio."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import aiofastnet

from duplexer.errors import InvalidProxy, ProxyError
from duplexer.proxies.address import Proxy, parse_proxy, redacted
from duplexer.proxies.hops import Hop

if TYPE_CHECKING:
    from duplexer.http.uri import URI
    from duplexer.limits import Limits

__all__ = ["dial_through"]


async def dial_through(
    loop: asyncio.AbstractEventLoop,
    address: str,
    uri: URI,
    connection: asyncio.BaseProtocol,
    limits: Limits,
    kwargs: dict[str, Any],
) -> None:
    """Connect ``connection`` to ``uri`` through the proxy at ``address``.

    ``kwargs`` is for the connection to the server: ``ssl`` and ``server_hostname`` among it.
    """
    proxy = parse_proxy(address)
    if proxy.secure:
        raise InvalidProxy(
            redacted(address), "TLS to the proxy itself is not supported here; use http://"
        )
    sock = await _tunnel(loop, proxy, uri, limits)
    try:
        kwargs.pop("host", None)
        kwargs.pop("port", None)
        await aiofastnet.create_connection(loop, lambda: connection, sock=sock, **kwargs)
    except BaseException:
        sock.close()
        raise


async def _tunnel(
    loop: asyncio.AbstractEventLoop, proxy: Proxy, uri: URI, limits: Limits
) -> socket.socket:
    hop = Hop(proxy, limits)
    host = uri.host
    if not proxy.resolves:
        infos = await loop.getaddrinfo(host, uri.port, type=socket.SOCK_STREAM)
        host = str(infos[0][4][0])
    while True:
        sock = await _dial(loop, proxy.host, proxy.port)
        steps = hop.open(host, uri.port)
        try:
            wanted = next(steps)
            while True:
                if wanted is None:
                    # Nothing beyond the proxy's answer can be there: the target waits for us.
                    wanted = steps.send(await loop.sock_recv(sock, 65536))
                else:
                    await loop.sock_sendall(sock, wanted)
                    wanted = next(steps)
        except StopIteration as end:
            if end.value:
                return sock
            sock.close()
        except BaseException:
            sock.close()
            raise


async def _dial(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    error: OSError | None = None
    for family, kind, proto, _, address in infos:
        sock = socket.socket(family, kind, proto)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            await loop.sock_connect(sock, address)
        except OSError as exc:
            sock.close()
            error = error or exc
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise ProxyError(f"failed to connect to the proxy {host}:{port}") from error
