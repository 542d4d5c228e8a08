"""What every client of the soak does, whatever its front, and what it notes down."""

from __future__ import annotations

import dataclasses
import random
import time
from typing import Any

from duplexer.driver.retry import Retry
from duplexer.errors import ConnectionClosed
from duplexer.limits import Limits

#: A dead network is noticed within two seconds, in each phase.
LIMITS = Limits(
    open_timeout=2.0, close_timeout=1.0, ping_interval=1.0, ping_timeout=1.0, send_timeout=2.0
)
RETRY = Retry(base=0.05, cap=0.5, stable=0.5, fatal=lambda exc: False)
#: Seconds within which a client must get on, however bad the network and busy the machine: far
#: more than all time-outs together, far less than for ever.
PATIENCE = 30.0


@dataclasses.dataclass
class Diary:
    """What one client noted."""

    echoes: int = 0
    connections: int = 0
    losses: list[str] = dataclasses.field(default_factory=list)
    unexplained: list[str] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)
    longest: float = 0.0  #: seconds without getting on
    _since: float = dataclasses.field(default_factory=time.monotonic)

    def gets_on(self) -> None:
        now = time.monotonic()
        self.longest = max(self.longest, now - self._since)
        self._since = now

    def state(self, retrying: Any) -> None:
        """For ``Retry.on_state``: every attempt is progress, every failure has a reason."""
        self.gets_on()
        error = retrying.error
        if retrying.state == "connecting" and retrying.attempt > 1 and error is None:
            self.unexplained.append(f"attempt {retrying.attempt} without an error before it")

    def lost(self, closed: ConnectionClosed) -> None:
        """A connection has ended: by whom and why?"""
        self.gets_on()
        text = closed.explain()
        self.losses.append(text.splitlines()[0])
        if closed.rcvd is None and closed.__cause__ is None and "without a Close" not in text:
            self.unexplained.append(text)


class Script:
    """The messages of one client, checked."""

    def __init__(self, seed: str, seconds: float) -> None:
        self.chance = random.Random(seed)
        self.diary = Diary()
        self.until = time.monotonic() + seconds
        self.retry = RETRY.replace(on_state=self.diary.state)

    def is_over(self) -> bool:
        return time.monotonic() >= self.until

    def message(self) -> str | bytes:
        size = self.chance.choice([0, 1, 20, 125, 126, 5000, 70_000])
        if self.chance.random() < 0.5:
            return self.chance.randbytes(size)
        return f"{self.chance.random()} é ".ljust(size, "x")

    def check(self, sent: str | bytes, got: str | bytes) -> None:
        self.diary.gets_on()
        self.diary.echoes += 1
        if got != sent:
            self.diary.wrong.append(f"sent {sent[:40]!r}, got {got[:40]!r}")

    def pause(self) -> float:
        """Seconds until the next message."""
        return self.chance.choice([0.0, 0.0, 0.01, 0.1, 0.5])
