"""Peers made of plain blocking sockets: they do on the wire exactly what a test says."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import os
import socket
import ssl
import struct
from typing import Any, Self

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclasses.dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0


def encode(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None
) -> bytes:
    """A frame on the wire (RFC 6455 5.2), written down once more so that it depends on nothing."""
    n = len(payload)
    bit = 0 if mask is None else 0x80
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", n)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", n)
    if mask is None:
        return head + payload
    return head + mask + xor(payload, mask)


def xor(data: bytes, mask: bytes) -> bytes:
    n = len(data)
    pattern = (mask * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")).to_bytes(n, "big")


def close_body(code: int, reason: str = "") -> bytes:
    return struct.pack("!H", code) + reason.encode()


def accept_key(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


class Raw:
    """One end of a connection past its handshake. Methods block, for 40 s at most."""

    def __init__(self, sock: socket.socket, *, client: bool) -> None:
        self.sock = sock
        self.client = client
        self.request = b""
        self.buffer = b""

    @classmethod
    def dial(
        cls,
        address: tuple[str, int],
        context: ssl.SSLContext | None = None,
        *,
        headers: str = "",
        receive_buffer: int | None = None,
        handshake: bool = True,
    ) -> Self:
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(40)
        try:
            sock.connect(address)
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=address[0])
            self = cls(sock, client=True)
            if handshake:
                self.sock.sendall(
                    f"GET / HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n"
                    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    f"Sec-WebSocket-Version: 13\r\n{headers}\r\n".encode()
                )
                head = self.read_head()
                assert head.startswith(b"HTTP/1.1 101 "), head
        except BaseException:
            sock.close()
            raise
        return self

    def read_head(self) -> bytes:
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return head + b"\r\n\r\n"

    # sending

    def frame(self, opcode: int, payload: bytes = b"", **kwargs: Any) -> bytes:
        mask = os.urandom(4) if self.client else None
        return encode(opcode, payload, mask=mask, **kwargs)

    def send(self, opcode: int, payload: bytes = b"", **kwargs: Any) -> None:
        self.sock.sendall(self.frame(opcode, payload, **kwargs))

    def send_bytes(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.close()

    def shutdown(self) -> None:
        """Send no more, but go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close in the way of a process that was killed with unread data."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # receiving

    def _need(self, n: int) -> bytes:
        while len(self.buffer) < n:
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError(f"the stream ended within a frame: {self.buffer[:40]!r}")
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def recv(self) -> Frame | None:
        """The next frame; ``None`` at the end of the stream, between two frames."""
        if not self.buffer:
            try:
                self.buffer = self.sock.recv(1 << 20)
            except ConnectionResetError:
                return None
            if not self.buffer:
                return None
        b0, b1 = self._need(2)
        assert bool(b1 & 0x80) is not self.client, "masked the wrong way round"
        n = b1 & 0x7F
        if n == 126:
            (n,) = struct.unpack("!H", self._need(2))
        elif n == 127:
            (n,) = struct.unpack("!Q", self._need(8))
        mask = self._need(4) if b1 & 0x80 else None
        payload = self._need(n)
        if mask is not None:
            payload = xor(payload, mask)
        return Frame(b0 & 0x0F, payload, bool(b0 & 0x80), b0 >> 4 & 7)

    def recv_all(self) -> list[Frame]:
        """All frames up to the end of the stream."""
        return list(iter(self.recv, None))

    def recv_close(self) -> tuple[int | None, str]:
        """Skip to the Close: its code and reason."""
        while (frame := self.recv()) is not None:
            if frame.opcode == CLOSE:
                if not frame.payload:
                    return None, ""
                return struct.unpack("!H", frame.payload[:2])[0], frame.payload[2:].decode()
        raise EOFError("no Close came")


class RawListener:
    """A listening socket; ``sockets`` is as on a server."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.settimeout(40)
        self.sockets = [self.sock]

    def accept(
        self, *, handshake: bool = True, headers: str = "", receive_buffer: int | None = None
    ) -> Raw:
        sock, _ = self.sock.accept()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(40)
        try:
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            peer = Raw(sock, client=False)
            peer.request = peer.read_head()
            if handshake:
                lines = peer.request.split(b"\r\n")
                key = next(
                    line.split(b":")[1].strip()
                    for line in lines
                    if line.lower().startswith(b"sec-websocket-key:")
                )
                peer.send_bytes(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                    + accept_key(key)
                    + b"\r\n"
                    + headers.encode()
                    + b"\r\n"
                )
        except BaseException:
            sock.close()
            raise
        return peer

    def close(self) -> None:
        self.sock.close()
