"""Peers that mean harm, over and over: whenever the server has got rid of one it comes back.

``hostile COUNT PORT SEED``. The lines ``go`` and ``stop`` on the standard input begin and end it;
``stop`` is answered with a line of JSON on how often each of them was sent away. The end of the
input ends it all.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import random
import socket
import struct
import sys
import zlib
from collections.abc import Awaitable, Callable

from tests.soak.talk import orders, tell

#: Seconds in which they come, and in which one that was sent away comes back: not all in step.
REST = 2.0
#: Bytes that are taken from the socket before anybody asks for them.
ENOUGH = 1024
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


def frame(head: int, payload: bytes, length: int | None = None) -> bytes:
    """Masked with zeros. ``length`` is what it says of itself, true or not."""
    size = len(payload) if length is None else length
    if size < 126:
        return bytes([head, 0x80 | size]) + bytes(4) + payload
    if size < 65536:
        return struct.pack("!BBH", head, 0x80 | 126, size) + bytes(4) + payload
    return struct.pack("!BBQ", head, 0x80 | 127, size) + bytes(4) + payload


def bomb(size: int) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(bytes(size)) + squeeze.flush(zlib.Z_SYNC_FLUSH)[:-4]


FLOOD = frame(0x82, b"x") * 1000
BOMB = frame(0xC2, bomb(50 << 20))
LARGE = frame(0x82, random.randbytes(60_000))  # its echo is no shorter

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


async def drip(reader: Reader, writer: Writer) -> None:
    """A request that takes its time."""
    for byte in REQUEST:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.5)


async def _open(reader: Reader, writer: Writer) -> None:
    writer.write(REQUEST)
    await reader.readuntil(b"\r\n\r\n")


async def flood(reader: Reader, writer: Writer) -> None:
    """More messages than anybody can want."""
    await _open(reader, writer)
    reading = asyncio.ensure_future(_read_all(reader))
    try:
        while not reading.done():
            writer.write(FLOOD)
            await writer.drain()
            await asyncio.sleep(0)
    finally:
        reading.cancel()


async def deaf(reader: Reader, writer: Writer) -> None:
    """Asks for large answers, and never reads one."""
    await _open(reader, writer)
    while not reader.at_eof():
        writer.write(LARGE)
        await writer.drain()
        await asyncio.sleep(0.02)


async def lie(reader: Reader, writer: Writer) -> None:
    """Announces more than comes, or than may come."""
    await _open(reader, writer)
    length = random.choice([1 << 40, (1 << 63) + 5, 60_000])
    writer.write(frame(0x82, b"not that much", length))
    await _read_all(reader)


async def explode(reader: Reader, writer: Writer) -> None:
    """Fifty megabytes, well packed."""
    await _open(reader, writer)
    writer.write(BOMB)
    await _read_all(reader)


async def vanish(reader: Reader, writer: Writer) -> None:
    """Half-open: there, but never heard of again, whatever it is asked."""
    await _open(reader, writer)
    await _read_all(reader)


async def _read_all(reader: Reader) -> None:
    while await reader.read(65536):
        pass


KINDS: list[Callable[[Reader, Writer], Awaitable[None]]] = [
    drip,
    flood,
    deaf,
    lie,
    explode,
    vanish,
]


async def dial(i: int, port: int) -> socket.socket:
    """From an address of its own; the kernel takes little before anybody asks for it."""
    sock = socket.socket()
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind((f"127.9.{i // 250}.{i % 250 + 1}", 0))
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return sock


async def misbehave(i: int, port: int, sent_away: collections.Counter[str]) -> None:
    kind = KINDS[i % len(KINDS)]
    await asyncio.sleep(random.random() * REST)
    while True:
        with contextlib.suppress(OSError, EOFError):
            reader, writer = await asyncio.open_connection(sock=await dial(i, port), limit=ENOUGH)
            try:
                await kind(reader, writer)
            finally:
                writer.transport.abort()
        sent_away[kind.__name__] += 1
        await asyncio.sleep(random.random() * REST)


async def main(count: int, port: int) -> None:
    # They are meant to come from machines of their own: it is their bytes that the server has to
    # bear, not that they compete with it for a processor.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    lines = await orders()
    while (await lines.readline()).strip() == b"go":
        sent_away: collections.Counter[str] = collections.Counter()
        tasks = [asyncio.create_task(misbehave(i, port, sent_away)) for i in range(count)]
        await lines.readline()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tell(sent_away)


if __name__ == "__main__":
    random.seed(sys.argv[3])
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
