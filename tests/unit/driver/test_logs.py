from __future__ import annotations

import json
import logging
import re
import uuid
from types import SimpleNamespace

import pytest

from duplexer.driver.logs import AccessLog, JsonFormatter
from duplexer.driver.observing import Traffic
from duplexer.http.headers import Headers
from duplexer.http.messages import Request
from tests.unit.driver.test_conduct import Plain, settle

LOGGER = logging.getLogger("test.logs")


class Peered(Plain):
    remote_address = ("10.0.0.1", 5000)

    def __init__(self, path="/chat?token=secret"):
        super().__init__(server=True)
        self.request = Request(path, Headers())


def formatted(message, *args, error=None, **extra):
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = LOGGER.makeRecord("app", logging.INFO, "file", 1, message, args, exc_info, extra=extra)
    record.created = 1_800_000_000.1234
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert "\n" not in line
    return json.loads(line)


def test_a_record_about_nothing():
    assert formatted("hello %s", "é\n") == {
        "time": "2027-01-15T08:00:00.123Z",
        "level": "INFO",
        "logger": "app",
        "message": "hello é\n",
    }


@pytest.mark.parametrize("how", ["extra", "argument"])
def test_a_record_about_a_connection(how):
    ws = Peered()
    if how == "extra":
        entry = formatted("it is %d", 5, websocket=ws)
    else:
        entry = formatted("%s %s", "failed", ws)
    assert entry["connection_id"] == str(ws.id)
    assert entry["peer"] == "10.0.0.1:5000"
    assert entry["path"] == "/chat"
    assert "code" not in entry


def test_a_connection_that_has_ended_has_a_code():
    ws, client = Peered(), Plain()
    client.put_close(4000, "", 0.0)
    settle(ws, client)
    ws.take_end()
    ws.remote_address = ("::1", 80, 0, 0)
    entry = formatted("over", websocket=ws)
    assert (entry["code"], entry["peer"]) == (4000, "[::1]:80")
    ws.remote_address, ws.request = "", None
    entry = formatted("over", websocket=ws)
    assert entry["peer"] == "local"
    assert "path" not in entry


def test_an_exception_is_in_two_fields():
    try:
        raise ValueError("bad")
    except ValueError as exc:
        entry = formatted("failed", error=exc)
    assert entry["error"] == "ValueError: bad"
    assert entry["traceback"].startswith("Traceback")


def test_one_line_for_each_connection_that_ended(caplog):
    caplog.set_level(logging.INFO, "duplexer.access")
    log = AccessLog()
    ws, client = Peered("/a\x1b?q"), Plain()
    log.opened(ws)
    ws.put("hello", None, None)
    client.put_close(1000, "", 0.0)
    settle(ws, client)
    ws.take_end()
    log.ended(ws)
    (record,) = caplog.records
    text = record.getMessage()
    assert text.startswith("10.0.0.1:5000 /a\\x1b: 1000 after ")
    assert text.endswith("received 0 messages, 8 bytes; sent 1, 11")
    assert record.websocket is ws
    AccessLog(LOGGER).ended(ws)  # of one that it has not seen opened
    assert not log._since


class Visitor(SimpleNamespace):
    __hash__ = object.__hash__


def visitor(address, path="/chat?token=secret"):
    return Visitor(
        remote_address=address,
        request=Request(path, Headers()),
        id=uuid.UUID(int=0xABCDEF << 104),
        close_code=1000,
        traffic=Traffic(3, 4, 50, 60),
    )


def test_a_line_for_each_request_as_well(caplog):
    caplog.set_level(logging.INFO, "duplexer.access")
    log = AccessLog(requests=True)
    ws = visitor(("192.0.2.1", 5000))
    log.opened(ws)
    log.ended(ws)
    log.refused(visitor(("::1", 80, 0, 0)), None, 400)
    log.answered(visitor("", "/a\nb"), Request("/a\nb", Headers()), 404)
    lines = [re.sub(r"after \d+\.\d s", "after ... s", line) for line in caplog.messages]
    assert lines == [
        '192.0.2.1:5000 abcdef00 "GET /chat" 101',
        '192.0.2.1:5000 abcdef00 "GET /chat" closed 1000 after ... s, 3 in, 4 out',
        '[::1]:80 abcdef00 "-" 400',
        'local abcdef00 "GET /a\\nb" 404',
    ]
    assert caplog.records[0].websocket is ws
    assert not log._since


def test_requests_have_no_line_unless_they_are_asked_for(caplog):
    caplog.set_level(logging.INFO, "duplexer.access")
    log = AccessLog()
    ws = visitor(("192.0.2.1", 5000))
    log.opened(ws)
    log.refused(ws, None, 400)
    log.answered(ws, ws.request, 404)
    assert caplog.messages == []
