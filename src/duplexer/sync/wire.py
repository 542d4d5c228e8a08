"""A socket, and the TLS on it: reading blocks for as long as it is told to, writing never.

The socket is a blocking one: a read is one system call, which the kernel itself ends when its time
is over (``SO_RCVTIMEO``), and a write is one that takes what fits (``MSG_DONTWAIT``). TLS is done
in memory, so that reading and writing need no lock while they wait.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from duplexer.driver import netio

if TYPE_CHECKING:
    from duplexer.driver.tls import TlsLayer

__all__ = ["FOREVER", "Wire", "wait"]

#: Seconds that are for ever, where the system wants a number.
FOREVER = 86400.0

#: As much as is read at once. Pages of it that no message ever reached take no memory.
BUFFER = 256 * 1024

#: TLS gives at most so much at once (RFC 8446 5.1).
RECORD = 16 * 1024

#: Windows has neither flag nor format: there the socket does not block, and ``select`` waits.
HAS_FLAGS = hasattr(socket, "MSG_DONTWAIT") and hasattr(select, "poll")
DONTWAIT = socket.MSG_DONTWAIT if HAS_FLAGS else 0

#: Seconds that a read may end too late (at most an eighth of its time), so that the kernel does
#: not have to be told anew for each one.
SLACK = 0.25


def wait(sock: socket.socket, *, read: bool, write: bool, timeout: float) -> bool:
    """Wait until ``sock`` can be read, or written, or ``timeout`` seconds are over.

    Says whether it can be written.
    """
    if not HAS_FLAGS:
        mine = [sock]
        _, writable, broken = select.select(mine * read, mine * write, mine * write, timeout)
        return bool(writable or broken)
    poll = select.poll()
    poll.register(sock, read * select.POLLIN | write * select.POLLOUT)
    # Rounded up: what is due in half a millisecond must not be asked for again and again.
    found = poll.poll(max(0.0, timeout) * 1000 + 1)
    return bool(found) and found[0][1] != select.POLLIN


class Wire:
    """One byte stream. Who reads is its user's to settle, and who writes."""

    __slots__ = (
        "_armed",
        "_fd",
        "_got",
        "_into",
        "_left",
        "_recv_into",
        "_send",
        "buffer",
        "layers",
        "pending",
        "plain",
        "sock",
        "torn",
        "total",
    )

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(HAS_FLAGS)
        self.sock = sock
        self._fd = netio.by_descriptor(sock) if HAS_FLAGS else -1
        self._recv_into = sock.recv_into
        self._send: Any = sock.send
        self.buffer = bytearray(BUFFER)
        self._into = (self.buffer,)
        self._got: list[int] = []
        self.layers: list[TlsLayer] = []
        self.plain = bytearray()
        self._armed = 0.0  # seconds after which the kernel ends a read
        self._left: deque[memoryview] = deque()  # what the kernel has not taken yet
        self.pending = 0  # its size
        self.total = 0  # bytes that were ever put, encrypted
        self.torn = False  # a write was interrupted (Ctrl-C): nobody knows how much of it went out

    def add(self, layer: TlsLayer) -> None:
        """From here on there is one more layer of TLS."""
        self.layers.append(layer)
        self.plain = bytearray(RECORD)

    @property
    def at_end(self) -> bool:
        """Whether the peer's TLS has said that nothing follows."""
        return any(layer.at_end for layer in self.layers)

    # -- reading -----------------------------------------------------------------------------------

    def read(self, timeout: float) -> None:
        """Wait for bytes for ``timeout`` seconds (0: look whether there are some), and read them.

        ``taken()`` says how many there were.
        """
        try:
            if timeout <= 0:
                if self._fd >= 0:
                    self._read_in_c(DONTWAIT)
                else:
                    self._got.append(self._recv_into(self.buffer, 0, DONTWAIT))
                return
            if not HAS_FLAGS:
                wait(self.sock, read=True, write=False, timeout=timeout)
            elif not timeout / 2 <= self._armed <= timeout + min(SLACK, timeout / 8):
                self._arm(timeout)
            if self._fd >= 0:
                self._read_in_c(0)
            else:
                # In one go: between the call and keeping what it gave nothing may be raised, not
                # even by Ctrl-C, or bytes were lost.
                self._got.extend(map(self._recv_into, self._into))
        except BlockingIOError:
            pass

    def _read_in_c(self, flags: int) -> None:
        n = netio.receive(self._fd, self.buffer, flags)
        if n >= 0:
            self._got.append(n)

    def read_some(self, size: int, timeout: float) -> bytes:
        """``size`` bytes at most, before there is TLS; ``TimeoutError`` if none come in time."""
        self.sock.settimeout(timeout)
        try:
            return self.sock.recv(size)
        finally:
            self.sock.setblocking(HAS_FLAGS)

    def is_full(self) -> bool:
        """Whether ``taken()`` has something to say."""
        return bool(self._got)

    def taken(self) -> int:
        """How many bytes ``read()`` has left in ``buffer``: 0 at the end of the stream, or -1."""
        return self._got.pop() if self._got else -1

    def _arm(self, timeout: float) -> None:
        # Rounded up to a microsecond, and that may be a whole second more: 1,000,000 are refused.
        value = struct.pack("@ll", *divmod(int(timeout * 1e6) + 1, 1_000_000))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self._armed = timeout

    def opened(self, n: int) -> bytes:
        """The first ``n`` bytes of ``buffer``, without the TLS round them."""
        if not self.layers:
            return bytes(self.buffer[:n])
        self.receive(n)
        pieces = []
        while k := self.open():
            pieces.append(bytes(self.plain[:k]))
        return b"".join(pieces)

    def receive(self, n: int) -> None:
        """Take the first ``n`` bytes of ``buffer`` through TLS; ``open()`` gives what they say."""
        data: Any = memoryview(self.buffer)[:n]
        last = len(self.layers) - 1
        for i in range(last):
            data = self.layers[i].decrypt(data)
            self._put(self.layers[i].outgoing(), self.layers[:i])
            if not data:
                return  # half a record
        self.layers[last].receive(data)

    def open(self) -> int:
        """So many bytes are in ``plain`` now; 0 when that was all."""
        layer = self.layers[-1]
        n = layer.read_into(self.plain)
        if not n:
            said = layer.outgoing()  # new keys, an alert
            if said:
                self._put(said, self.layers[:-1])
        return n

    # -- writing -----------------------------------------------------------------------------------

    def put(self, data: bytes | list[Any]) -> None:
        """Write as much as the kernel takes; the rest of it is ``pending``."""
        self.torn = True
        if isinstance(data, list) and (self.layers or not HAS_FLAGS):
            data = b"".join(data)
        if isinstance(data, list):
            size = sum(map(len, data))
            self.total += size
            n = 0 if self.pending else self._write_pieces(data)
            if n < size:
                self._keep(data, n)
        else:
            self._put(data, self.layers)
        self.torn = False

    def _put(self, data: bytes, layers: list[TlsLayer]) -> None:
        if layers:
            for layer in reversed(layers):
                data = layer.encrypt(data) if data else data
        if not data:
            return
        size = len(data)
        self.total += size
        n = 0 if self.pending else self._write(data)
        if n < size:
            self._keep([data], n)

    def _write(self, data: bytes) -> int:
        # As much of it as the kernel takes: so many bytes.
        if self._fd >= 0 and type(data) is bytes:
            n = netio.send(self._fd, data, DONTWAIT)
            return max(0, n)
        try:
            return self._send(data, DONTWAIT)  # type: ignore[no-any-return]
        except BlockingIOError:
            return 0

    def _write_pieces(self, pieces: list[Any]) -> int:
        # The first few of them, as much of that as the kernel takes.
        if self._fd >= 0:
            n = netio.send_pieces(self._fd, pieces, DONTWAIT)
            return max(0, n)
        try:
            return self.sock.sendmsg(pieces[:64], (), DONTWAIT)
        except BlockingIOError:
            return 0

    def _keep(self, pieces: list[Any], start: int) -> None:
        # What follows the first ``start`` bytes of them.
        for piece in pieces:
            view = memoryview(piece)[start:]
            start = max(0, start - len(piece))
            if view:
                self._left.append(view)
                self.pending += len(view)

    def flush(self) -> int:
        """Write what is pending, as far as the kernel takes it: so many bytes."""
        before = self.pending
        self.torn = True
        with contextlib.suppress(BlockingIOError):
            while self._left:
                if len(self._left) > 1 and HAS_FLAGS:
                    n = self.sock.sendmsg(list(islice(self._left, 64)), (), DONTWAIT)
                else:
                    n = self.sock.send(self._left[0], DONTWAIT)
                self.pending -= n
                while self._left and n >= len(self._left[0]):
                    n -= len(self._left.popleft())
                if n:
                    self._left[0] = self._left[0][n:]
        self.torn = False
        return before - self.pending

    def discard(self) -> None:
        """Nobody takes what is pending."""
        self._left.clear()
        self.pending = 0

    def finish(self) -> None:
        """TLS has words of its own for saying that nothing follows."""
        for i in range(len(self.layers), 0, -1):
            self._put(self.layers[i - 1].finish(), self.layers[: i - 1])

    def shutdown(self, how: int) -> None:
        """Say that nothing follows; with ``SHUT_RDWR`` whoever reads is woken up."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(how)
