"""Dialling: which address wins, through whom, over what; and that nothing is left open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import truststore

from duplexer.asyncio import tcp
from duplexer.asyncio.client import connect
from duplexer.asyncio.dialling import Dialler
from duplexer.driver.tls import default_context
from duplexer.driver.turns import TURNS
from duplexer.errors import InvalidMessage, InvalidProxy, InvalidProxyStatus, ProxyError
from duplexer.limits import Limits
from tests.unit.asyncio.conftest import Serving

pytestmark = pytest.mark.every_loop


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nobody would set an event
            await asyncio.sleep(0.002)


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# -- which address -------------------------------------------------------------------------------


def sockets() -> set[str]:
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(fd.stat().st_mode):
                found.add(str(fd.readlink()))
    return found


@pytest.fixture
def hole() -> Iterator[tuple[str, int]]:
    """An address that never answers: a listener whose queue is full."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = listener.getsockname()
    waiting = []
    for _ in range(3):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(address)
        waiting.append(one)
    yield address
    for one in (listener, *waiting):
        one.close()


def closed_port() -> tuple[str, int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
    return address


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    async def getaddrinfo(self: Any, *args: Any, **kwargs: Any) -> Any:
        return infos

    loop = type(asyncio.get_running_loop())
    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


def address_of(uri: str) -> tuple[str, int]:
    host, _, port = uri.removeprefix("ws://").rstrip("/").partition(":")
    return host, int(port)


async def test_an_address_that_refuses_is_passed_over(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as (_, uri):
        resolve_to(monkeypatch, closed_port(), closed_port(), address_of(uri))
        async with connect("ws://example.com/", proxy=None) as ws:
            await ws.send("Hello")
            assert await ws.recv() == "Hello"


@pytest.mark.skipif(not tcp.available(), reason="needs epoll")
async def test_an_address_that_is_silent_is_overtaken(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, hole: tuple[str, int]
) -> None:
    async with serving() as (_, uri):
        before = sockets()
        resolve_to(monkeypatch, hole, address_of(uri))
        limits = Limits(happy_eyeballs_delay=0.01)
        async with connect("ws://example.com/", proxy=None, limits=limits) as ws:
            assert ws.remote_address == address_of(uri)
        await until(lambda: sockets() <= before)


async def test_all_addresses_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = closed_port(), closed_port()
    resolve_to(monkeypatch, first, second)
    with pytest.raises(ConnectionRefusedError) as caught:
        await connect("ws://example.com/", proxy=None)
    for host, port in (first, second):
        assert f"{host}:{port}: Connection refused" in str(caught.value)
    with pytest.raises(ExceptionGroup) as group:
        await connect("ws://example.com/", proxy=None, all_errors=True)
    assert len(group.value.exceptions) == 2


@pytest.mark.skipif(not tcp.available(), reason="needs epoll")
@pytest.mark.parametrize("addresses", [1, 3])
async def test_cancelled_while_dialling(
    monkeypatch: pytest.MonkeyPatch, hole: tuple[str, int], addresses: int
) -> None:
    before = sockets()
    resolve_to(monkeypatch, *[hole] * addresses)
    limits = Limits(happy_eyeballs_delay=0.01)
    task = asyncio.ensure_future(connect("ws://example.com/", proxy=None, limits=limits)._connect())
    await until(lambda: len(sockets() - before) == addresses)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sockets() <= before
    with pytest.raises(TimeoutError, match="opening handshake"):
        await connect("ws://example.com/", proxy=None, limits=limits, open_timeout=0.05)
    assert sockets() <= before


@pytest.mark.skipif(not tcp.available(), reason="needs epoll")
@pytest.mark.parametrize("secure", [False, True])
async def test_cancelled_after_dialling(secure: bool) -> None:
    """The server accepts, and says nothing, neither in TLS nor in HTTP."""
    before = sockets()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        scheme = "wss" if secure else "ws"
        dialling = connect(f"{scheme}://127.0.0.1:{port}/", proxy=None)
        task = asyncio.ensure_future(dialling._connect())
        accepted, _ = await asyncio.to_thread(listener.accept)
        with accepted:
            assert await asyncio.to_thread(accepted.recv, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    await until(lambda: sockets() <= before)


async def test_from_an_address(serving: Serving) -> None:
    seen = []

    async def handler(ws: Any) -> None:
        seen.append(ws.remote_address)

    async with serving(handler) as (_, uri):
        async with connect(uri, proxy=None, local_addr=("127.0.0.1", 0)) as ws:
            assert await ws.wait_closed() is None
            assert seen[0][0] == "127.0.0.1"
        with pytest.raises(OSError, match="family"):
            await connect(uri, proxy=None, local_addr=("::1", 0))
    with pytest.raises(OSError):  # an IPv4 address is none of IPv6
        await connect(uri, proxy=None, family=socket.AF_INET6)


async def test_a_unix_socket_whose_queue_is_full(serving: Serving, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        first = socket.socket(socket.AF_UNIX)
        first.connect(path)
        task = asyncio.ensure_future(connect("ws://localhost/", path=path)._connect())
        await turns()
        assert not task.done()
        for _ in range(2):
            accepted, _ = await asyncio.to_thread(listener.accept)
            accepted.close()
        first.close()
        with pytest.raises((OSError, InvalidMessage)):  # it got through, to be hung up on
            await task


# -- a socket of the user's ----------------------------------------------------------------------


async def test_a_socket_that_is_connected(serving: Serving) -> None:
    async with serving() as (_, uri):
        sock = socket.create_connection(address_of(uri))
        async with connect(uri, sock=sock) as ws:
            await ws.send("Hello")
            assert await ws.recv() == "Hello"
            assert sock.getpeername() == address_of(uri)
        await until(lambda: sock.fileno() == -1)


async def test_sockets_that_do_not_fit() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(ValueError, match="stream"):
            await connect("ws://example.com/", sock=datagrams)
    unconnected = socket.socket()
    with pytest.raises(OSError):
        await connect("ws://example.com/", sock=unconnected)
    assert unconnected.fileno() == -1
    left, right = socket.socketpair()
    wrapped = ssl.create_default_context().wrap_socket(
        left, server_hostname="x", do_handshake_on_connect=False
    )
    with wrapped, right, pytest.raises(TypeError, match="SSLSocket"):
        await connect("ws://example.com/", sock=wrapped)


# -- turns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, None])
async def test_so_many_at_a_time(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    monkeypatch.setattr("duplexer.driver.opening.is_counted", lambda address: True)
    inside: list[int] = []
    highest = 0
    go_on = asyncio.Event()

    async def process_request(ws: Any, request: Any) -> None:
        nonlocal highest
        inside.append(1)
        highest = max(highest, len(inside))
        await go_on.wait()
        inside.pop()

    limits = Limits(max_connecting=most, close_timeout=None)
    async with serving(process_request=process_request) as (_, uri):
        tasks = [
            asyncio.ensure_future(connect(uri, proxy=None, limits=limits)._connect())
            for _ in range(5)
        ]
        await until(lambda: len(inside) == (most or 5))
        await turns()
        go_on.set()
        for ws in await asyncio.gather(*tasks):
            await ws.close()
    assert highest == (most or 5)
    assert TURNS.enter(address_of(uri), 1).granted  # none was kept
    TURNS.forget()


async def test_standing_in_line_does_not_count(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duplexer.driver.opening.is_counted", lambda address: True)
    limits: list[asyncio.Timeout] = []

    class Watched(Dialler):
        def __init__(self, base: Any, opening: Any, limit: asyncio.Timeout) -> None:
            super().__init__(base, opening, limit)
            limits.append(limit)

    class Connect(connect):
        dialler = Watched

    async with serving() as (_, uri):
        held = TURNS.enter(address_of(uri), 1)
        waiting = asyncio.ensure_future(
            Connect(uri, proxy=None, limits=Limits(max_connecting=1))._connect()
        )
        await until(lambda: limits and limits[0].when() is None)
        gone = asyncio.ensure_future(
            Connect(uri, proxy=None, limits=Limits(max_connecting=1))._connect()
        )
        await until(lambda: len(limits) == 2 and limits[1].when() is None)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        held.leave()
        async with await waiting as ws:
            await ws.send("Hello")
            assert await ws.recv() == "Hello"
        assert limits[0].when() is not None  # it ran on for the rest of the opening
        assert TURNS.enter(address_of(uri), 1).granted
    TURNS.forget()


async def test_the_time_runs_on_when_one_that_waited_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("duplexer.driver.opening.is_counted", lambda address: True)
    taken = closed_port()
    held = TURNS.enter(taken, 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        resolve_to(monkeypatch, taken, silent.getsockname())
        limits = Limits(open_timeout=0.3, happy_eyeballs_delay=0.01)
        async with asyncio.timeout(30):
            with pytest.raises(TimeoutError, match="opening handshake"):
                await connect("ws://example.com/", proxy=None, limits=limits)
    held.leave()
    TURNS.forget()


# -- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_client_certificates(serving: Serving, authority: trustme.CA) -> None:
    demanding = server_tls(authority)
    demanding.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(demanding)
    async with serving(ssl=demanding) as (_, uri):
        uri = uri.replace("ws:", "wss:")
        known = client_tls(authority)
        authority.issue_cert("ada@example.com").configure_cert(known)
        async with connect(uri, proxy=None, ssl=known) as ws:
            await ws.send("Hello")
            assert await ws.recv() == "Hello"
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        with pytest.raises(OSError):
            await connect(uri, proxy=None, ssl=client_tls(authority))


async def test_contexts_that_verify_in_python_are_respected(
    serving: Serving, authority: trustme.CA, tmp_path: Path
) -> None:
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    offering = server_tls(authority)
    offering.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(ssl=offering) as (_, uri):
        uri = uri.replace("ws:", "wss:")
        context = default_context()
        assert isinstance(context, truststore.SSLContext)
        context.load_verify_locations(pem)
        async with connect(uri, proxy=None, ssl=context) as ws:
            tls = ws.transport.get_extra_info("ssl_object")
            assert tls.selected_alpn_protocol() == "http/1.1"
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(uri, proxy=None, ssl=default_context())


# -- proxies -------------------------------------------------------------------------------------


TUNNEL = b"HTTP/1.1 200 OK\r\n\r\n"


@asynccontextmanager
async def proxy(
    answer: bytes, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Its address, and the requests that it saw; it forwards after a 200."""
    requests: list[bytes] = []
    tasks: set[asyncio.Task[Any]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if answer == TUNNEL:
            host, _, port = requests[-1].split()[1].decode().rpartition(":")
            onward = await asyncio.open_connection(host, int(port))
            await asyncio.gather(forward(reader, onward[1]), forward(onward[0], writer))
            with contextlib.suppress(OSError):
                await onward[1].wait_closed()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    scheme = "http" if context is None else "https"
    async with server:
        yield f"{scheme}://user:pass@127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
    await asyncio.gather(*tasks)
    await turns()


async def test_through(serving: Serving) -> None:
    async with (
        serving() as (_, uri),
        proxy(TUNNEL) as (address, requests),
        connect(uri, proxy=address) as ws,
    ):
        await ws.send("Hello")
        assert await ws.recv() == "Hello"
        assert requests[0].startswith(b"CONNECT 127.0.0.1:")
        assert b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in requests[0]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", InvalidProxyStatus),
        (b"", ProxyError),
        (b"SSH-2.0\r\n", ProxyError),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", ProxyError),
    ],
)
async def test_refused(answer: bytes, error: type[Exception]) -> None:
    async with proxy(answer) as (address, _):
        with pytest.raises(error):
            await connect("ws://example.invalid/", proxy=address)


@pytest.mark.parametrize("address", ["ftp://a", "http://["])
async def test_what_cannot_be_gone_through(address: str) -> None:
    with pytest.raises(InvalidProxy) as raised:
        await connect("ws://example.invalid/", proxy=address)
    assert "secret" not in str(raised.value)


async def test_nobody_there() -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(ProxyError, match="failed to connect"):
        await connect("ws://example.invalid/", proxy=f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("secure", [False, True])
async def test_a_proxy_over_tls_that_agrees_and_leaves(authority: trustme.CA, secure: bool) -> None:
    uri = "wss://localhost/" if secure else "ws://localhost/"
    context = server_tls(authority)
    async with proxy(b"HTTP/1.1 200 Fine\r\n\r\n", context) as (address, _):
        with pytest.raises((ProxyError, ConnectionError)):  # and no time-out
            await connect(uri, proxy=address, proxy_ssl=client_tls(authority), open_timeout=60)


@pytest.mark.parametrize("secure", [False, True])
async def test_through_a_proxy_over_tls(
    serving: Serving, authority: trustme.CA, secure: bool
) -> None:
    context = server_tls(authority)
    trusting = client_tls(authority)
    async with (
        serving(ssl=context if secure else None, max_size=None) as (_, uri),
        proxy(TUNNEL, context) as (address, requests),
        connect(
            uri.replace("ws:", "wss:") if secure else uri,
            proxy=address,
            proxy_ssl=trusting,
            ssl=trusting if secure else None,
            compression=None,
            max_size=None,
        ) as ws,
    ):
        message = os.urandom(1 << 20)
        await ws.send(message)
        assert await ws.recv() == message
        assert len(requests) == 1


async def test_a_chain_of_proxies_over_tls(serving: Serving, authority: trustme.CA) -> None:
    context = server_tls(authority)
    trusting = client_tls(authority)
    async with (
        serving(ssl=context) as (_, uri),
        proxy(TUNNEL, context) as (first, asked_first),
        proxy(TUNNEL, context) as (second, asked_second),
        connect(
            uri.replace("ws:", "wss:"),
            proxy=[first, second],
            proxy_ssl=trusting,
            ssl=trusting,
        ) as ws,
    ):
        await ws.send("Hello")
        assert await ws.recv() == "Hello"
        assert f"CONNECT 127.0.0.1:{second.rpartition(':')[2]} ".encode() in asked_first[0]
        assert (
            f"CONNECT 127.0.0.1:{uri.rstrip('/').rpartition(':')[2]} ".encode() in (asked_second[0])
        )


async def test_a_proxy_over_tls_whose_certificate_is_wrong(authority: trustme.CA) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with proxy(b"", server_tls(authority)) as (address, requests):
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect("ws://example.invalid/", proxy=address)
        await turns()
        assert requests == []
