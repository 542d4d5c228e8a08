"""An exchange with a proxy that the test plays."""

from __future__ import annotations

from collections.abc import Generator


class Exchange:
    """Runs the steps: ``sent`` is what they wrote, ``result`` what they ended in."""

    def __init__(self, steps: Generator[bytes | None, bytes, bool | None]) -> None:
        self.steps = steps
        self.sent = b""
        self.done = False
        self.result: bool | None = None
        self._go(None)

    def _go(self, data: bytes | None) -> None:
        try:
            wanted = next(self.steps) if data is None else self.steps.send(data)
            while wanted is not None:
                self.sent += wanted
                wanted = next(self.steps)
        except StopIteration as end:
            self.done, self.result = True, end.value

    def take(self) -> bytes:
        """What was written since this was last asked for."""
        sent, self.sent = self.sent, b""
        return sent

    def answer(self, data: bytes, size: int = 0) -> None:
        """Send ``data``, in pieces of ``size`` bytes if that is not 0."""
        assert not self.done
        size = size or len(data) or 1
        for i in range(0, max(len(data), 1), size):
            self._go(data[i : i + size])
