"""Steps: how they look, and what they match."""

from __future__ import annotations

import re
from typing import Any

import pytest

from duplexer.testing import script
from duplexer.testing.script import ANY, matches


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (script.expect("hello"), "expect('hello')"),
        (script.expect(ANY), "expect(ANY)"),
        (script.send(b"x"), "send(b'x')"),
        (script.expect_ping(), "expect_ping()"),
        (script.expect_ping(b"x"), "expect_ping(b'x')"),
        (script.expect_pong(), "expect_pong()"),
        (script.ping(b"x"), "ping(b'x')"),
        (script.pong(), "pong()"),
        (script.pong(b"x"), "pong(b'x')"),
        (script.close(), "close(1000)"),
        (script.close(1011, "no"), "close(1011, 'no')"),
        (script.expect_close(), "expect_close()"),
        (script.expect_close(1001, "bye"), "expect_close(1001, reason='bye')"),
        (script.expect_end(), "expect_end()"),
        (script.drop(), "drop()"),
        (script.reset(), "reset()"),
        (script.stall(), "stall()"),
        (script.wait(1.5), "wait(1.5)"),
        (script.send_bytes(b"\x81"), "send_bytes(b'\\x81')"),
        (script.send_frame(1, b"x", fin=False), "send_frame(1, b'x', fin=False)"),
        (script.send_frame(1, rsv=4, masked=True), "send_frame(1, b'', rsv=4, masked=True)"),
        (script.expect_request("/a"), "expect_request(path='/a')"),
        (script.accept(), "accept()"),
        (script.accept("chat"), "accept(subprotocol='chat')"),
        (script.refuse(503), "refuse(503)"),
        (script.refuse(401, {"A": "b"}, "no"), "refuse(401, headers={'A': 'b'}, body='no')"),
        (script.answer(b"HTTP"), "answer(b'HTTP')"),
        (script.expect_status(403), "expect_status(403)"),
    ],
)
def test_a_step_looks_as_it_was_written(step: Any, text: str) -> None:
    assert repr(step) == text


def test_every_step_has_been_looked_at() -> None:
    verbs = {name for name in script.__all__ if name[0].islower()}
    marks = test_a_step_looks_as_it_was_written.pytestmark  # type: ignore[attr-defined]
    assert {step.verb for step, _ in marks[0].args[1]} == verbs


@pytest.mark.parametrize(
    ("expected", "came", "does"),
    [
        ("a", "a", True),
        ("a", b"a", False),
        (b"a", b"a", True),
        ("a", "b", False),
        (ANY, b"anything", True),
        (re.compile("l+"), "hello", True),
        (re.compile("x"), "hello", False),
        (re.compile("h"), b"hello", False),
        (len, "", False),
        (len, "x", True),
        (None, None, True),
        (1000, None, False),
    ],
)
def test_matches(expected: Any, came: Any, does: bool) -> None:
    assert matches(expected, came) is does
