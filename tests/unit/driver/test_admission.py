"""Letting users in, driven by hand; tests/contract/test_policy.py does it over real connections."""

from __future__ import annotations

import asyncio
import time
import types
from typing import Any

import pytest

from duplexer.core.staying import Staying
from duplexer.driver.accept import Serving
from duplexer.driver.admission import Login, admitted, authenticate, prepare, renew
from duplexer.driver.steps import Call
from duplexer.handshake.server import ServerOptions
from duplexer.http.headers import Headers
from duplexer.http.messages import Request, make_response
from duplexer.limits import Limits
from duplexer.policy.authentication import Grant, Presented, scheme_from
from duplexer.policy.basic import Basic
from duplexer.policy.bearer import Bearer

REQUEST = Request("/", Headers({"Host": "h"}))


class Session:
    is_open = True
    is_stranger = True
    lifetime: Any = ()

    def set_lifetime(self, seconds: float | None, farewell: tuple[int, str]) -> None:
        self.lifetime = (seconds, farewell)


class Connection(types.SimpleNamespace):
    """What a front has, as far as it matters here; ``messages`` are the peer's."""

    def __init__(self, *messages: Any, scheme: Any = None) -> None:
        login = None if scheme is None else Login(scheme, None, is_pending=True)
        super().__init__(
            request=REQUEST, login=login, user=None, staying=None, limits=Limits(),
            session=Session(), closed=None, rearmed=0, messages=list(messages),
        )  # fmt: skip

    def rearm(self) -> None:
        self.rearmed += 1

    def recv(self) -> Any:
        return self.messages.pop(0)

    def close(self, *closed: Any) -> None:
        self.closed = closed


class AsyncConnection(Connection):
    async def recv(self) -> Any:
        return super().recv()

    async def close(self, *closed: Any) -> None:
        super().close(*closed)


def ask(verdict: Any, connection: Any = None, presented: Any = None) -> tuple[Any, Any]:
    """What ``authenticate`` ends in when the user's function gives back ``verdict``."""
    connection = connection or Connection()
    scheme = scheme_from(lambda connection, request: verdict)
    serving = Serving(options=ServerOptions(), scheme=scheme)
    steps = authenticate(connection, serving, presented or Presented(REQUEST, ()))
    try:
        step = next(steps)
        assert isinstance(step, Call)
        steps.send(step.function(*step.args))
    except StopIteration as stop:
        return stop.value, connection
    raise AssertionError("it asks once")


def test_a_user_comes_in() -> None:
    refused, connection = ask("ada")
    assert refused is None
    assert connection.user == "ada" and not connection.login.is_pending
    prepare(connection)
    assert connection.staying is None


def test_a_user_comes_in_for_a_time() -> None:
    refused, connection = ask(Grant("ada", time.time() + 100))
    assert refused is None and connection.user == "ada"
    prepare(connection)
    assert 90 < connection.staying.lifetime <= 100
    assert connection.staying.farewell == (3000, "token expired")


def test_a_time_that_is_over_is_none() -> None:
    refused, connection = ask(Grant("ada", time.time() - 1))
    assert refused.status_code == 403 and connection.user is None


def test_a_response_is_the_answer() -> None:
    response = make_response(429, b"later")
    assert ask(response)[0] is response
    with pytest.raises(ValueError, match="lets in"):
        ask(make_response(101, b""))


def test_nothing_is_asked_where_nothing_was_shown() -> None:
    refusal = make_response(401, b"")
    assert ask("ada", presented=Presented(REQUEST, refusal=refusal))[0] is refusal
    refused, connection = ask("ada", presented=Presented(REQUEST, is_later=True))
    assert refused is None and connection.user is None and connection.login.is_pending


def test_a_first_message_has_bounds() -> None:
    connection = Connection(scheme=Bearer({}, via="message"))
    connection.limits = Limits(first_message=100, first_message_timeout=3.0)
    connection.staying = Staying(keep_unacknowledged=True)
    prepare(connection)
    staying = connection.staying
    assert (staying.lifetime, staying.first_message) == (3.0, 100)
    assert staying.farewell == (3008, "no token came in time") and staying.keep_unacknowledged


def test_without_authentication_nothing_is_prepared() -> None:
    connection = Connection()
    prepare(connection)
    assert connection.staying is None


VERDICTS = [
    ("good", None),
    ("bad", (3000, "wrong token")),
    (b"binary", (3000, "wrong token")),
    ("forbidden", (3003, "forbidden")),
    ("busy", (1013, "try again later")),
    ("teapot", (3000, "wrong token")),
]


def verify(token: str) -> Any:
    statuses = {"forbidden": 403, "busy": 429, "teapot": 418}
    if token in statuses:
        return make_response(statuses[token], b"")
    return Grant("ada", time.time() + 50) if token == "good" else None


async def verify_later(token: str) -> Any:
    await asyncio.sleep(0)
    return verify(token)


@pytest.mark.parametrize(("message", "closed"), VERDICTS)
@pytest.mark.parametrize("verify", [verify, verify_later])
async def test_a_first_message_is_awaited(message: Any, closed: Any, verify: Any) -> None:
    handled = []

    async def handler(connection: Any) -> str:
        handled.append(connection.user)
        return "result"

    handle = admitted(handler, is_async=True)
    connection = AsyncConnection(message, scheme=Bearer(verify, via="message"))
    result = await handle(connection)
    assert connection.closed == closed
    assert (handled, result) == ((["ada"], "result") if closed is None else ([], None))
    if closed is None:
        seconds, farewell = connection.session.lifetime
        assert 40 < seconds <= 50 and farewell == (3000, "token expired")
        assert connection.rearmed == 1 and not connection.login.is_pending


@pytest.mark.parametrize(("message", "closed"), VERDICTS)
def test_a_first_message_is_waited_for_in_a_thread(message: Any, closed: Any) -> None:
    handle = admitted(lambda connection: connection.user, is_async=False)
    connection = Connection(message, scheme=Bearer(verify, via="message"))
    assert handle(connection) == ("ada" if closed is None else None)
    assert connection.closed == closed


async def test_who_has_come_in_already_says_nothing() -> None:
    async def handler(connection: Any) -> Any:
        return connection.user

    connection = AsyncConnection()
    assert await admitted(handler, is_async=True)(connection) is None
    ask("ada", connection)
    assert await admitted(handler, is_async=True)(connection) == "ada"
    assert admitted(lambda ws: ws.user, is_async=False)(connection) == "ada"


async def test_renewing() -> None:
    for function, wait in ((verify, False), (verify_later, True)):
        connection = Connection(scheme=Bearer(function))
        connection.login.is_pending = False
        for token, is_right in (("good", True), ("bad", False)):
            connection.session.lifetime = None
            answer = renew(connection, token)
            assert (await answer if wait else answer) is is_right
            assert connection.user == "ada"
            assert (connection.session.lifetime is not None) == is_right


def test_who_came_in_otherwise_has_nothing_to_renew() -> None:
    for scheme in (None, Basic(("ada", "x")), scheme_from(lambda *_: "ada")):
        with pytest.raises(TypeError, match="Bearer"):
            renew(Connection(scheme=scheme), "token")


def test_too_late_to_renew() -> None:
    connection = Connection(scheme=Bearer(verify))
    connection.session.is_open = False
    assert renew(connection, "good") is True
    assert connection.session.lifetime == ()


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_coroutine_is_no_user() -> None:
    handle = admitted(lambda ws: ws.user, is_async=False)
    with pytest.raises(TypeError, match="threads have none"):
        handle(Connection("bad", scheme=Bearer(verify_later, via="message")))
