"""Many connections, large messages, many fragments: bounded, and refused where they have to be."""

from __future__ import annotations

import asyncio
import json
import os
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.asyncio.server import ServerConnection, serve
from duplexer.dialects.hybi import frame
from duplexer.errors import ConnectionClosed, ConnectionClosedError, ProtocolError
from duplexer.limits import Limits
from tests.faults.peers import REQUEST, idle, port_of, program

MiB = 1 << 20


def resident(pid: int | str = "self") -> int:
    """The memory of a process, in bytes."""
    statm = Path(f"/proc/{pid}/statm").read_text()
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Ends:
    """A handler that reads, and keeps how connections ended."""

    def __init__(self) -> None:
        self.ends: list[ConnectionClosed] = []
        self.sizes: list[int] = []

    async def __call__(self, ws: ServerConnection) -> None:
        try:
            while True:
                self.sizes.append(len(await ws.recv()))
        except ConnectionClosed as exc:
            self.ends.append(exc)


# -- many connections ------------------------------------------------------------------------------

SERVER = """
    import asyncio, json, resource, sys
    from duplexer.asyncio.server import serve
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    ended = []
    async def handler(ws):
        await ws.wait_closed()
        ended.append(ws.close_code)
    async def main():
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async with serve(handler, "127.0.0.1", 0, backlog=4096, ping_interval=None) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            while line := (await reader.readline()).decode().strip():
                if line == "ping":
                    pongs = [await ws.ping() for ws in server.connections]
                    await asyncio.gather(*pongs)
                rss = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
                state = {"open": len(server.connections), "rss": rss,
                         "ok": ended.count(1000), "ended": len(ended)}
                print(json.dumps(state), flush=True)
    asyncio.run(main())
"""
CLIENTS = """
    import asyncio, resource, sys
    from duplexer.asyncio.client import connect
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    async def main():
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        gate = asyncio.Semaphore(200)
        async def dial(k):
            async with gate:
                return await connect("ws://127.0.0.1:PORT/", proxy=None, ping_interval=None,
                    open_timeout=60, local_addr=(f"127.0.0.{2 + k % 4}", 0))
        clients = await asyncio.gather(*[dial(k) for k in range(COUNT)])
        print("open", flush=True)
        await reader.readline()
        async def hang_up(ws):
            async with gate:
                await ws.close()
        await asyncio.gather(*[hang_up(ws) for ws in clients])
        print("closed", flush=True)
        await reader.readline()
    asyncio.run(main())
"""


@pytest.mark.compiled
@pytest.mark.timeout(180)
async def test_ten_thousand_connections() -> None:
    count = 10_000
    async with program(SERVER) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(await server.stdout.readline())

        async def ask(what: str) -> dict[str, int]:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(what.encode() + b"\n")
            state: dict[str, int] = json.loads(await server.stdout.readline())
            return state

        before = await ask("state")
        source = CLIENTS.replace("PORT", str(port)).replace("COUNT", str(count))
        async with program(source) as clients:
            assert clients.stdin is not None
            assert clients.stdout is not None
            assert await clients.stdout.readline() == b"open\n"
            opened = await ask("state")
            assert opened["open"] == count
            # The handler's task, its frames and all that the kernel does not hold.
            assert (opened["rss"] - before["rss"]) / count < 16 * 1024
            await ask("ping")
            clients.stdin.write(b"close\n")
            assert await clients.stdout.readline() == b"closed\n"
            state = await ask("state")
            while state["open"]:
                state = await ask("state")
            assert (state["ended"], state["ok"]) == (count, count)


@pytest.mark.both_builds
async def test_announced_sizes_are_not_believed() -> None:
    """Two thousand messages of 1 MiB are announced; one byte of each comes."""
    count = 2000 if _descriptors() > 4500 else 300
    announced = bytes.fromhex("82FF 0000000000100000 00000000 61")
    ends = Ends()
    async with serve(ends, "127.0.0.1", 0, backlog=4096) as server:
        peers = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\n")
            peers.append(writer)
        before = resident()
        for writer in peers:
            writer.write(announced)
        await asyncio.sleep(0.5)
        assert len(server.connections) == count
        assert resident() - before < count * 4096
        for writer in peers:
            writer.close()
        await idle(server)


def _descriptors() -> int:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# -- large messages --------------------------------------------------------------------------------

STREAM = """
    import asyncio
    from duplexer.asyncio.client import connect
    piece = bytes(range(256)) * 4096
    async def pieces():
        for _ in range(COUNT):
            yield piece
    async def main():
        async with connect("ws://127.0.0.1:PORT/", proxy=None, compression=None) as ws:
            await ws.send(pieces())
            print(await ws.recv(), flush=True)
            peak = [l for l in open("/proc/self/status") if l.startswith("VmHWM")][0].split()[1]
            print(peak, flush=True)
    asyncio.run(main())
"""


@pytest.mark.compiled
@pytest.mark.timeout(180)
async def test_gibibyte_in_fragments() -> None:
    count = 1024
    most = 0

    async def handler(ws: ServerConnection) -> None:
        nonlocal most
        size = checksum = 0
        async for piece in ws.recv_streaming():
            assert isinstance(piece, bytes)
            if not size or size // (64 * MiB) != (size + len(piece)) // (64 * MiB):
                most = max(most, resident())
            size += len(piece)
            checksum = zlib.crc32(piece, checksum)
        await ws.send(f"{size} {checksum}")
        await ws.wait_closed()

    limits = Limits(max_message=None, message_timeout=None)
    before = resident()
    async with serve(handler, "127.0.0.1", 0, limits=limits) as server:
        source = STREAM.replace("PORT", str(port_of(server))).replace("COUNT", str(count))
        async with program(source) as client:
            assert client.stdout is not None
            answer = await client.stdout.readline()
            checksum = 0
            for _ in range(count):
                checksum = zlib.crc32(bytes(range(256)) * 4096, checksum)
            assert answer.decode().split() == [str(count * MiB), str(checksum)]
            peak = int(await client.stdout.readline()) * 1024
    assert most - before < 32 * MiB
    assert peak < 100 * MiB


# -- messages that must be refused -----------------------------------------------------------------


async def refused(ends: Ends, data: bytes, limits: Limits, request: bytes = REQUEST) -> Any:
    """Send this to a server; gives its Close (code, reason), and how its side ended."""
    async with serve(ends, "127.0.0.1", 0, limits=limits) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(request)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        head = await reader.readexactly(2)
        assert head[0] == 0x88
        body = await reader.readexactly(head[1])
        writer.close()
        await idle(server)
    (end,) = ends.ends
    assert isinstance(end, ConnectionClosedError)
    assert isinstance(end.__cause__, ProtocolError)
    return int.from_bytes(body[:2], "big"), body[2:].decode(), end


@pytest.mark.both_builds
async def test_hundred_thousand_fragments() -> None:
    key = bytes(4)
    one = frame(b"x", 0, fin=False, mask=key)
    data = frame(b"x", 2, fin=False, mask=key) + one * 100_000
    ends = Ends()
    code, reason, end = await refused(ends, data, Limits())
    assert (code, end.__cause__.name) == (1008, "fragments-too-many")
    assert "max_fragments" in reason
    assert "Limits.max_fragments" in end.__cause__.advice
    assert ends.sizes == []


@pytest.mark.both_builds
async def test_bomb() -> None:
    """256 MiB of zeros in a quarter of one are refused when they have inflated to the limit."""
    deflater = zlib.compressobj(9, wbits=-15)
    packed = b"".join(deflater.compress(bytes(MiB)) for _ in range(256))
    packed += deflater.flush(zlib.Z_SYNC_FLUSH)
    data = frame(packed[:-4], 2, rsv=4, mask=bytes(4))
    extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    request = REQUEST[:-2] + extension
    before = resident()
    # As large as may be on the wire; what it inflates to is what has a limit.
    code, reason, _ = await refused(Ends(), data, Limits(max_message=1 * MiB), request)
    assert (code, "max_message" in reason) == (1009, True)
    assert resident() - before < 32 * MiB


@pytest.mark.both_builds
async def test_client_refuses_too() -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.send(bytes(3 * MiB))
        await ws.wait_closed()

    async with serve(handler, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{port_of(server)}/", proxy=None) as ws:
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
        assert caught.value.sent is not None
        assert caught.value.sent.code == 1009
        assert "max_size" in str(caught.value.__cause__)


@pytest.mark.both_builds
async def test_text_in_small_pieces_is_streamed() -> None:
    """Pieces that end within a character come out whole, whatever the reads were."""
    text = "aé€😀" * 20_000

    async def pieces() -> AsyncIterator[bytes]:
        data = text.encode()
        for k in range(0, len(data), 997):
            yield data[k : k + 997]

    async def handler(ws: ServerConnection) -> None:
        got = [piece async for piece in ws.recv_streaming()]
        await ws.send("".join(map(str, got)) == text and "same")

    async with serve(handler, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{port_of(server)}/", proxy=None) as ws:
            await ws.send(pieces(), text=True)
            assert await ws.recv() == "same"
