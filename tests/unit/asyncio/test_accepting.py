"""Accepting on plain sockets; what users see of it is in tests/contract/."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

from duplexer.asyncio import accepting, tcp
from duplexer.asyncio.client import connect
from duplexer.asyncio.pump import pump_of
from duplexer.asyncio.server import Server, ServerConnection, serve
from duplexer.driver import netio
from duplexer.errors import InvalidHandshake, InvalidStatus
from duplexer.limits import Limits
from tests.unit.asyncio.conftest import REQUEST, echo

pytestmark = pytest.mark.skipif(not tcp.available(), reason="needs epoll")

PREAMBLE = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"


class Accepted:
    """Counts what is accepted, and closes it."""

    def __init__(self) -> None:
        self.made = 0
        self.changed = asyncio.Event()

    def __call__(self) -> Any:
        from tests.unit.asyncio.test_tcp import Recording

        accepted = self

        class Closing(Recording):
            def connection_made(self, transport: Any) -> None:
                accepted.made += 1
                accepted.changed.set()
                transport.abort()

        return Closing(asyncio.get_running_loop())

    async def until(self, count: int) -> None:
        async with asyncio.timeout(40):
            while self.made < count:
                self.changed.clear()
                await self.changed.wait()


async def start(accepted: Accepted, **kwargs: Any) -> accepting.Acceptor:
    loop = asyncio.get_running_loop()
    sockets = await accepting.listen(loop, Limits(), unix=False, host="127.0.0.1", port=0, **kwargs)
    poller = tcp.Poller(loop, pump_of(loop).buffer)
    logger = logging.getLogger("duplexer.test")
    acceptor = accepting.Acceptor(loop, poller, accepted, sockets, 10, logger)
    await acceptor.start_serving()
    return acceptor


@pytest.mark.every_loop
async def test_it_accepts_until_it_is_closed() -> None:
    accepted = Accepted()
    acceptor = await start(accepted)
    address = acceptor.sockets[0].getsockname()
    for _ in range(3):
        socket.create_connection(address).close()
    await accepted.until(3)
    assert acceptor.is_serving()
    acceptor.close()
    acceptor.close()
    await acceptor.wait_closed()
    assert not acceptor.is_serving()
    assert acceptor.sockets == ()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


async def test_what_is_accepted_needs_no_delay() -> None:
    acceptor = await start(Accepted())
    option = acceptor.sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert option == 1
    acceptor.close()


async def test_serve_forever_ends_closed() -> None:
    acceptor = await start(Accepted())
    task = asyncio.create_task(acceptor.serve_forever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert acceptor.sockets == ()


async def test_it_pauses_when_descriptors_run_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accepted = Accepted()
    monkeypatch.setattr(accepting, "PAUSE", 0.05)
    failures = [OSError(errno.EMFILE, "Too many open files"), ConnectionAbortedError()]

    class Failing:
        @staticmethod
        def accept(fd: int) -> Any:
            if failures:
                raise failures.pop(0)
            return netio.accept(fd)

    monkeypatch.setattr(accepting, "netio", Failing)
    acceptor = await start(accepted)
    with socket.create_connection(acceptor.sockets[0].getsockname()):
        await accepted.until(1)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "accepting pauses" in caplog.text
    assert acceptor.is_serving()
    acceptor.close()


async def test_a_connection_that_cannot_be_made_costs_no_descriptor() -> None:
    reported: list[dict[str, Any]] = []
    seen = asyncio.Event()

    def on_error(_: Any, context: dict[str, Any]) -> None:
        reported.append(context)
        seen.set()

    def fail() -> Any:
        raise ZeroDivisionError

    asyncio.get_running_loop().set_exception_handler(on_error)
    acceptor = await start(fail)  # type: ignore[arg-type]
    with socket.create_connection(acceptor.sockets[0].getsockname()) as client:
        async with asyncio.timeout(40):
            await seen.wait()
        assert isinstance(reported[0]["exception"], ZeroDivisionError)
        assert client.recv(1) == b""  # it was closed
    acceptor.close()


async def test_a_socket_that_is_given_is_used_itself() -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as given:
        assert await accepting.listen(
            loop, Limits(), unix=False, sock=given, host=None, port=None
        ) == [given]
        with pytest.raises(ValueError, match="cannot be given together"):
            await accepting.listen(loop, Limits(), unix=False, sock=given, host="127.0.0.1", port=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wrong:
        with pytest.raises(ValueError, match="a stream socket was expected"):
            await accepting.listen(loop, Limits(), unix=False, sock=wrong)


@pytest.mark.parametrize("epoll", [True, False])
async def test_several_sockets_with_tls_are_one_server(
    epoll: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not epoll:
        monkeypatch.setattr(tcp, "available", lambda: False)
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    uris = [f"wss://127.0.0.1:{sock.getsockname()[1]}" for sock in sockets]
    async with serve(echo, "elsewhere.invalid", 1, ssl=context).on(sockets) as server:
        assert server.is_serving() and len(server.sockets) == 2
        await server.start_serving()
        for uri in uris:
            async with connect(uri, proxy=None, ssl=trusting) as ws:
                await ws.send("x")
                assert await ws.recv() == "x"
    assert not server.is_serving()


async def test_who_is_one_too_many_where_accepting_is_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp, "available", lambda: False)
    async with serve(echo, "127.0.0.1", 0, limits=Limits(max_per_address=1)) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with connect(uri, proxy=None) as ws:
            with pytest.raises((InvalidHandshake, OSError)):
                await connect(uri, proxy=None)
            await ws.send("x")
            assert await ws.recv() == "x"
        assert server.struck == {"max_per_address": 1}


async def test_the_time_for_the_request_is_counted_from_accepting() -> None:
    """TLS took all but an instant of it: nothing is left for the request."""
    made: list[ServerConnection] = []

    class Late(ServerConnection):
        def __init__(self, server: Server) -> None:
            super().__init__(server)
            made.append(self)

    async with serve(echo, "127.0.0.1", 0, create_connection=Late, open_timeout=3600) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        async with asyncio.timeout(40):
            while not made or made[0].transport is None:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.001)
            made[0].count_from(time.monotonic() - 3600)
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert server.struck == {"open_timeout": 1}


async def test_a_peer_that_leaves_within_tls_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    quiet: Any = accepting._Quiet(loop, logging.getLogger("duplexer.test"))
    with caplog.at_level(logging.DEBUG):
        for exc in (ConnectionResetError, ConnectionResetError(), ssl.SSLError()):
            quiet.call_exception_handler({"message": "SSL handshake failed", "exception": exc})
    assert len(caplog.records) == 3 and not complaints
    quiet.call_exception_handler({"message": "a bug", "exception": ValueError()})
    assert len(complaints) == 1
    assert quiet.get_debug == loop.get_debug


@contextlib.asynccontextmanager
async def talking(server: Server) -> AsyncIterator[socket.socket]:
    """Somebody who has connected, at the first byte."""
    with socket.create_connection(server.sockets[0].getsockname()) as sock:
        sock.setblocking(False)
        yield sock


async def answer_to(sock: socket.socket, request: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, request)
    async with asyncio.timeout(40):
        return await loop.sock_recv(sock, 4096)


async def until_waiting(server: Server, count: int) -> None:
    async with asyncio.timeout(40):
        while len(server.server._tasks) < count:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.001)


async def test_the_proxy_protocol_goes_on_while_the_server_drains() -> None:
    release = asyncio.Event()

    async def stay(ws: Any) -> None:
        await release.wait()

    async with serve(stay, "127.0.0.1", 0, proxy_protocol=["127.0.0.1"]) as server:
        async with talking(server) as inside, talking(server) as outside:
            answer = await answer_to(inside, PREAMBLE + REQUEST)
            assert answer.startswith(b"HTTP/1.1 101 ")
            await until_waiting(server, 1)
            draining = asyncio.create_task(server.drain(0.0))
            async with asyncio.timeout(40):
                while server.sockets:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0)
            assert (await answer_to(outside, PREAMBLE + REQUEST)).startswith(b"HTTP/1.1 503 ")
            outside.close()
            release.set()
            inside.close()
            await asyncio.wait_for(draining, 40)


async def test_tls_goes_on_while_the_server_drains() -> None:
    release = asyncio.Event()

    async def stay(ws: Any) -> None:
        await release.wait()

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serve(stay, "127.0.0.1", 0, ssl=context) as server:
        uri = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with connect(uri, proxy=None, ssl=trusting), talking(server) as outside:
            await until_waiting(server, 1)
            draining = asyncio.create_task(server.drain(0.0))
            async with asyncio.timeout(40):
                while server.sockets:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0)
            with pytest.raises(InvalidStatus, match="503"):
                await connect(uri, sock=outside, proxy=None, ssl=trusting)
            release.set()
            await asyncio.wait_for(draining, 40)


async def test_who_is_dropped_before_the_first_step_costs_no_descriptor() -> None:
    limits = Limits(max_opening=1)
    async with serve(echo, "127.0.0.1", 0, proxy_protocol=["127.0.0.1"], limits=limits) as server:
        async with talking(server) as sock:
            server.server.accept_rest()
            (task,) = server.server._tasks
            server.server.drop()
            async with asyncio.timeout(40):
                await asyncio.wait([task])
            assert task.cancelled()
            assert await answer_to(sock, b"") == b""  # it was closed
        async with talking(server) as sock:  # and its place is free
            assert (await answer_to(sock, PREAMBLE + REQUEST)).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("leave", ["close", "drain"])
async def test_a_whole_request_that_waits_in_the_kernel_is_answered(leave: str) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        socks = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(20)]
        for sock in socks:  # the loop has not had its turn: nobody is accepted
            sock.sendall(REQUEST)
        answers = [asyncio.create_task(asyncio.to_thread(last_words, sock)) for sock in socks]
        async with asyncio.timeout(40):
            if leave == "drain":
                await server.drain(0.0)
            server.close()
            await server.wait_closed()
        for answer in await asyncio.gather(*answers):
            assert answer.startswith(b"HTTP/1.1 503 ")


def last_words(sock: socket.socket) -> bytes:
    """What comes, before we leave too."""
    with sock:
        sock.settimeout(40)
        return sock.recv(4096)


async def test_hanging_up_tells_whether_something_is_left_to_be_written() -> None:
    loop = asyncio.get_running_loop()
    for size, is_flushed in ((0, True), (1 << 24, False)):
        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
            transport.write(bytes(size))
            assert accepting.hang_up(transport) is is_flushed
            assert transport.is_closing()
            transport.abort()
            await asyncio.sleep(0)  # it closes its socket in the loop's next turn
