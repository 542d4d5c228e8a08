"""Letting users in: what a scheme of ``duplexer.policy`` decides, done in an opening handshake.

::

    authenticate() ──► ws.user, before the 101        handler(ws)
          │                                               ▲
          └── it comes in the first message ──► admitted(handler): reads it, or closes

What that takes is kept on the connection as its ``login``.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from time import monotonic
from typing import TYPE_CHECKING, Any

from duplexer.core.staying import Staying
from duplexer.driver.steps import Call
from duplexer.errors import HttpError
from duplexer.http.messages import Response
from duplexer.policy.authentication import Grant, Presented

if TYPE_CHECKING:
    from collections.abc import Generator

    from duplexer.driver.accept import Serving
    from duplexer.driver.steps import Step
    from duplexer.policy.authentication import Scheme

__all__ = ["Login", "admitted", "authenticate", "prepare", "renew"]

#: What we say when a token is not good any more, or never was: "unauthorized" in IANA's registry
#: of close codes, where 3003 is "forbidden" and 3008 "timeout".
EXPIRED = (3000, "token expired")
WRONG = (3000, "wrong token")
#: ... and when none has come in time.
LATE = (3008, "no token came in time")

#: What the log says of a renewal.
_ANOTHER = (
    "renew() was given a token of another user, and refused it: if users that are not equal may be "
    "the same, Bearer(same_user=) has to say so"
)

#: What a response says of a token, as a code to close with where it is too late for a response.
_CODES = {
    403: (3003, "forbidden"),
    429: (1013, "try again later"),
    503: (1013, "try again later"),
}


class Login:
    """How the user of one connection came in."""

    __slots__ = ("is_pending", "lifetime", "scheme")

    def __init__(self, scheme: Scheme, lifetime: float | None, is_pending: bool) -> None:
        self.scheme = scheme
        #: seconds that are left, at the time of the handshake
        self.lifetime = lifetime
        #: whether the first message has yet to say who it is
        self.is_pending = is_pending


def authenticate(
    connection: Any, place: Serving, presented: Presented
) -> Generator[Step, Any, Response | None]:
    """Ask who it is: ``None``, or the answer to somebody who may not come in."""
    scheme = place.scheme
    assert scheme is not None
    if presented.is_later:
        connection.login = Login(scheme, None, True)
        return None
    if presented.credentials is None:
        return presented.refusal
    verdict = yield Call(scheme.ask, (connection, presented), in_time=True)
    outcome, lifetime = _judged(scheme, presented, verdict)
    if isinstance(outcome, Response):
        if outcome.status_code < 200:
            raise ValueError(f"authenticate gave back a response that lets in: {outcome!r}")
        return outcome
    connection.user = outcome.user
    connection.login = Login(scheme, lifetime, False)
    return None


def _judged(
    scheme: Scheme, presented: Presented, verdict: Any
) -> tuple[Grant | Response, float | None]:
    """What follows, and for how many seconds."""
    outcome = scheme.judge(presented, verdict)
    if isinstance(outcome, Response) or outcome.expires is None:
        return outcome, None
    lifetime = outcome.expires - time.time()
    return (outcome, lifetime) if lifetime > 0 else (scheme.refuse(presented), None)


def prepare(connection: Any) -> None:
    """Before the 101: have the connection closed when it is time."""
    login: Login | None = connection.login
    if login is None:
        return
    staying = connection.staying or Staying()
    if login.is_pending:
        limits = connection.limits
        connection.staying = dataclasses.replace(
            staying,
            lifetime=limits.first_message_timeout,
            farewell=LATE,
            first_message=limits.first_message,
        )
    elif login.lifetime is not None:
        connection.staying = dataclasses.replace(staying, lifetime=login.lifetime, farewell=EXPIRED)


def came_late(connection: Any) -> bool:
    """Whether it has ended because no token came in time."""
    login: Login | None = connection.login
    sent = connection.session.close_sent
    return login is not None and login.is_pending and sent is not None and sent.code == LATE[0]


# -- the first message ---------------------------------------------------------------------------


def admitted(handler: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
    """``handler`` for those who have shown who they are; for nobody else is it called."""

    async def handle_later(connection: Any) -> Any:
        if connection.login is not None and connection.login.is_pending:
            refused = _take(connection, await connection.recv())
            if isawaitable(refused):
                refused = await refused
            if refused is not None:
                await connection.close(*refused)
                return None
        return await handler(connection)

    def handle(connection: Any) -> Any:
        if connection.login is not None and connection.login.is_pending:
            refused = _take(connection, connection.recv())
            if isawaitable(refused):
                raise TypeError("what verifies tokens is a coroutine function: threads have none")
            if refused is not None:
                connection.close(*refused)
                return None
        return handler(connection)

    return handle_later if is_async else handle


def _take(connection: Any, message: Any) -> Any:
    """Let in whom ``message`` is from; what to close with otherwise, or an awaitable of it."""
    return _show(connection, connection.login.scheme.read_message(message, connection.request))


def _show(connection: Any, presented: Presented) -> Any:
    """Ask who it is, after the handshake; see ``_take``. Who fails has only so many tries."""
    try:
        connection.server.guard.attempt(connection.client.address, monotonic())
    except HttpError as error:
        return _CODES[error.status]
    if presented.credentials is None:
        return WRONG
    try:
        verdict = connection.login.scheme.ask(connection, presented)
    except BaseException:
        _answered(connection, None)
        raise
    if isawaitable(verdict):
        return _settle_later(connection, presented, verdict)
    return _settle(connection, presented, verdict)


async def _settle_later(
    connection: Any, presented: Presented, verdict: Awaitable[Any]
) -> tuple[int, str] | None:
    try:
        outcome = await verdict
    except BaseException:  # also of a connection that has ended meanwhile
        _answered(connection, None)
        raise
    return _settle(connection, presented, outcome)


def _settle(connection: Any, presented: Presented, verdict: Any) -> tuple[int, str] | None:
    login: Login = connection.login
    outcome, lifetime = _judged(login.scheme, presented, verdict)
    if isinstance(outcome, Response):
        _answered(connection, outcome.status_code)
        return _CODES.get(outcome.status_code, WRONG)
    if not (login.is_pending or login.scheme.is_same_user(connection.user, outcome.user)):
        _answered(connection, 403)
        if connection.server.guard.may_log(monotonic()) is not None:
            connection.logger.warning(_ANOTHER, extra={"websocket": connection})
        return _CODES[403]
    _answered(connection, 101)
    connection.user = outcome.user
    login.is_pending = connection.session.is_stranger = False
    if connection.session.is_open:
        connection.session.set_lifetime(lifetime, EXPIRED)
        connection.rearm()
    return None


def _answered(connection: Any, status: int | None) -> None:
    connection.server.guard.answered(connection.client.address, status, monotonic())


# -- in between ----------------------------------------------------------------------------------


def renew(connection: Any, token: Any) -> Any:
    """Let the user stay by another token: whether it is theirs, or an awaitable of that."""
    login: Login | None = connection.login
    if login is None or not login.scheme.takes_tokens:
        raise TypeError("renew() is for connections that came in by a Bearer token")
    refused = _show(connection, Presented(connection.request, (token,)))
    return _renewed_later(refused) if isawaitable(refused) else refused is None


async def _renewed_later(refused: Awaitable[Any]) -> bool:
    return await refused is None
