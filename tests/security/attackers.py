"""What the attackers of this directory have in common: raw bytes, and patience."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable
from typing import Any

from tests.contract.peers import PING, TEXT, Raw

PATIENCE = 20.0  #: seconds for what takes milliseconds
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


def request(
    extra: str = "",
    *,
    path: str = "/",
    line: str | None = None,
    key: str = KEY,
    version: str = "13",
    host: str = "localhost",
) -> bytes:
    """A handshake, with what an attacker changes of it."""
    first = line or f"GET {path} HTTP/1.1"
    return (
        f"{first}\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: {version}\r\n{extra}\r\n"
    ).encode("latin-1")


def address_of(server: Any) -> tuple[str, int]:
    host, port = server.sockets[0].getsockname()[:2]
    return host, port


def dial(server: Any, receive_buffer: int | None = None) -> socket.socket:
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(PATIENCE)
    sock.connect(address_of(server))
    return sock


def read_to_end(sock: socket.socket) -> bytes:
    """All that comes until the other side closes, in whatever way."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while chunk := sock.recv(65536):
            data += chunk
    return data


def exchange(server: Any, *pieces: bytes) -> bytes:
    """Send ``pieces`` one after the other on a new connection; what comes back, to its end."""
    with dial(server) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):  # it need not listen to the end
            for piece in pieces:
                sock.sendall(piece)
        return read_to_end(sock)


def status(answer: bytes) -> int:
    """The status of the only response in ``answer``."""
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    return int(answer.split(b" ")[1])


def pieces_of(data: bytes, size: int) -> Iterable[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


def open_raw(server: Any, headers: str = "", receive_buffer: int | None = None) -> Raw:
    peer = Raw.dial(address_of(server), headers=headers, receive_buffer=receive_buffer)
    peer.sock.settimeout(PATIENCE)
    return peer


def attack(server: Any, *pieces: bytes, headers: str = "") -> tuple[int | None, str]:
    """Send ``pieces`` after a handshake; the Close that they earn."""
    peer = open_raw(server, headers)
    try:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                peer.send_bytes(piece)
        return peer.recv_close()
    finally:
        peer.close()


def echoes(server: Any) -> bool:
    """Whether an honest client gets its message back."""
    peer = open_raw(server)
    try:
        peer.send(TEXT, b"still here")
        while (frame := peer.recv()) is not None and frame.opcode == PING:
            pass
        return frame is not None and frame.payload == b"still here"
    finally:
        peer.close()


async def struck(front: Any, server: Any, bounds: dict[str, int]) -> None:
    """Wait until these bounds have struck, and no others: it is told when connections are gone."""
    with contextlib.suppress(TimeoutError):
        await front.until(lambda: server.struck == bounds, PATIENCE)
    assert server.struck == bounds


def head(opcode: int, size: int, *, fin: bool = True, rsv: int = 0, form: int = 0) -> bytes:
    """A masked frame's header, which may lie; the masking key is zero."""
    form = form or (size if size < 126 else 126 if size < 65536 else 127)
    data = bytes([(0x80 if fin else 0) | rsv << 4 | opcode, 0x80 | form])
    if form == 126:
        data += struct.pack("!H", size)
    elif form == 127:
        data += struct.pack("!Q", size)
    return data + bytes(4)
