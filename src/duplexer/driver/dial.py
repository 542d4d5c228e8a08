"""The steps of a client's way to an open WebSocket: a byte stream to the server, the handshake."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from typing import TYPE_CHECKING, Any

from duplexer.driver.reaching import resolve
from duplexer.driver.steps import Call, Connect, Disconnect, Read, StartTls, Write
from duplexer.errors import InvalidProxyReply, InvalidProxyStatus, ProxyError
from duplexer.http.h1 import ResponseReader
from duplexer.proxies.hops import Hop
from duplexer.proxies.routes import find_routes, may_block

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from duplexer.driver.connecting import ConnectBase
    from duplexer.driver.opening import Opening
    from duplexer.driver.steps import Route, RouteStep, Steps
    from duplexer.handshake.client import ClientHandshake
    from duplexer.limits import Limits
    from duplexer.proxies.address import Proxy
    from duplexer.proxies.routes import Routes

__all__ = ["new_client", "open_client", "route"]


def route(opening: Opening) -> Route:
    """A byte stream to where ``opening`` goes: direct, or through proxies; TLS for ``wss:``.

    Whatever they raise ends the attempt; the front then closes what it has.
    """
    uri = opening.uri
    routes = yield from _routes(opening)
    for i, proxies in enumerate(routes):
        try:
            if proxies:
                yield from _through(opening, proxies)
            else:
                yield Connect(opening.where)
            break
        except (InvalidProxyStatus, InvalidProxyReply, ssl.SSLCertVerificationError):
            raise  # somebody is there, and has the last word
        except (ProxyError, OSError) as exc:
            if i + 1 == len(routes):
                raise
            opening.base.logger.info("trying another way than the proxy named first: %s", exc)
            yield Disconnect()
            opening.leave_turns()
    if uri.secure:
        try:
            yield StartTls(opening.context, opening.server_hostname, True)
        except ssl.SSLCertVerificationError as exc:
            if opening.is_elsewhere:
                exc.add_note(
                    f"A redirect has led to {uri.shown}, and ssl= is for the first origin alone: "
                    "connect to that address itself with the ssl= that is meant for it."
                )
            raise


def _routes(opening: Opening) -> Generator[RouteStep, Any, Routes]:
    """The ways to go, in the order in which to try them."""
    if opening.where.is_direct:
        return [()]
    wanted, uri, limits = opening.base.proxy, opening.uri, opening.base.limits
    if may_block(wanted, uri):
        return (yield Call(find_routes, (wanted, uri, limits), blocking=True))  # type: ignore[no-any-return]
    return find_routes(wanted, uri, limits)


def _through(opening: Opening, proxies: Sequence[Proxy]) -> Route:
    """Through each of ``proxies`` in turn, the first being the nearest."""
    base = opening.base
    hops = [Hop(proxy, base.limits) for proxy in proxies]
    ends = [(proxy.host, proxy.port) for proxy in proxies[1:]]
    ends.append((opening.uri.host, opening.uri.port))
    while True:
        yield from _to_the_first(opening, proxies[0])
        for hop, (host, port) in zip(hops, ends, strict=True):
            if hop.proxy.secure:
                name = base.proxy_hostname or hop.proxy.host
                yield StartTls(base.proxy_tls(), name, False)
            if not hop.proxy.resolves:
                family = socket.AF_INET if hop.proxy.scheme == "socks4" else 0
                where = dataclasses.replace(
                    opening.where, host=host, port=port, family=family, local_addr=None
                )
                found = yield from resolve(where)
                host = found[0].address[0]
            try:
                is_open = yield from _carried_out(hop.open(host, port))
            except TimeoutError:
                raise  # of the opening as a whole
            except OSError as exc:
                raise ProxyError(
                    f"the connection to the proxy {hop.proxy} was lost: {exc}"
                ) from exc
            if not is_open:
                break  # it wants to hear more, over a new connection
        else:
            return
        yield Disconnect()
        opening.leave_turns()


def _to_the_first(opening: Opening, proxy: Proxy) -> Route:
    where = dataclasses.replace(opening.where, host=proxy.host, port=proxy.port)
    try:
        # Which addresses the server has is the proxy's to find out: each name counts as one.
        yield Connect(where, (opening.uri.host, opening.uri.port))
    except OSError as exc:
        raise ProxyError(f"failed to connect to the proxy {proxy}: {exc}") from exc


def _carried_out(
    exchange: Generator[bytes | None, bytes, bool],
) -> Generator[RouteStep, Any, bool]:
    """What a proxy's protocol yields, as steps."""
    try:
        wanted = next(exchange)
        while True:
            if wanted is None:
                wanted = exchange.send((yield Read()))
            else:
                yield Write(wanted)
                wanted = next(exchange)
    except StopIteration as end:
        return bool(end.value)


def open_client(connection: Any, handshake: ClientHandshake, limits: Limits) -> Steps:
    """Send the request, read the answer: ends in the agreement and the first bytes after it.

    Raises :exc:`~duplexer.errors.InvalidHandshake`; ``connection.response`` is set when there is
    an answer at all.
    """
    connection.request = handshake.request
    yield Write(handshake.request.serialize())
    reader = ResponseReader(limits)
    response = None
    while response is None:
        data = yield Read()
        response = reader.feed(data) if data else reader.feed_eof()
    connection.response = response
    return handshake.check(response), reader.rest


def new_client(base: ConnectBase, make: Any, stream: Any, handshake: ClientHandshake) -> Steps:
    """A connection on ``stream``, and ``open_client``: ends in it, and what that ends in."""
    connection = (base.create_connection or make)(stream, base.limits, base.logger)
    connection.staying = base.staying
    agreement, rest = yield from open_client(connection, handshake, base.limits)
    return connection, agreement, rest
