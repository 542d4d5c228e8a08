"""Letting users in, driven by hand; tests/contract/test_policy.py does it over real connections."""

from __future__ import annotations

import asyncio
import logging
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
from duplexer.policy.forwarded import Client
from duplexer.policy.guard import Guard

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
            server=types.SimpleNamespace(guard=Guard(Limits())), logger=logging.getLogger("test"),
            client=Client(("192.0.2.1", 4321)),
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
        connection.login.is_pending, connection.user = False, "ada"
        for token, is_right in (("good", True), ("bad", False)):
            connection.session.lifetime = None
            answer = renew(connection, token)
            assert (await answer if wait else answer) is is_right
            assert connection.user == "ada"
            assert (connection.session.lifetime is not None) == is_right


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("place", ["first message", "renewal"])
async def test_who_fails_after_the_handshake_has_only_so_many_tries(
    place: str, is_async: bool
) -> None:
    guard, asked = Guard(Limits(failure_rate=0.001, failure_burst=3)), []

    def look(token: str) -> Any:
        asked.append(token)
        if token == "broken":
            raise ZeroDivisionError
        return verify(token)

    async def look_later(token: str) -> Any:
        return look(token)

    async def handler(connection: Any) -> None:
        pass

    async def refused(message: Any) -> Any:
        scheme = Bearer(look_later if is_async else look, via="message")
        connection = AsyncConnection(message, scheme=scheme)
        connection.server.guard = guard
        if place == "first message":
            await admitted(handler, is_async=True)(connection)
            return connection.closed
        connection.login.is_pending, connection.user = False, "ada"
        answer = renew(connection, message)
        return not (await answer if is_async and not isinstance(answer, bool) else answer)

    no, later = ((3000, "wrong token"), (1013, "try again later"))
    for message in ("good", "busy", "good", "teapot", "good", "good"):
        assert bool(await refused(message)) == (message != "good")  # none of them has failed
    with pytest.raises(ZeroDivisionError):
        await refused("broken")
    asked.clear()
    expected = [no, no, (3003, "forbidden"), later, later]
    if place == "renewal":
        expected = [True] * 5
    messages = [b"binary" if place == "first message" else "bad", "bad", "forbidden", "bad", "good"]
    assert [await refused(message) for message in messages] == expected
    assert asked == (["bad", "forbidden"] if place == "first message" else messages[:3])
    assert guard.struck == {"failure_rate": 2}


def test_another_user_does_not_take_over(caplog: pytest.LogCaptureFixture) -> None:
    users = {"ada": {"id": 1}, "ada, later": {"id": 1, "at": 2}, "bob": {"id": 2}}

    def renewed(token: str, **kwargs: Any) -> Any:
        connection = Connection(scheme=Bearer(users, **kwargs))
        connection.server.guard = Guard(Limits(failure_rate=0.001, failure_burst=1))
        connection.login.is_pending, connection.user = False, {"id": 1}
        is_right = renew(connection, token)
        assert is_right == (connection.session.lifetime != ())
        assert connection.user == (users[token] if is_right else {"id": 1})
        if not is_right:  # it counts as a failure
            assert not renew(connection, "ada")
        return is_right

    assert renewed("ada") and not caplog.records
    assert not renewed("ada, later") and not renewed("bob")
    assert ["same_user" in record.getMessage() for record in caplog.records] == [True] * 2
    by_id = {"same_user": lambda old, new: old["id"] == new["id"]}
    assert renewed("ada, later", **by_id) and not renewed("bob", **by_id)


def test_who_came_in_otherwise_has_nothing_to_renew() -> None:
    for scheme in (None, Basic(("ada", "x")), scheme_from(lambda *_: "ada")):
        with pytest.raises(TypeError, match="Bearer"):
            renew(Connection(scheme=scheme), "token")


def test_too_late_to_renew() -> None:
    connection = Connection(scheme=Bearer(verify))
    connection.login.is_pending, connection.user = False, "ada"
    connection.session.is_open = False
    assert renew(connection, "good") is True
    assert connection.session.lifetime == ()


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_coroutine_is_no_user() -> None:
    handle = admitted(lambda ws: ws.user, is_async=False)
    with pytest.raises(TypeError, match="threads have none"):
        handle(Connection("bad", scheme=Bearer(verify_later, via="message")))
