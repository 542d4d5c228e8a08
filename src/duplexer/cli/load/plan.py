"""What a load is to be: everything that the command line says, resolved."""

from __future__ import annotations

import dataclasses
from typing import Any

from duplexer.cli.target import Target
from duplexer.http.uri import parse_uri
from duplexer.limits import Limits

__all__ = ["Plan"]

OPEN_IN_FLIGHT = 100  #: messages of a connection at a rate, unless --in-flight says otherwise
LEAST_MESSAGE = 16 << 20  #: bytes that we take in one message, or more if we send more


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Target):
    """Times are in seconds, sizes in bytes, rates per second."""

    connections: int = 64
    in_flight: int | None = None
    size: int = 32
    text: bool = False
    payload: str = "random"
    duration: float = 10.0
    count: int | None = None
    warm_up: float = 1.0
    rate: float | None = None
    open_rate: float | None = None
    ramp_up: float | None = None
    deflate: bool = False
    check: bool = True
    broadcast: str | None = None
    processes: int = 1
    open_timeout: float = 10.0
    close_timeout: float = 5.0
    answer_timeout: float = 5.0
    uvloop: bool | None = None

    @property
    def depth(self) -> int:
        """Messages in flight, of each connection or of the publisher; 0: the load is idle."""
        if self.in_flight is not None:
            return self.in_flight
        return 1 if self.rate is None else OPEN_IN_FLIGHT

    @property
    def opening(self) -> float | None:
        """Connections to open in a second, ``None`` for as many as possible."""
        if self.ramp_up:
            return self.connections / self.ramp_up
        return self.open_rate

    def numbers(self, process: int) -> range:
        """The connections of one process."""
        return range(process, self.connections, self.processes)

    def messages(self, process: int) -> int | None:
        """The part of ``count`` that one process sends."""
        if self.count is None:
            return None
        return self.count // self.processes + (process < self.count % self.processes)

    def limits(self) -> Limits:
        """The bounds of the connections: generous, and no pings of our own between messages."""
        return Limits(
            open_timeout=self.open_timeout,
            close_timeout=self.close_timeout,
            max_message=max(LEAST_MESSAGE, 2 * self.size),
            frames_per_turn=4096,
            ping_interval=None,
            max_connecting=None,  # --open-rate bounds it; the server is the user's own
        )

    def as_json(self) -> dict[str, Any]:
        """The fields, as a report repeats them; without what may be secret in it."""
        fields = dataclasses.asdict(self)
        fields["headers"] = [name for name, _ in self.headers]
        fields["uri"] = str(parse_uri(self.uri))
        fields["in_flight"] = self.depth
        return fields
