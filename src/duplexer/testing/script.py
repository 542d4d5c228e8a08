"""The steps of a script: what a peer that only exists for a test says, and wants to hear.

::

    from duplexer.testing.script import expect, send, close

    [expect("hello"), send("world"), close(1011, "out of memory")]

A script is a list of these. What is polite happens by itself: the opening handshake, unless the
script begins with one of its own; the answer to a Ping, unless it is expected; the closing
handshake, once the script is through. Pongs that nobody expects are passed over, everything else
that is not in the script is a :exc:`ScriptMismatch`.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ANY",
    "ScriptMismatch",
    "ScriptStep",
    "accept",
    "answer",
    "close",
    "drop",
    "expect",
    "expect_close",
    "expect_end",
    "expect_ping",
    "expect_pong",
    "expect_request",
    "expect_status",
    "ping",
    "pong",
    "refuse",
    "reset",
    "send",
    "send_bytes",
    "send_frame",
    "stall",
    "wait",
]


class ScriptMismatch(AssertionError):
    """Something else came than the script says; the message shows it, the place and what came."""


class _Any:
    """Stands for any message, payload or code."""

    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()


@dataclasses.dataclass(frozen=True, slots=True)
class ScriptStep:
    """A step of a script; ``verb`` and ``arguments`` are for who plays it."""

    verb: str
    arguments: tuple[Any, ...] = ()
    text: str = ""  #: as it stands in the script

    def __repr__(self) -> str:
        return self.text

    @property
    def is_opening(self) -> bool:
        """Whether it is about the opening handshake."""
        return self.verb in {"expect_request", "accept", "refuse", "answer", "expect_status"}


def _step(verb: str, *arguments: Any, **shown: Any) -> ScriptStep:
    parts = [repr(each) for each in arguments[: shown.pop("_positional", len(arguments))]]
    parts += [f"{name}={value!r}" for name, value in shown.items() if value is not None]
    return ScriptStep(verb, arguments, f"{verb}({', '.join(parts)})")


def matches(expected: Any, came: Any) -> bool:
    """Whether what ``came`` is what was ``expected``."""
    if isinstance(expected, _Any):
        return True
    if isinstance(expected, re.Pattern):
        return isinstance(came, str) and expected.search(came) is not None
    if callable(expected):
        return bool(expected(came))
    return type(expected) is type(came) and bool(expected == came)


# -- the opening handshake -----------------------------------------------------------------------


def expect_request(path: str | None = None, headers: Mapping[str, str] | None = None) -> ScriptStep:
    """A server: the request must ask for ``path``, and have ``headers``."""
    return _step(
        "expect_request", path, dict(headers or {}), _positional=0, path=path, headers=headers
    )


def accept(subprotocol: str | None = None, headers: Mapping[str, str] | None = None) -> ScriptStep:
    """A server: agree to a WebSocket (101), with more ``headers`` in the answer."""
    return _step(
        "accept",
        subprotocol,
        dict(headers or {}),
        _positional=0,
        subprotocol=subprotocol,
        headers=headers,
    )


def refuse(
    status: int, headers: Mapping[str, str] | None = None, body: bytes | str = b""
) -> ScriptStep:
    """A server: answer by ``status`` in place of a WebSocket; then the connection ends."""
    data = body.encode() if isinstance(body, str) else body
    shown = {"headers": headers, "body": body or None}
    return _step("refuse", status, dict(headers or {}), data, _positional=1, **shown)


def answer(data: bytes) -> ScriptStep:
    """A server: send ``data`` in place of an answer. What follows is as if it had accepted."""
    return _step("answer", data)


def expect_status(status: int) -> ScriptStep:
    """A client: the answer must have ``status``; 101 need not be expected."""
    return _step("expect_status", status)


# -- messages ------------------------------------------------------------------------------------


def expect(message: Any) -> ScriptStep:
    """The next message: ``str`` for text, ``bytes`` for binary.

    It may also be a compiled pattern that is searched in a text, a function that says whether it
    is right, or ``ANY``. It does not matter how the message was fragmented.
    """
    return _step("expect", message)


def send(message: str | bytes) -> ScriptStep:
    """Send a message in one frame."""
    return _step("send", message)


# -- control frames ------------------------------------------------------------------------------


def expect_ping(payload: Any = ANY) -> ScriptStep:
    """A Ping, which is not answered: use :func:`pong` for that."""
    return _step("expect_ping", payload, _positional=int(payload is not ANY))


def expect_pong(payload: Any = ANY) -> ScriptStep:
    """A Pong."""
    return _step("expect_pong", payload, _positional=int(payload is not ANY))


def ping(payload: bytes = b"") -> ScriptStep:
    """Send a Ping."""
    return _step("ping", payload)


def pong(payload: bytes | None = None) -> ScriptStep:
    """Send a Pong: by default with what the last Ping carried."""
    return _step("pong", payload, _positional=int(payload is not None))


# -- the end -------------------------------------------------------------------------------------


def expect_close(code: Any = ANY, reason: Any = ANY) -> ScriptStep:
    """A Close, which is answered; ``code`` is ``None`` for an empty one."""
    shown = {} if reason is ANY else {"reason": reason}
    return _step("expect_close", code, reason, _positional=int(code is not ANY), **shown)


def expect_end() -> ScriptStep:
    """The byte stream must end, without a Close."""
    return _step("expect_end")


def close(code: int | None = 1000, reason: str = "") -> ScriptStep:
    """Send a Close and wait for the other one; what comes in between is passed over."""
    return _step("close", code, reason, _positional=2 if reason else 1)


def drop() -> ScriptStep:
    """End the byte stream in order, without a Close: a process that was killed."""
    return _step("drop")


def reset() -> ScriptStep:
    """Break the byte stream off (TCP's RST)."""
    return _step("reset")


def stall() -> ScriptStep:
    """Say and read nothing any more, until the other end or the test goes away."""
    return _step("stall")


# -- the rest ------------------------------------------------------------------------------------


def send_bytes(data: bytes) -> ScriptStep:
    """Send bytes as they stand, in order or not."""
    return _step("send_bytes", data)


def send_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool | None = None,
) -> ScriptStep:
    """Send a frame; ``masked`` is by default as it must be for a client or a server."""
    shown: dict[str, Any] = {} if fin else {"fin": fin}
    if rsv:
        shown["rsv"] = rsv
    if masked is not None:
        shown["masked"] = masked
    return _step("send_frame", opcode, payload, fin, rsv, masked, _positional=2, **shown)


def wait(seconds: float) -> ScriptStep:
    """Do nothing for a while."""
    return _step("wait", seconds)
