from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import sys
import time
import zlib

import pytest
import trio
import trio.testing
import trustme

from duplexer.core.closing import State
from duplexer.driver.progress import bytes_acked
from duplexer.errors import ConnectionClosedError, ConnectionClosedOK
from duplexer.limits import Limits
from duplexer.trio.client import connect
from duplexer.trio.connection import Connection
from duplexer.trio.server import serve
from tests.contract.peers import CLOSE, PING, TEXT, RawListener, close_body, encode
from tests.unit.trio import interrupts


async def lost(ws):
    with pytest.raises(ConnectionClosedError) as caught:
        while True:
            await ws.recv()
    return caught.value


# -- time, without waiting -------------------------------------------------------------------------


async def test_keepalive_for_an_hour(memory, autojump):
    async with memory.pair() as (client, server):
        started = trio.current_time()
        await trio.sleep(3600)
        assert client.state is server.state is State.OPEN
        assert client.session.latency == 0.0  # by this clock an answer takes no time
        await client.send("still there")
        assert await server.recv() == "still there"
        assert trio.current_time() - started >= 3600


async def test_a_silent_peer_is_reported_within_the_promise(autojump):
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake_hands, theirs)
        limits = Limits(ping_interval=20, ping_timeout=20)
        async with connect("ws://memory/", stream=ours, limits=limits, compression=None) as ws:
            started = trio.current_time()
            exc = await lost(ws)
            assert 18 <= trio.current_time() - started <= 41
            assert "ping_timeout" in str(exc.__cause__)


async def shake_hands(stream, data=b""):
    """The server's part of a handshake, and ``data`` right behind it."""
    from tests.contract.peers import accept_key

    request = b""
    while b"\r\n\r\n" not in request:
        request += await stream.receive_some()
    key = request.lower().index(b"sec-websocket-key: ") + 19
    answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(request[key : key + 24]) + b"\r\n\r\n"
    )
    await stream.send_all(answer + data)


async def test_a_close_that_is_not_answered_has_a_deadline(autojump):
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake_hands, theirs)
        async with connect("ws://memory/", stream=ours, close_timeout=5) as ws:
            started = trio.current_time()
            await ws.close()
            assert trio.current_time() - started == pytest.approx(5)
            assert isinstance((await lost(ws)).__cause__, TimeoutError)


async def test_a_peer_that_does_not_read_is_dropped_with_a_cause(autojump):
    ours, theirs = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake_hands, theirs)
        limits = Limits(send_timeout=30, ping_interval=None)
        async with connect("ws://memory/", stream=ours, limits=limits, compression=None) as ws:
            started = trio.current_time()
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.send(b"x" * 100_000)
            assert trio.current_time() - started == pytest.approx(30)
            assert "Limits.send_timeout" in caught.value.explain()


@pytest.fixture
def standing():
    return trio.testing.MockClock()  # it goes on when it is told to, and no network takes time


@pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_INFO")
async def test_a_peer_that_reads_slowly_is_not_dropped(standing):
    limits = Limits(send_timeout=30, ping_timeout=100)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        stream = await trio.open_tcp_stream(*listener.getsockname())
        peer, _ = listener.accept()
    with peer:
        peer.setblocking(False)
        theirs = trio.SocketStream(trio.socket.from_stdlib_socket(peer))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake_hands, theirs)
            ws = await connect("ws://127.0.0.1/", stream=stream, limits=limits, nursery=nursery)
            nursery.start_soon(send_and_hear_of_the_end, ws)
            while not ws.write_paused:
                await trio.lowlevel.checkpoint()
            for _ in range(20):  # of 20 s each, in which some 2 KB are read
                before = bytes_acked(stream.socket)
                patience = time.monotonic() + 40
                while bytes_acked(stream.socket) == before:
                    await theirs.receive_some(500)
                    assert time.monotonic() < patience and ws.state is State.OPEN
                standing.jump(20)
                await trio.testing.wait_all_tasks_blocked()
            assert ws.state is State.OPEN
            for _ in range(3):
                standing.jump(31)
                await trio.testing.wait_all_tasks_blocked()
            await ws.wait_closed()
            assert ws.state is State.CLOSED


async def send_and_hear_of_the_end(ws):
    with pytest.raises(ConnectionClosedError) as caught:
        await ws.send(bytes(10_000_000))
    assert "Limits.send_timeout" in caught.value.explain()


# -- nothing is torn -------------------------------------------------------------------------------


async def test_a_cancelled_send_leaves_no_half_frame(autojump):
    ours, theirs = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake_hands, theirs)
        limits = Limits(ping_interval=None, send_timeout=None)
        async with connect("ws://memory/", stream=ours, limits=limits, compression=None) as ws:
            with trio.move_on_after(1) as scope:
                await ws.send(b"x" * 200_000)
            assert scope.cancelled_caught
            with trio.move_on_after(1) as scope:
                await ws.send(b"not yet taken over")
            assert scope.cancelled_caught
            assert 200_000 < ws.buffered_amount < 201_000
            wire = bytearray()
            while len(wire) < 200_014:
                wire += await theirs.receive_some(50_000)
            assert len(wire) == 200_014  # the frame with its mask, whole, and nothing else
            await ws.send("next")
            assert len(await theirs.receive_some()) == 10
            await trio.testing.wait_all_tasks_blocked()
            assert ws.buffered_amount == 0
            ws.abort()


async def test_what_is_sent_leaves_though_its_sender_is_cancelled(memory):
    async with memory.pair() as (client, server):
        with trio.CancelScope() as scope:
            await client.send("x" * 10)
            scope.cancel()
            await client.send("not this")
        assert await server.recv() == "x" * 10


# -- leaving ---------------------------------------------------------------------------------------


async def test_cancelled_from_outside_it_says_goodbye_and_does_not_wait(memory, autojump):
    async with memory.served():
        started = trio.current_time()
        with trio.move_on_after(7):
            async with memory.connect() as ws:
                await ws.recv()
        assert trio.current_time() - started == pytest.approx(7)
        assert ws.state is State.CLOSED
        await memory.arrived[0].wait_closed()
        assert memory.arrived[0].close_code == 1001


async def test_cancelled_from_outside_while_the_peer_does_not_read(autojump):
    ours, theirs = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake_hands, theirs)
        started = trio.current_time()
        with trio.move_on_after(7):
            async with connect("ws://memory/", stream=ours, compression=None) as ws:
                await ws.recv()
        assert trio.current_time() - started < 7.2


async def test_abort_needs_no_await(memory):
    async with memory.pair() as (client, server):
        client.abort()
        assert (await lost(server)).rcvd is None
        await client.wait_closed()
        client.abort()
        assert client.lost


async def test_a_crash_inside_surfaces_as_itself(memory):
    async with memory.served():
        with pytest.raises(ZeroDivisionError):
            async with memory.connect() as ws:
                ws.take_in = lambda *args: 1 / 0
                await memory_speaks(memory)
                await ws.recv()


async def memory_speaks(memory):
    while not memory.arrived:
        await trio.lowlevel.checkpoint()
    await memory.arrived[-1].send("hello")


async def test_messages_before_a_breach_are_answered(autojump):
    ours, theirs = trio.testing.memory_stream_pair()
    bad = b"".join(encode(TEXT, b"%d" % i, mask=None) for i in range(5)) + b"\x83\x00"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake_hands, theirs, bad)
        async with connect("ws://memory/", stream=ours, compression=None) as ws:
            with pytest.raises(ConnectionClosedError):
                async for message in ws:
                    await ws.send(message)
            data = b""
            while len(data) < 5 * 7 + 8:
                data += await theirs.receive_some()
            assert [data[i * 7] for i in range(6)] == [0x81] * 5 + [0x88]
            await theirs.aclose()


async def test_a_peer_that_closes_and_leaves_at_once_is_read_to_its_end():
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        stream = await trio.open_tcp_stream(*listener.getsockname())
        peer, _ = listener.accept()
    with peer:
        peer.setblocking(False)
        theirs = trio.SocketStream(trio.socket.from_stdlib_socket(peer))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shake_hands, theirs)
            async with connect("ws://127.0.0.1/", stream=stream) as ws:
                await trio.testing.wait_all_tasks_blocked()
                await theirs.send_all(
                    encode(TEXT, b"last", mask=None)
                    + encode(PING, b"", mask=None) * 3
                    + encode(CLOSE, close_body(1000), mask=None)
                )
                await theirs.aclose()
                for _ in range(200):
                    try:
                        await ws.send(b"x" * 10_000)
                    except ConnectionClosedOK:
                        break
                assert await ws.recv() == "last"
                with pytest.raises(ConnectionClosedOK):
                    await ws.recv()


# -- TLS -------------------------------------------------------------------------------------------


async def test_tls_over_any_stream_even_tls(memory):
    authority = trustme.CA()
    theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("memory").configure_cert(theirs)
    authority.configure_trust(ours)

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    outer = trio.SSLListener(memory.listener, theirs)
    async with serve(echo, listeners=[outer], ssl=theirs):
        stream = trio.SSLStream(memory.listener.dial(), ours, server_hostname="memory")
        async with connect("wss://memory/", stream=stream, ssl=ours) as ws:
            for message in ("through two layers", b"x" * 300_000):
                await ws.send(message)
                assert await ws.recv() == message
        assert ws.close_code == 1000


# -- Ctrl-C ----------------------------------------------------------------------------------------


@pytest.fixture
def listening():
    with interrupts.listening():
        yield


@contextlib.asynccontextmanager
async def wired(extensions=None):
    """A client whose system takes little at a time, its peer, and what that reads to the end."""
    messages = []
    inflate = zlib.decompressobj(-15).decompress
    headers = f"Sec-WebSocket-Extensions: {extensions}\r\n" if extensions else ""

    async def be_peer(task_status):
        peer = await trio.to_thread.run_sync(lambda: listener.accept(headers=headers))
        with contextlib.closing(peer):
            task_status.started(peer)
            await trio.to_thread.run_sync(read, peer)

    def read(peer):
        while (frame := peer.recv()).opcode != CLOSE:
            compressed = frame.payload + b"\0\0\xff\xff"
            messages.append(inflate(compressed) if frame.rsv else frame.payload)
        peer.send(CLOSE, frame.payload)

    with contextlib.closing(RawListener(None)) as listener:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.connect(listener.sock.getsockname())
        async with trio.open_nursery() as nursery:
            peers = []

            async def accept():
                peers.append(await nursery.start(be_peer))

            limits = Limits(ping_interval=None)
            async with trio.open_nursery() as both:
                both.start_soon(accept)
                ws = await connect("ws://localhost/", sock=sock, limits=limits, nursery=nursery)
            async with ws:
                yield ws, peers[0], messages


@pytest.mark.parametrize(
    ("size", "extensions"), [(10, None), (30_000, None), (200, "permessage-deflate")]
)
async def test_an_interrupt_anywhere_in_send_tears_nothing(listening, size, extensions):
    done = []

    async def send(n):
        await ws.send(f"{n} ".ljust(size))
        done.append(n)

    async with wired(extensions) as (ws, _, messages):
        assert await interrupts.at_each_instruction(send) > 50
    numbers = [int(message) for message in messages]
    assert {len(message) for message in messages} == {size}
    assert numbers == sorted(set(numbers))  # nothing twice
    assert set(numbers) >= set(done)


def in_pieces():
    stream, data = None, ""

    async def recv(ws):
        nonlocal stream, data
        if stream is None:
            stream, data = ws.recv_streaming(), ""
        async for piece in stream:
            data += piece
        stream = None
        return data

    return recv


@pytest.mark.parametrize("way", ["recv()", "async for", "recv_streaming()"])
async def test_an_interrupt_anywhere_in_recv_loses_nothing(listening, way):
    ways = {"recv()": Connection.recv, "async for": anext, "recv_streaming()": in_pieces()}
    recv = ways[way]
    received = []

    async def receive(n):
        peer.send(TEXT, b"%d" % n)
        received.append(int(await recv(ws)))

    async with wired() as (ws, peer, _):
        last = await interrupts.at_each_instruction(receive)
        while received[-1] < last:
            received.append(int(await recv(ws)))
    assert received == [*range(1, last + 1)]
    assert last > 50


async def test_an_interrupt_reaches_into_what_pieces_are_made_by(listening):
    def lines():
        signal.raise_signal(signal.SIGINT)
        yield "never"

    async def later_lines():
        for line in lines():
            yield line

    async with wired() as (ws, _, messages):
        for pieces in lines(), later_lines():
            with pytest.raises(KeyboardInterrupt):
                await ws.send(pieces)
        await ws.send("next")
    assert messages == [b"next"]


async def test_a_breach_right_behind_the_handshake_is_told_at_once(autojump):
    ours, theirs = trio.testing.memory_stream_pair()
    behind = encode(TEXT, b"in order", mask=None) + encode(3, b"", mask=None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake_hands, theirs, behind)
        limits = Limits(ping_interval=None)
        async with connect("ws://memory/", stream=ours, limits=limits, compression=None) as ws:
            with trio.move_on_after(60):
                assert await theirs.receive_some() != b""  # though nobody receives
            assert ws.state is not State.OPEN
            assert await ws.recv() == "in order"
            ws.abort()
