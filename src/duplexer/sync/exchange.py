"""Carrying out the steps of an opening: what is read and written before there is a session."""

from __future__ import annotations

import contextlib
import socket
import ssl
from time import monotonic
from typing import TYPE_CHECKING, Any

from duplexer.driver.conduct import ReadClock
from duplexer.driver.following import call_blocking, follow_blocking
from duplexer.driver.steps import Call, Read, Write
from duplexer.sync.wire import FOREVER, Wire, wait

if TYPE_CHECKING:
    from duplexer.driver.tls import TlsLayer
    from duplexer.limits import Limits

__all__ = ["Exchange", "time_left"]


def time_left(until: float, why: str) -> float:
    """Seconds ``until`` then, as the system can take them; ``TimeoutError(why)`` if it is over."""
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError(why)
    return min(left, FOREVER)


class Exchange:
    """Carries out steps on ``wire``, until it is ``until``; the ``first`` stage, until then."""

    def __init__(self, wire: Any, limits: Limits, until: float, first: float | None = None) -> None:
        self.wire: Wire = wire
        self.limits = limits
        self.until = until
        self._clock = ReadClock(first)
        self._early = b""  # what came along with the end of a TLS handshake

    def run(self, steps: Any) -> Any:
        """Do what ``steps`` want, and give back what they end in."""
        return follow_blocking(steps, self.do)

    def do(self, step: Any) -> Any:
        """One of them."""
        if isinstance(step, Read):
            due = self._clock.due(step, monotonic())
            return self._read(self.until if due is None else min(due, self.until), step.size)
        if isinstance(step, Write):
            return self._write(step.data)
        assert isinstance(step, Call)
        return call_blocking(step, self._clock.until)

    def _read(self, until: float, size: int | None = None) -> bytes:
        data, self._early = self._early, b""
        while not data:
            left = time_left(until, "nothing came in time (open_timeout)")
            if size is not None:
                return self.wire.read_some(size, left)
            self.wire.read(left)
            n = self.wire.taken()
            data = self.wire.opened(n) if n > 0 else b""
            if n == 0 or self.wire.at_end:
                break
        return data

    def _write(self, data: bytes) -> None:
        timeout = self.limits.send_timeout
        until = self.until if timeout is None else min(self.until, monotonic() + timeout)
        self.wire.put(data)
        while self.wire.pending:
            left = time_left(until, "the peer does not read")
            wait(self.wire.sock, read=False, write=True, timeout=left)
            self.wire.flush()

    def secure(self, layer: TlsLayer) -> None:
        """From here on there is TLS."""
        shaking = layer.handshake()
        try:
            wanted = next(shaking)
            while True:
                if wanted is None:
                    wanted = shaking.send(self._read(self.until))
                else:
                    self._write(wanted)
                    wanted = next(shaking)
        except StopIteration:
            pass
        except ssl.SSLError:
            with contextlib.suppress(OSError):
                self._write(layer.outgoing())  # why: the peer is to know
            raise
        self.wire.add(layer)
        self._early = layer.early()

    def linger(self) -> None:
        """Nothing follows: read to the end, or our last words would be lost with a reset."""
        self.wire.finish()
        self.wire.shutdown(socket.SHUT_WR)
        while self._read(self.until):
            pass
