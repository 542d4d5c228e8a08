"""Dialling through a proxy under asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiofastnet

from duplexer.errors import InvalidProxy, ProxyError
from duplexer.proxies.connect import Proxy, parse_proxy, redacted, tunnel

if TYPE_CHECKING:
    import socket

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
    if proxy.scheme == "https":
        raise InvalidProxy(
            redacted(address), "TLS to the proxy itself is not supported here; use http://"
        )
    if proxy.scheme == "http":
        sock = await _http_tunnel(loop, proxy, uri, limits)
    else:
        sock = await _socks_tunnel(address, proxy, uri)
    try:
        kwargs.pop("host", None)
        kwargs.pop("port", None)
        await aiofastnet.create_connection(loop, lambda: connection, sock=sock, **kwargs)
    except BaseException:
        sock.close()
        raise


async def _http_tunnel(
    loop: asyncio.AbstractEventLoop, proxy: Proxy, uri: URI, limits: Limits
) -> socket.socket:
    sock = await _dial(loop, proxy.host, proxy.port)
    try:
        steps = tunnel(proxy, uri, limits)
        wanted = next(steps)
        while True:
            if wanted is None:
                # Nothing beyond the proxy's answer can be there: the target waits for us.
                wanted = steps.send(await loop.sock_recv(sock, 65536))
            else:
                await loop.sock_sendall(sock, wanted)
                wanted = next(steps)
    except StopIteration:
        return sock
    except BaseException:
        sock.close()
        raise


async def _dial(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    import socket

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


async def _socks_tunnel(address: str, proxy: Proxy, uri: URI) -> socket.socket:
    try:
        from python_socks import ProxyError as SocksError
        from python_socks import ProxyType
        from python_socks.async_.asyncio import Proxy as SocksProxy
    except ImportError as exc:
        raise InvalidProxy(
            redacted(address), "SOCKS needs the extra: pip install 'duplexer[socks]'"
        ) from exc
    kind = ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else ProxyType.SOCKS5
    remote_dns = proxy.scheme in ("socks5h", "socks4a")
    socks = SocksProxy(kind, proxy.host, proxy.port, proxy.username, proxy.password, remote_dns)
    try:
        sock: socket.socket = await socks.connect(uri.host, uri.port)
    except SocksError as exc:
        raise ProxyError(f"failed to connect through the SOCKS proxy: {exc}") from exc
    return sock
