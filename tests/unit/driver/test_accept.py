"""A server's opening handshake as steps, driven by hand."""

from __future__ import annotations

import dataclasses
import logging
import types
from collections.abc import Callable
from typing import Any

import pytest

from duplexer.carriers.routes import Routes, text
from duplexer.driver.accept import Opener, Serving, open_server
from duplexer.driver.steps import Call, Overdue, Read, Write
from duplexer.errors import HttpError
from duplexer.handshake.server import ServerOptions
from duplexer.http.headers import Headers
from duplexer.http.messages import Response
from duplexer.limits import Limits
from duplexer.policy.bearer import Bearer
from duplexer.policy.forwarded import Client, TrustedProxies
from duplexer.policy.guard import Guard
from duplexer.policy.router import Router

REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\n\r\n"
)
PLAIN = b"GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n"


class Fake(types.SimpleNamespace):
    __hash__ = object.__hash__  # each is another one


def connection(*, full: bool = False) -> Any:
    target = Fake(
        request=None,
        response=None,
        is_full=lambda: full,
        is_left=lambda: False,
        remote_address=("192.0.2.1", 4321),
        client=Client(("192.0.2.1", 4321)),
        introduced=None,
        logger=logging.getLogger("test.accept"),
        login=None,
        limits=Limits(),
    )
    target.use_limits = lambda limits: setattr(target, "limits", limits)
    return target


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


def run_both(
    *reads: bytes | BaseException, target: Any = None, **serving: Any
) -> tuple[Any, bytes, Any]:
    """The same, after ``Opener`` had its try with the first read: it must come to the same."""
    whole = Serving(options=serving.pop("options", ServerOptions(server_header=None)), **serving)
    tried = target or connection()
    first = reads[0] if reads and isinstance(reads[0], bytes) else b""
    opened = Opener(whole).open(tried, first, False)
    untouched = tried.request is None
    outcome, written, result = run(*reads, target=target, options=whole.options, **serving)
    if opened is None:
        assert untouched
    else:
        agreement, rest = opened
        assert (agreement.response, rest) == (outcome[0].response, outcome[1])
        assert agreement.subprotocol == outcome[0].subprotocol
        assert agreement.response.serialize() == written
        assert tried.request == result.request
    return outcome, written, result


def status(written: bytes) -> int:
    return int(written.split(b" ", 2)[1])


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_agreed(step: int) -> None:
    pieces = [REQUEST[i : i + step] for i in range(0, len(REQUEST), step)]
    outcome, written, target = run_both(*pieces)
    agreement, rest = outcome
    assert status(written) == 101 and written.count(b"HTTP/1.1") == 1
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in written
    assert written.endswith(b"\r\n\r\n") and rest == b""
    assert target.request.path == "/chat"
    assert target.response is agreement.response and agreement.subprotocol is None


def test_what_came_with_the_request_is_not_lost() -> None:
    (_, rest), _, _ = run_both(REQUEST + b"\x81\x80abcd")
    assert rest == b"\x81\x80abcd"


def test_a_peer_that_leaves() -> None:
    assert run_both()[:2] == (None, b"")
    assert run_both(REQUEST[:50])[0] is None


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
    outcome, written, _ = run_both(request_)
    assert outcome is None and status(written) == expected
    assert b"\r\nConnection: close" in written


def test_only_one_answer_to_a_refused_upgrade() -> None:
    bad = REQUEST.replace(b"Version: 13", b"Version: 99")
    _, written, _ = run_both(bad + PLAIN)
    assert written.count(b"HTTP/1.1 ") == 1


def test_a_request_that_takes_too_long() -> None:
    outcome, written, _ = run_both(REQUEST[:20], TimeoutError())
    assert outcome is None and status(written) == 408
    outcome, written, _ = run_both(TimeoutError())
    assert (outcome, written) == (None, b"")


def test_a_full_server() -> None:
    outcome, written, _ = run_both(REQUEST, target=connection(full=True))
    assert outcome is None and status(written) == 503 and b"Retry-After" in written
    for most, name in ((1, "max_connections"), (None, "max_threads")):
        guard = Guard(Limits(max_connections=most))
        _, written, _ = run(REQUEST, target=connection(full=True), guard=guard)
        assert guard.struck == {name: 1} and f"({name})".encode() in written


def test_an_answer_of_a_hook_is_no_bound_that_struck() -> None:
    def busy(*_: Any) -> None:
        raise HttpError(503, "there is too much to do: max_message")

    guard = Guard(Limits())
    _, written, _ = run(REQUEST, process_request=busy, guard=guard)
    assert status(written) == 503 and guard.struck == {}


def test_process_request_may_answer() -> None:
    seen: list[Any] = []

    def process_request(target: Any, request: Any) -> Response:
        seen.append((target, request.path))
        return Response(401, "Unauthorized", Headers({"X-Why": "because"}), b"no")

    outcome, written, target = run_both(REQUEST, process_request=process_request)
    assert outcome is None and status(written) == 401
    assert b"X-Why: because\r\n" in written and written.endswith(b"no")
    assert seen == [(target, "/chat")]


def test_process_request_may_let_it_pass() -> None:
    outcome, written, _ = run_both(REQUEST, process_request=lambda _connection, _request: None)
    assert outcome is not None and status(written) == 101


def test_process_request_may_refuse() -> None:
    def process_request(target: Any, request: Any) -> None:
        raise HttpError(402, "pay first")

    outcome, written, _ = run_both(REQUEST, process_request=process_request)
    assert outcome is None and status(written) == 402 and b"pay first" in written


@pytest.mark.parametrize("result", ["yes", (200, {}, b"")])
def test_process_request_cannot_return_anything_else(result: Any) -> None:
    with pytest.raises(TypeError, match="process_request must return a Response"):
        run_both(REQUEST, process_request=lambda _connection, _request: result)


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

    outcome, written, _ = run_both(REQUEST, process_response=process_response)
    assert outcome is not None and b"X-Seen: 101\r\n" in written
    bad = REQUEST.replace(b"Version: 13", b"Version: 99")
    _, written, _ = run_both(bad, process_response=process_response)
    assert b"X-Seen: 426\r\n" in written


def test_process_response_may_still_refuse() -> None:
    refusal = Response(503, "Service Unavailable", Headers(), b"later")
    outcome, written, target = run_both(REQUEST, process_response=lambda *_: refusal)
    assert outcome is None and status(written) == 503
    assert target.response is refusal


def test_select_subprotocol() -> None:
    seen: list[Any] = []

    def select(target: Any, offered: Any) -> str:
        seen.append((target, list(offered)))
        return "superchat"

    (agreement, _), written, target = run_both(REQUEST, select_subprotocol=select)
    assert agreement.subprotocol == "superchat"
    assert b"Sec-WebSocket-Protocol: superchat\r\n" in written
    assert seen == [(target, ["chat", "superchat"])]


def test_plain_requests_go_on() -> None:
    outcome, written, target = run_both(PLAIN + PLAIN, REQUEST)
    assert outcome is not None and target.request.path == "/chat"
    assert written.count(b"HTTP/1.1 ") == 3


def test_limits() -> None:
    _, written, _ = run_both(REQUEST, limits=Limits(max_headers=3))
    assert status(written) == 431


def test_a_server_that_fills_up_while_a_hook_is_awaited_refuses() -> None:
    target = connection()
    serving = Serving(options=ServerOptions(), process_response=lambda *args: None)
    steps = open_server(target, serving, secure=False)
    next(steps)
    call = steps.send(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert isinstance(call, Call)
    target.is_full = lambda: True
    write = steps.send(None)
    assert isinstance(write, Write)
    assert write.data.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After" in write.data
    with pytest.raises(StopIteration) as stop:
        steps.send(None)
    assert stop.value.value is None


ROOM = REQUEST.replace(b"/chat", b"/rooms/7")


def routed_serving(**changes: Any) -> Serving:
    """``/rooms/{room}`` for all, with bounds of its own; ``/private`` by token."""
    router = Router()
    router.add("/rooms/{room}", print)
    router.add("/private", print)
    room, private = router
    serving = Serving(options=ServerOptions(server_header=None), router=router, **changes)
    options = ServerOptions(server_header=None, subprotocols=["chat"])
    places = {
        room: dataclasses.replace(serving, options=options, limits=Limits(max_message=5)),
        private: dataclasses.replace(serving, scheme=Bearer({"secret": "ada"}, "query")),
    }
    return dataclasses.replace(serving, places=places)


def run_routed(request: bytes, **changes: Any) -> tuple[Any, bytes, Any]:
    serving = routed_serving(**changes)
    fields = {field.name: getattr(serving, field.name) for field in dataclasses.fields(serving)}
    return run(request, **fields)


class TestRouter:
    def test_a_place_has_its_own(self) -> None:
        outcome, _, target = run_routed(ROOM)
        assert outcome is not None and outcome[0].subprotocol == "chat"
        assert target.path_parameters == {"room": "7"}
        assert target.limits.max_message == 5

    @pytest.mark.parametrize(
        ("path", "code", "says"),
        [
            (b"/nowhere?secret", 404, b"There is no WebSocket at /nowhere:"),
            (b"/page", 404, b"What is at /page is plain HTTP, and no WebSocket."),
            (b"/private", 401, b"A token is missing."),
        ],
    )
    def test_elsewhere_is_refused(self, path: bytes, code: int, says: bytes) -> None:
        request = ROOM.replace(b"/rooms/7", path)
        outcome, written, _ = run_routed(request, routes=Routes({"/page": text("hello")}))
        assert outcome is None and status(written) == code
        assert says in written and b"secret" not in written
        assert b"Connection: close\r\n" in written

    @pytest.mark.parametrize(
        ("line", "code"),
        [
            (b"GET /page", 200),
            (b"GET /rooms/7", 426),
            (b"POST /rooms/7", 405),
            (b"GET /nowhere", 404),
            (b"POST /page", 405),
        ],
    )
    def test_plain_http_has_paths_of_its_own(self, line: bytes, code: int) -> None:
        request = PLAIN.replace(b"GET /page", line)
        outcome, written, _ = run_routed(request, routes=Routes({"/page": text("hello")}))
        assert outcome is None and status(written) == code

    def test_hooks_see_no_secret(self) -> None:
        seen = []

        def process_request(connection: Any, request: Any) -> None:
            seen.append(request.path)

        request = ROOM.replace(b"/rooms/7", b"/private?ticket=secret")
        outcome, _, target = run_routed(request, process_request=process_request)
        assert outcome is not None and target.user == "ada"
        assert seen == ["/private?ticket=***"] and target.request.path == seen[0]


class TestSubprotocols:
    """Of browsers, that send a token among them."""

    def ask(self, offers: str, **serving: Any) -> tuple[str | None, bytes]:
        request = REQUEST.replace(b"chat, superchat", offers.encode())
        scheme = Bearer({"secret": "ada"}, via=["subprotocol"])
        outcome, written, _ = run(request, scheme=scheme, **serving)
        assert b"secret" not in written
        return (None if outcome is None else outcome[0].subprotocol), written

    def test_the_name_is_the_answer_where_there_is_no_other(self) -> None:
        assert self.ask("bearer, secret")[0] == "bearer"
        assert self.ask("chat, bearer, secret")[0] == "bearer"

    def test_the_servers_own_go_before(self) -> None:
        options = ServerOptions(subprotocols=["chat"])
        assert self.ask("bearer, secret, chat", options=options)[0] == "chat"
        refused = self.ask("bearer, secret", options=options)[1]
        assert status(refused) == 400

    def test_who_chooses_does_not_see_it(self) -> None:
        seen = []

        def choose(connection: Any, offers: Any) -> str | None:
            seen.append(offers)
            return offers[0] if offers else None

        assert self.ask("bearer, secret, chat", select_subprotocol=choose)[0] == "chat"
        assert self.ask("bearer, secret", select_subprotocol=choose)[0] == "bearer"
        assert seen == [["chat"], []]


class TestOpener:
    def opener(self, **serving: Any) -> Opener:
        return Opener(Serving(options=ServerOptions(subprotocols=["chat"]), **serving))

    def test_the_usual(self) -> None:
        opener = self.opener()
        for path in (b"/chat", b"/chat", b"/other"):
            target = connection()
            request = REQUEST.replace(b"/chat", path)
            opened = opener.open(target, request + b"\x81\x80abcd", False)
            assert opened is not None
            agreement, rest = opened
            assert (agreement.subprotocol, rest) == ("chat", b"\x81\x80abcd")
            assert agreement.response.status_code == 101
            assert target.request.path == path.decode()

    def test_nothing_of_one_connection_is_seen_by_the_next(self) -> None:
        opener = self.opener()
        for left in (
            REQUEST[:50],
            PLAIN,
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\nx",
        ):
            target = connection()
            assert opener.open(target, left, False) is None
            assert target.request is None
            assert opener.open(target, REQUEST, False) is not None

    def test_hosts_that_were_in_order_say_nothing_about_others(self) -> None:
        opener = self.opener()
        assert opener.open(connection(), REQUEST, False) is not None
        for bad in (b"Host: exa mple.com", b"Host: a\r\nHost: example.com", b"Hose: example.com"):
            assert (
                opener.open(connection(), REQUEST.replace(b"Host: example.com", bad), False) is None
            )
        assert opener.open(connection(), REQUEST.replace(b"GET /chat", b"GET /#"), False) is None
        assert opener.open(connection(), REQUEST, False) is not None

    def test_full(self) -> None:
        opener = self.opener(limits=Limits(max_connections=1))
        assert opener.open(connection(full=True), REQUEST, False) is None
        assert opener.open(connection(), REQUEST, False) is not None

    def test_a_router_leads_to_a_place(self) -> None:
        opener = Opener(routed_serving())
        target = connection()
        opened = opener.open(target, ROOM, False)
        assert opened is not None and opened[0].subprotocol == "chat"
        assert target.path_parameters == {"room": "7"}
        assert target.limits.max_message == 5
        for elsewhere in (b"/nowhere", b"/private", b"/page"):
            target = connection()
            request = ROOM.replace(b"/rooms/7", elsewhere)
            assert opener.open(target, request, False) is None
            assert target.request is None and target.limits == Limits()

    @pytest.mark.parametrize("hook", ["process_request", "process_response", "select_subprotocol"])
    def test_hooks_have_their_say(self, hook: str) -> None:
        def called(*args: Any) -> None:
            raise AssertionError("called before its turn")

        assert self.opener(**{hook: called}).open(connection(), REQUEST, False) is None

    def test_what_fails_is_left_to_the_steps(self) -> None:
        class Failing:
            name = "failing"

            def accept(self, params: Any, accepted: Any) -> Any:
                raise ZeroDivisionError

        options = ServerOptions(extensions=[Failing()])  # type: ignore[list-item]
        request = REQUEST[:-2] + b"Sec-WebSocket-Extensions: failing\r\n\r\n"
        assert Opener(Serving(options=options)).open(connection(), request, False) is None


# -- bounds by address, and what is told of refusals -----------------------------------------------


def test_too_many_handshakes() -> None:
    serving = Serving(options=ServerOptions(), limits=Limits(handshake_rate=0.1, handshake_burst=2))
    for expected in (101, 101, 429, 429):
        _, written, _ = run(REQUEST, options=serving.options, guard=serving.guard)
        assert status(written) == expected
    assert b"Retry-After: 10\r\n" in written
    assert serving.guard.struck == {"handshake_rate": 2}
    assert Opener(serving).open(connection(), REQUEST, False) is None  # for open_server to count


def test_who_fails_too_often_is_not_asked_again() -> None:
    asked = []

    def process_request(connection: Any, request: Any) -> Response:
        asked.append(request)
        return Response(401, "Unauthorized", Headers(), b"")

    guard = Guard(Limits(failure_rate=0.1, failure_burst=3))
    statuses = []
    for _ in range(5):
        _, written, _ = run(REQUEST, process_request=process_request, guard=guard)
        statuses.append(status(written))
    assert (statuses, len(asked)) == ([401, 401, 401, 429, 429], 3)
    assert guard.struck == {"failure_rate": 2}


@pytest.mark.parametrize("end", ["leaves", "hook fails", "is refused by the hook"])
def test_who_hears_nothing_of_what_was_shown_has_not_failed(end: str) -> None:
    guard = Guard(Limits(failure_rate=0.001, failure_burst=1))
    serving = Serving(options=ServerOptions(), guard=guard, process_request=print)
    steps = open_server(connection(), serving, secure=False)
    next(steps)
    assert isinstance(steps.send(REQUEST), Call)
    other = open_server(connection(), serving, secure=False)
    next(other)
    too_early = other.send(REQUEST)
    assert isinstance(too_early, Write) and status(too_early.data) == 429
    if end == "leaves":
        steps.close()
    else:
        error = ValueError("what") if end == "hook fails" else HttpError(403, "no")
        assert isinstance(steps.throw(error), Write)
    _, written, _ = run(REQUEST, guard=guard)
    assert status(written) == (429 if end == "is refused by the hook" else 101)


def test_a_request_that_does_not_come_in_time_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard(Limits())
    with caplog.at_level(logging.INFO):
        run(b"GET / HT", TimeoutError(), guard=guard)
        run(TimeoutError(), guard=guard)
        run(PLAIN, TimeoutError(), guard=guard)  # it has been answered
    assert guard.struck == {"open_timeout": 2}
    lines = [r.getMessage() for r in caplog.records]
    assert len(lines) == 2 and "408" in lines[0]


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (b"GET /\x1b]0; HTTP/1.1\r\n\r\n", "no request, 400 control character in the first line"),
        (
            REQUEST.replace(b"/chat", b"/chat?token=secret").replace(b"13", b"99"),
            "GET /chat, 426 Cannot open a WebSocket connection: version 99 is not spoken here.",
        ),
    ],
)
def test_one_line_for_a_refusal(
    request_: bytes, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run(request_)
    assert [r.getMessage() for r in caplog.records] == [f"refused 192.0.2.1:4321: {line}"]
    assert caplog.records[0].exc_info is None


# -- behind proxies --------------------------------------------------------------------------------


def forwarded(*lines: bytes) -> bytes:
    return REQUEST[:-2] + b"".join(b"X-Forwarded-" + line + b"\r\n" for line in lines) + b"\r\n"


@pytest.mark.parametrize("quick", [True, False])
def test_the_word_of_a_proxy(quick: bool) -> None:
    trusted = TrustedProxies(["192.0.2.0/24"], believes=["for", "proto"])
    serving = {"trusted": trusted, "options": ServerOptions()}
    request = forwarded(b"For: 198.51.100.1", b"Proto: https", b"Host: ignored.example")
    target, stranger = connection(), connection()
    stranger.remote_address = ("203.0.113.1", 1)
    # TLS ends at the proxy: a page that came without is of another origin.
    foreign = request[:-2] + b"Origin: http://example.com\r\n\r\n"
    for each, data, agreed in (
        (target, foreign, False),
        (target, request, True),
        (stranger, foreign, True),
    ):
        if quick:
            agreement = Opener(Serving(**serving)).open(each, data, False)  # type: ignore[arg-type]
        else:
            agreement = run(data, target=each, **serving)[0]
        assert (agreement is not None) is agreed
    assert target.client == Client(("198.51.100.1", 0), True, None)
    assert stranger.client == Client(("203.0.113.1", 1))


@pytest.mark.parametrize("quick", [True, False])
def test_the_host_that_a_proxy_was_asked_for(quick: bool) -> None:
    trusted = TrustedProxies(["192.0.2.1"], believes=["host"])
    serving = Serving(options=ServerOptions(), trusted=trusted)
    for origin, agreed in ((b"https://public.example", True), (b"https://example.com", False)):
        request = forwarded(b"Host: public.example")[:-2] + b"Origin: " + origin + b"\r\n\r\n"
        if quick:
            agreement = Opener(serving).open(connection(), request, False)
        else:
            agreement = run(request, options=serving.options, trusted=trusted)[0]
        assert (agreement is not None) is agreed


def test_each_request_has_its_own_client() -> None:
    target = connection()
    seen = []

    def process_request(connection: Any, request: Any) -> None:
        seen.append(connection.client.address[0])

    requests = [
        PLAIN[:-2] + b"X-Forwarded-For: 198.51.100.1\r\n\r\n",
        PLAIN[:-2] + b"X-Forwarded-For: 198.51.100.2, 198.51.100.3\r\n\r\n",
        PLAIN,
    ]
    trusted = TrustedProxies(["192.0.2.1"])
    run(*requests, target=target, trusted=trusted, process_request=process_request)
    assert seen == ["198.51.100.1", "198.51.100.3", "192.0.2.1"]


def test_what_a_proxy_has_introduced_may_be_a_proxy_itself() -> None:
    target = connection()
    target.introduced = ("10.0.0.1", 5)
    run(forwarded(b"For: 198.51.100.1"), target=target, trusted=TrustedProxies(["10.0.0.1"]))
    assert target.client.address == ("198.51.100.1", 0)


@pytest.mark.parametrize("quick", [True, False])
def test_clients_are_bounded_and_proxies_are_not(quick: bool) -> None:
    trusted = TrustedProxies(["192.0.2.1"])
    serving = Serving(options=ServerOptions(), limits=Limits(max_per_address=1), trusted=trusted)
    opener = Opener(serving)
    answers = []
    for number, last in enumerate((1, 1, 2, 2)):
        target = connection()
        assert serving.guard.enter(number, target.remote_address)
        serving.guard.leave(number)
        request = forwarded(b"For: 198.51.100.%d" % last)
        is_in = quick and opener.open(target, request, False) is not None
        if not is_in:  # which asks again
            outcome, _, _ = run(request, target=target, guard=serving.guard, trusted=trusted)
            is_in = outcome is not None
        answers.append(is_in)
    assert answers == [True, False, True, False]
    assert serving.guard.struck["max_per_address"] == 2


def test_a_hook_that_does_not_end_in_time() -> None:
    def hang(*_: Any) -> None:
        raise Overdue

    guard = Guard(Limits())
    outcome, written, _ = run(REQUEST, process_request=hang, guard=guard)
    assert outcome is None
    assert status(written) == 503 and b"Retry-After: 5\r\n" in written
    assert guard.struck == {"open_timeout": 1}


def test_what_has_to_end_in_time() -> None:
    """What decides about a WebSocket; an answer of plain HTTP takes as long as it takes."""
    for request, in_time in ((REQUEST, True), (PLAIN, False)):
        serving = Serving(options=ServerOptions(), process_request=lambda *_: None)
        steps = open_server(connection(), serving, secure=False)
        next(steps)
        step = steps.send(request)
        assert isinstance(step, Call) and step.in_time is in_time
        steps.close()
