from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from duplexer.driver.handling import close_code_after, report_refusal
from duplexer.errors import Close, ConnectionClosedError, ConnectionClosedOK, InvalidMessage

CLOSED = ConnectionClosedOK(Close(1000), Close(1000), True)
LOST = ConnectionClosedError(None, None, None)


def connection(*, is_open):
    session = SimpleNamespace(is_open=is_open)
    return SimpleNamespace(session=session, logger=logging.getLogger("test.handling"))


@pytest.mark.parametrize("is_open", [True, False])
def test_a_handler_that_returns(is_open, caplog):
    assert close_code_after(connection(is_open=is_open), None) == 1000
    assert not caplog.records


@pytest.mark.parametrize(
    ("error", "is_open", "logged"),
    [
        (ZeroDivisionError(), True, True),
        (ZeroDivisionError(), False, True),
        (CLOSED, False, False),
        (CLOSED, True, True),  # of another connection
        (ExceptionGroup("of a nursery", [CLOSED, ExceptionGroup("", [LOST])]), False, False),
        (ExceptionGroup("of a nursery", [CLOSED, ZeroDivisionError()]), False, True),
    ],
)
def test_a_handler_that_raises(error, is_open, logged, caplog):
    assert close_code_after(connection(is_open=is_open), error) == 1011
    assert [record.exc_info[1] for record in caplog.records] == [error] * logged


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ConnectionResetError(), logging.DEBUG),
        (InvalidMessage("no HTTP"), logging.DEBUG),
        (ZeroDivisionError(), logging.ERROR),
    ],
)
def test_a_handshake_that_failed(error, level, caplog):
    caplog.set_level(logging.DEBUG)
    report_refusal(connection(is_open=False), error)
    assert [record.levelno for record in caplog.records] == [level]
