"""Heartbeats of the application: messages that keep a connection, and that no user wants to see.

Many services do not trust Pings, which any proxy on the way may answer: they want a message of
their own every now and then, or send one and want it answered. ``Heartbeat`` says what these look
like; ``Pulse`` is the heartbeat of one connection, I/O-free like keepalive, whose rules of fairness
it shares: a late clock judges nobody, and neither does an application that does not read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from duplexer.core.keepalive import Keepalive

__all__ = ["Heartbeat", "Pulse"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Messages that show that the other application is alive, and never reach ours.

    * ``send``: the message to send ``every`` so many seconds, or a function that makes one.
    * ``expect``: the message that counts as life, or a function of a message (``str`` or
      ``bytes``) that says whether it does. Such messages are taken out of what ``recv()`` gives.
    * ``reply``: the answer to each expected message, or a function of it that makes one.
    * ``timeout``: seconds that an expected message may take after ``send``. Without ``send`` it is
      the peer who begins: then one has to come in each ``every + timeout`` seconds. ``None``: it
      may take for ever.

    The functions must not block. What one of them raises closes the connection with 1011.

    Raises ``ValueError`` or ``TypeError`` for a combination that makes no sense.
    """

    send: str | bytes | Callable[[], str | bytes] | None = None
    expect: str | bytes | Callable[[Any], bool] | None = None
    reply: str | bytes | Callable[[Any], str | bytes] | None = None
    every: float | None = None
    timeout: float | None = None

    def __post_init__(self) -> None:
        for name in ("send", "expect", "reply"):
            value = getattr(self, name)
            if not (value is None or isinstance(value, (str, bytes)) or callable(value)):
                kind = type(value).__name__
                raise TypeError(f"{name} must be str, bytes or a function, not {kind}")
        for name in ("every", "timeout"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, not {type(value).__name__}")
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive seconds, not {value}")
        if self.send is None and self.expect is None:
            raise ValueError("a heartbeat needs send=, expect= or both")
        if self.send is not None and self.every is None:
            raise ValueError("send= needs every=: the seconds between two heartbeats")
        if self.expect is None and (self.timeout is not None or self.reply is not None):
            raise ValueError("timeout= and reply= need expect=: what to wait for")
        if self.timeout is not None and self.every is None:
            raise ValueError("timeout= needs every=: the seconds between two heartbeats")


class Pulse:
    """The heartbeat of one connection."""

    def __init__(self, heartbeat: Heartbeat, now: float, suspended: float) -> None:
        self.heartbeat = heartbeat
        self.heard = False  # an expected message came since the last one of ours
        self.stirred = False  # ... or since the session last looked
        self.answers: list[str | bytes] = []  # to what came, to be sent
        self.failure: Exception | None = None  # of one of the user's functions
        self._expect = heartbeat.expect
        self._clock: Keepalive | None = None
        every, timeout = heartbeat.every, heartbeat.timeout
        if heartbeat.send is not None:
            self._clock = Keepalive(every, timeout, 0.0, now, suspended)
        elif timeout is not None:
            assert every is not None
            self._clock = Keepalive(every + timeout, every + timeout, 0.0, now, suspended)
            self._clock.wait_from(now)

    @property
    def due(self) -> float | None:
        """The next deadline."""
        return None if self._clock is None else self._clock.due

    def takes(self, message: Any) -> bool:
        """Whether ``message`` is a heartbeat of the peer's, which nobody else is to see."""
        expect = self._expect
        if expect is None or not isinstance(message, (str, bytes)):
            return False  # a piece of a message that is read in pieces is none
        try:
            if callable(expect):
                if not expect(message):
                    return False
            elif type(message) is not type(expect) or message != expect:
                return False
            reply = self.heartbeat.reply
            if reply is not None:
                self.answers.append(reply(message) if callable(reply) else reply)
        except Exception as exc:  # noqa: BLE001 - the user's code: the session fails by it
            self.failure = exc
        self.heard = self.stirred = True
        return True

    def settle(self, now: float) -> None:
        """Tell the time to what ``takes`` has seen."""
        if self.stirred:
            self.stirred = False
            if self.heartbeat.send is None and self._clock is not None:
                self._clock.wait_from(now)

    def expire(self, now: float, *, reading: bool, suspended: float) -> str:
        """The deadline may have come: ``"send"``, ``"dead"`` or ``""`` (nothing to do)."""
        self.settle(now)
        if self._clock is None:
            return ""
        begins = self.heartbeat.send is not None
        verdict = self._clock.expire(
            now, heard=begins and self.heard, reading=reading, suspended=suspended
        )
        if verdict != "ping":
            return verdict
        self.heard = False
        if begins:
            return "send"
        self._clock.wait_from(now)  # after a suspension: the peer keeps to its own time
        return ""

    def message(self) -> str | bytes:
        """The message to send now."""
        send = self.heartbeat.send
        assert send is not None
        return send() if callable(send) else send

    def silence(self) -> str:
        """What to say of a peer that did not keep to it."""
        heartbeat = self.heartbeat
        wanted = "" if callable(heartbeat.expect) else f" ({_short(heartbeat.expect)})"
        if heartbeat.send is None:
            assert heartbeat.every is not None and heartbeat.timeout is not None
            patience = f"in {heartbeat.every + heartbeat.timeout:g} s (every + timeout)"
        else:
            sent = "" if callable(heartbeat.send) else f" {_short(heartbeat.send)}"
            patience = f"within {heartbeat.timeout:g} s of our heartbeat{sent} (timeout)"
        return f"heartbeat missing: no expected message{wanted} came {patience}"


def _short(message: object) -> str:
    text = repr(message)
    return text if len(text) <= 60 else text[:57] + "..."
