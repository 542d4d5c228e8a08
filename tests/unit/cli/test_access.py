"""The lines of the access log."""

from __future__ import annotations

import io
import uuid
from types import SimpleNamespace
from typing import Any

from duplexer.cli.access import AccessLog
from duplexer.driver.observing import Traffic
from duplexer.http.headers import Headers
from duplexer.http.messages import Request


class Connection(SimpleNamespace):
    __hash__ = object.__hash__


def connection(address: Any, path: str = "/chat?token=secret") -> Connection:
    return Connection(
        remote_address=address,
        request=Request(path, Headers()),
        id=uuid.UUID(int=0xABCDEF << 104),
        close_code=1000,
        traffic=Traffic(3, 4, 50, 60),
    )


def test_a_connection_from_beginning_to_end() -> None:
    out = io.StringIO()
    log = AccessLog(out)
    ws = connection(("192.0.2.1", 5000))
    log.opened(ws)
    log.ended(ws)
    log.refused(connection(("::1", 80, 0, 0)), None, 400)
    log.answered(connection("", "/a\nb"), Request("/a\nb", Headers()), 404)
    opened, ended, refused, answered = out.getvalue().splitlines()
    assert opened.endswith(' 192.0.2.1:5000 abcdef00 "GET /chat" 101')
    assert '"GET /chat" closed 1000 after 0.0 s, 3 in, 4 out' in ended
    assert refused.endswith(' [::1]:80 abcdef00 "-" 400')
    assert " local " in answered and answered.endswith(" 404")
    assert "secret" not in out.getvalue()
