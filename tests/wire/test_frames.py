"""Runs the documents about frames: whole, cut in two everywhere, and byte by byte."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from duplexer.core.events import CloseReceived, MessagesReceived, PingReceived
from duplexer.core.session import Session
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import RULES, ProtocolError
from duplexer.extensions.deflate import PerMessageDeflate
from duplexer.limits import Limits
from duplexer.policy.guard import Guard
from tests.wire import documents, frames

CASES = documents.all_cases("bytes")
#: Cuts at every place up to this size; larger inputs are cut near both ends and here and there.
SMALL = 200

Cut = Callable[[bytes], list[bytes]]


@dataclasses.dataclass
class Outcome:
    """What came out, in the words of the documents."""

    messages: list[str] = dataclasses.field(default_factory=list)
    events: list[str] = dataclasses.field(default_factory=list)
    sent: list[str] = dataclasses.field(default_factory=list)
    end: list[str] = dataclasses.field(default_factory=list)


def words_for_close(code: int, reason: str) -> str:
    return "" if code == 1005 else f"{code} {reason!r}"


def expected(lines: list[str]) -> Outcome:
    outcome = Outcome()
    for raw in lines:
        line = documents.without_comment(raw)
        word, _, rest = line.partition(" ")
        if word == "text":
            outcome.messages.append(f"text {documents.payload(rest).decode()!r}")
        elif word == "binary":
            outcome.messages.append(f"binary {documents.payload(rest).hex()}")
        elif word in ("event", "sends"):
            stream = outcome.events if word == "event" else outcome.sent
            what, _, rest = rest.partition(" ")
            if what == "close":
                code, _, reason = rest.partition(" ")
                text = documents.payload(reason).decode()
                stream.append(f"close {words_for_close(int(code or 1005), text)}")
            else:
                stream.append(f"{what} {documents.payload(rest).hex()}")
        elif line:
            assert word in ("fails", "aborts"), line
            outcome.end.append(line)
    return outcome


def make_session(block: documents.Block) -> Session:
    options = block.options
    numbers: dict[str, Any] = {
        name: None if value == "None" else float(value) if "." in value else int(value)
        for name, value in options.items()
        if name not in ("deflate", "closing")
    }
    limits = Limits(**{"ping_interval": None, "frames_per_turn": 1 << 30, **numbers})
    extensions = ()
    if "deflate" in options:
        extensions = (PerMessageDeflate(False, False, 15, 15, limits=limits),)
    session = Session(RFC6455, server=block.role == "server", limits=limits, extensions=extensions)
    guard = Guard(limits)
    guard.watch(session, None)
    if guard.ledger is not None:
        assert guard.ledger.hold(0, guard.ledger.most - 16384)  # what others hold
    if "closing" in options:
        session.send_close(int(options["closing"]), "", 0.0)
        session.cork.take()
    return session


def run(block: documents.Block, cut: Cut) -> Outcome:
    """Feeds a session as a front would."""
    session = make_session(block)
    outcome = Outcome()
    now = 0.0
    aborted = False

    def after() -> None:
        events, session.events = session.events or [], None
        session.charge(events, now)
        for event in events:
            if isinstance(event, CloseReceived):
                close = event.close
                outcome.events.append(f"close {words_for_close(close.code, close.reason)}")
            elif not isinstance(event, MessagesReceived):
                kind = "ping" if isinstance(event, PingReceived) else "pong"
                outcome.events.append(f"{kind} {event.data.hex()}")

    for segment in documents.segments(block):
        if isinstance(segment, bytes):
            for piece in cut(segment):
                stop = 0
                while stop < len(piece):
                    stop = session.receive(piece, stop, len(piece))
                session.conclude()
                after()
                session.conclude()
                session.tick(now)
        else:
            now += segment
            aborted = session.expire(now)
    while session.inbox.count:
        message = session.inbox.pop()
        text = isinstance(message, str)
        outcome.messages.append(f"text {message!r}" if text else f"binary {message.hex()}")
    for frame in frames.parse(frames.joined(session.cork.take())):
        assert frame.fin and (frame.key is None) is session.server
        if frame.opcode == frames.CLOSE:
            code = int.from_bytes(frame.payload[:2], "big") if frame.payload else 1005
            outcome.sent.append(f"close {words_for_close(code, frame.payload[2:].decode())}")
        else:
            outcome.sent.append(f"{frames.NAMES[frame.opcode]} {frame.payload.hex()}")
    if isinstance(session.error, ProtocolError):
        outcome.end.append(f"fails {session.error.name}")
    if aborted:
        outcome.end.append("aborts")
    return outcome


def cuts(size: int) -> Iterator[tuple[str, Cut]]:
    """Ways of cutting bytes of this size."""
    yield "whole", lambda data: [data]
    places = range(1, size)
    if size > SMALL:
        places = [*range(1, 20), *range(20, size - 20, size // 20), *range(size - 20, size)]
    for place in places:
        yield f"cut at {place}", lambda data, at=place: [data[:at], data[at:]]
    step = 1 if size <= 20 * SMALL else 997
    yield f"{step} at a time", lambda data: [data[i : i + step] for i in range(0, len(data), step)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_document(case: documents.Case) -> None:
    lines = case.expect("gives")
    assert lines is not None
    wanted = expected(lines)
    size = max(len(s) for s in documents.segments(case.given) if isinstance(s, bytes))
    for name, cut in cuts(size):
        assert run(case.given, cut) == wanted, name


def test_every_rule_is_broken_once() -> None:
    broken = {
        line.split()[1]
        for case in CASES
        for line in case.expect("gives") or ()
        if line.startswith("fails ")
    }
    assert broken == set(RULES)
