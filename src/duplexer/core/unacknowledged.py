"""What was sent and may have been lost: kept until the peer has acknowledged it.

WebSocket acknowledges nothing but Pings, and those in their order: a Pong says that the peer's
library has read all that was sent before the Ping (RFC 6455 5.5.2; whether its application has is
another matter). So every Ping marks how far the messages have come, and its Pong lets go of them.
"""

from __future__ import annotations

from collections import deque

from duplexer.core import opcodes

__all__ = ["Unacknowledged"]


class Unacknowledged:
    """The messages of one connection that no Pong has acknowledged yet, oldest first."""

    def __init__(self, most: int, overhead: int) -> None:
        self._most = most
        self._overhead = overhead
        self._messages: deque[str | bytes] = deque()
        self._sizes: deque[int] = deque()
        self._size = 0
        self._sent = 0  # messages, in all
        self._unmarked = 0  # bytes since the last mark
        self._parts: list[bytes] = []  # of a fragmented message that is not finished
        self._text = False

    def check(self, n: int) -> None:
        """``BufferError`` if a message of ``n`` bytes more than fills it."""
        if self._size + n + self._overhead > self._most:
            raise BufferError(
                f"{self._size} bytes that were sent are not acknowledged yet, and {n} more are too "
                "many: wait for the peer with `await (await ws.ping())`, or raise "
                "Limits.unacknowledged_bytes"
            )

    def add(self, opcode: int, data: str | bytes | memoryview, n: int) -> None:
        """A message of ``n`` bytes was sent."""
        if isinstance(data, memoryview):
            data = bytes(data)
        if opcode == opcodes.TEXT and isinstance(data, bytes):
            data = data.decode(errors="replace")  # who sends as text what is none keeps that
        elif opcode != opcodes.TEXT and isinstance(data, str):
            data = data.encode()
        self._messages.append(data)
        self._sizes.append(n + self._overhead)
        self._size += n + self._overhead
        self._unmarked += n + self._overhead
        self._sent += 1

    def add_part(self, data: bytes, text: bool, fin: bool) -> None:
        """A fragment was sent. A message that is never finished does not count: none was sent."""
        if not self._parts:
            self._text = text
        self._parts.append(data)
        if fin:
            whole = b"".join(self._parts)
            self._parts.clear()
            self.add(opcodes.TEXT if self._text else opcodes.BINARY, whole, len(whole))

    def check_part(self, n: int) -> None:
        """As ``check``, for one more fragment."""
        self.check(n + sum(map(len, self._parts)))

    @property
    def is_marked(self) -> bool:
        """Whether a Ping has been sent since the last message."""
        return not self._unmarked

    @property
    def is_pressing(self) -> bool:
        """Whether there is so much since the last Ping that the next one should not wait."""
        return self._unmarked * 4 > self._most

    def mark(self) -> int:
        """A Ping is being sent: how far the messages have come."""
        self._unmarked = 0
        return self._sent

    def acknowledge(self, mark: int) -> None:
        """The Pong of the Ping with this ``mark`` has come."""
        for _ in range(mark - (self._sent - len(self._messages))):
            self._messages.popleft()
            self._size -= self._sizes.popleft()

    def messages(self) -> list[str | bytes]:
        """All of them, oldest first: text as ``str``, binary as ``bytes``."""
        return list(self._messages)
