"""A server's opening handshake as steps, driven by hand."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest

from duplexer.driver.accept import Serving, open_server
from duplexer.driver.steps import Call, Read, Write
from duplexer.errors import HttpError
from duplexer.handshake.server import ServerOptions
from duplexer.http.headers import Headers
from duplexer.http.messages import Response
from duplexer.limits import Limits

REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\n\r\n"
)
PLAIN = b"GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n"


def connection(*, full: bool = False) -> Any:
    return types.SimpleNamespace(request=None, response=None, is_full=lambda: full)


def run(
    *reads: bytes | BaseException, target: Any = None, **serving: Any
) -> tuple[Any, bytes, Any]:
    """The outcome, all that was written, and the connection; calls are made as they come."""
    target = target or connection()
    options = serving.pop("options", ServerOptions(server_header=None))
    steps = open_server(target, Serving(options=options, **serving), secure=False)
    written = b""
    coming = list(reads)
    act: Callable[[], Any] = lambda: next(steps)  # noqa: E731
    try:
        while True:
            step = act()
            value: Any = None
            if isinstance(step, Write):
                written += step.data
            elif isinstance(step, Read):
                value = coming.pop(0) if coming else b""
            else:
                assert isinstance(step, Call)
                try:
                    value = step.function(*step.args)
                except Exception as exc:
                    value = exc
            if isinstance(value, BaseException):
                act = lambda exc=value: steps.throw(exc)  # noqa: E731
            else:
                act = lambda value=value: steps.send(value)  # noqa: E731
    except StopIteration as stop:
        return stop.value, written, target


def status(written: bytes) -> int:
    return int(written.split(b" ", 2)[1])


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_agreed(step: int) -> None:
    pieces = [REQUEST[i : i + step] for i in range(0, len(REQUEST), step)]
    outcome, written, target = run(*pieces)
    agreement, rest = outcome
    assert status(written) == 101 and written.count(b"HTTP/1.1") == 1
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in written
    assert written.endswith(b"\r\n\r\n") and rest == b""
    assert target.request.path == "/chat"
    assert target.response is agreement.response and agreement.subprotocol is None


def test_what_came_with_the_request_is_not_lost() -> None:
    (_, rest), _, _ = run(REQUEST + b"\x81\x80abcd")
    assert rest == b"\x81\x80abcd"


def test_a_peer_that_leaves() -> None:
    assert run()[:2] == (None, b"")
    assert run(REQUEST[:50])[0] is None


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (REQUEST.replace(b"Version: 13", b"Version: 99"), 426),
        (REQUEST.replace(b"NhbXBsZSBub25jZQ", b""), 400),
        (REQUEST.replace(b"Host:", b"Origin: http://evil.example\r\nHost:"), 403),
        (REQUEST.replace(b"GET", b"POST"), 405),
        (REQUEST.replace(b"HTTP/1.1", b"HTTP/3.1"), 505),
        (b"\x16\x03\x01\r\n", 400),
        (b"GET " + b"x" * 10_000, 414),
    ],
)
def test_refused(request_: bytes, expected: int) -> None:
    outcome, written, _ = run(request_)
    assert outcome is None and status(written) == expected
    assert b"\r\nConnection: close" in written


def test_only_one_answer_to_a_refused_upgrade() -> None:
    bad = REQUEST.replace(b"Version: 13", b"Version: 99")
    _, written, _ = run(bad + PLAIN)
    assert written.count(b"HTTP/1.1 ") == 1


def test_a_request_that_takes_too_long() -> None:
    outcome, written, _ = run(REQUEST[:20], TimeoutError())
    assert outcome is None and status(written) == 408
    outcome, written, _ = run(TimeoutError())
    assert (outcome, written) == (None, b"")


def test_a_full_server() -> None:
    outcome, written, _ = run(REQUEST, target=connection(full=True))
    assert outcome is None and status(written) == 503 and b"Retry-After" in written


def test_process_request_may_answer() -> None:
    seen: list[Any] = []

    def process_request(target: Any, request: Any) -> Response:
        seen.append((target, request.path))
        return Response(401, "Unauthorized", Headers({"X-Why": "because"}), b"no")

    outcome, written, target = run(REQUEST, process_request=process_request)
    assert outcome is None and status(written) == 401
    assert b"X-Why: because\r\n" in written and written.endswith(b"no")
    assert seen == [(target, "/chat")]


def test_process_request_may_let_it_pass() -> None:
    outcome, written, _ = run(REQUEST, process_request=lambda _connection, _request: None)
    assert outcome is not None and status(written) == 101


def test_process_request_may_refuse() -> None:
    def process_request(target: Any, request: Any) -> None:
        raise HttpError(402, "pay first")

    outcome, written, _ = run(REQUEST, process_request=process_request)
    assert outcome is None and status(written) == 402 and b"pay first" in written


@pytest.mark.parametrize("result", ["yes", (200, {}, b"")])
def test_process_request_cannot_return_anything_else(result: Any) -> None:
    with pytest.raises(TypeError, match="process_request must return a Response"):
        run(REQUEST, process_request=lambda _connection, _request: result)


def test_a_mistake_in_the_users_code_is_told_to_nobody() -> None:
    target = connection()
    steps = open_server(
        target,
        Serving(options=ServerOptions(), process_request=lambda *_: None),
        secure=False,
    )
    assert isinstance(next(steps), Read)
    assert isinstance(steps.send(REQUEST), Call)
    answer = steps.throw(RuntimeError("the secret"))
    assert isinstance(answer, Write) and status(answer.data) == 500
    assert b"secret" not in answer.data
    with pytest.raises(RuntimeError, match="the secret"):
        next(steps)


def test_process_response() -> None:
    def process_response(target: Any, request: Any, response: Response) -> None:
        response.headers["X-Seen"] = str(response.status_code)

    outcome, written, _ = run(REQUEST, process_response=process_response)
    assert outcome is not None and b"X-Seen: 101\r\n" in written
    bad = REQUEST.replace(b"Version: 13", b"Version: 99")
    _, written, _ = run(bad, process_response=process_response)
    assert b"X-Seen: 426\r\n" in written


def test_process_response_may_still_refuse() -> None:
    refusal = Response(503, "Service Unavailable", Headers(), b"later")
    outcome, written, target = run(REQUEST, process_response=lambda *_: refusal)
    assert outcome is None and status(written) == 503
    assert target.response is refusal


def test_select_subprotocol() -> None:
    seen: list[Any] = []

    def select(target: Any, offered: Any) -> str:
        seen.append((target, list(offered)))
        return "superchat"

    (agreement, _), written, target = run(REQUEST, select_subprotocol=select)
    assert agreement.subprotocol == "superchat"
    assert b"Sec-WebSocket-Protocol: superchat\r\n" in written
    assert seen == [(target, ["chat", "superchat"])]


def test_plain_requests_go_on() -> None:
    outcome, written, target = run(PLAIN + PLAIN, REQUEST)
    assert outcome is not None and target.request.path == "/chat"
    assert written.count(b"HTTP/1.1 ") == 3


def test_limits() -> None:
    _, written, _ = run(REQUEST, limits=Limits(max_headers=3))
    assert status(written) == 431


def test_a_server_that_fills_up_while_a_hook_is_awaited_refuses() -> None:
    class Filling:
        full = False

        def is_full(self) -> bool:
            return self.full

    connection = Filling()
    serving = Serving(options=ServerOptions(), process_response=lambda *args: None)
    steps = open_server(connection, serving, secure=False)
    next(steps)
    call = steps.send(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert isinstance(call, Call)
    connection.full = True
    write = steps.send(None)
    assert isinstance(write, Write)
    assert write.data.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After" in write.data
    with pytest.raises(StopIteration) as stop:
        steps.send(None)
    assert stop.value.value is None
