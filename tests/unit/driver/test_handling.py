from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from duplexer.driver.handling import close_code_after, log_refusal, report_refusal
from duplexer.errors import Close, ConnectionClosedError, ConnectionClosedOK, InvalidMessage
from duplexer.limits import Limits
from duplexer.policy.forwarded import Client
from duplexer.policy.guard import Guard

CLOSED = ConnectionClosedOK(Close(1000), Close(1000), True)
LOST = ConnectionClosedError(None, None, None)


def connection(*, is_open):
    session, server = SimpleNamespace(is_open=is_open), SimpleNamespace(guard=Guard(Limits()))
    logger = logging.getLogger("test.handling")
    return SimpleNamespace(session=session, server=server, logger=logger)


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
        (InvalidMessage("longer than Limits.max_preamble"), logging.DEBUG),
        (ConnectionResetError(), logging.DEBUG),
        (InvalidMessage("no HTTP"), logging.DEBUG),
        (ZeroDivisionError(), logging.ERROR),
    ],
)
def test_a_handshake_that_failed(error, level, caplog):
    caplog.set_level(logging.DEBUG)
    failed = connection(is_open=False)
    report_refusal(failed, error)
    assert [record.levelno for record in caplog.records] == [level]
    assert failed.server.guard.struck == ({"max_preamble": 1} if "Limits" in str(error) else {})


def test_a_refusal_is_one_line(caplog):
    refused = SimpleNamespace(
        request=SimpleNamespace(method="GE\nT", path="/a\x1b[2J?token=secret"),
        client=Client(("192.0.2.1", 80)),
        logger=logging.getLogger("test.handling"),
    )
    with caplog.at_level(logging.INFO):
        log_refusal(refused, Guard(Limits()), 403, "not\r\nyou")
    (record,) = caplog.records
    expected = "refused 192.0.2.1:80: GE\\nT /a\\x1b[2J, 403 not\\r\\nyou"
    assert (record.getMessage(), record.exc_info) == (expected, None)


def test_refusals_are_told_at_a_bounded_rate(caplog):
    refused = SimpleNamespace(
        request=None, client=Client(("192.0.2.1", 80)), logger=logging.getLogger("test.handling")
    )
    guard = Guard(Limits(refusal_log_burst=3, refusal_log_rate=1e-9))
    with caplog.at_level(logging.INFO):
        for _ in range(1000):
            log_refusal(refused, guard, 400, "malformed")
    assert len(caplog.records) == 3
    caplog.clear()
    with caplog.at_level(logging.WARNING):  # nobody wants to know: nothing is used up
        log_refusal(refused, Guard(Limits()), 400, "malformed")
    assert not caplog.records
