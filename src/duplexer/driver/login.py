"""Who a client is: the answers to a 401 (RFC 9110 11), for the origin that the user named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexer.driver.steps import Call
from duplexer.errors import InvalidHeader
from duplexer.http.auth import PasswordAuth, parse_challenges
from duplexer.http.headers import Headers, is_valid_value

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from duplexer.driver.connecting import ConnectBase
    from duplexer.driver.steps import Step
    from duplexer.http.auth import Challenge
    from duplexer.http.messages import Response
    from duplexer.http.uri import URI

__all__ = ["Login"]

#: Answers that a function given as ``auth`` may try for one connection.
MAX_ANSWERS = 3


class Login:
    """The credentials of one ``connect``: those of ``auth`` and of the address.

    A token is sent from the start, and so is what the address has; a password that was given as
    ``auth`` only when asked for, in the safest way that the server offers.
    """

    def __init__(self, base: ConnectBase, uri: URI) -> None:
        self._function: Callable[..., Any] | None = None
        self._passwords: PasswordAuth | None = None
        self._value: str | None = None  # of Authorization
        self._target = uri.resource_name  # of the request that it is for
        self._left = MAX_ANSWERS
        if base.auth is not None and uri.userinfo is not None:
            raise ValueError("credentials are given twice: in the address and as auth=")
        if uri.userinfo is not None:
            self._passwords = PasswordAuth(*uri.userinfo)
            if "Authorization" not in Headers(base.additional_headers):
                # The address has them so that they be sent.
                self._value = self._passwords.preempt("GET", uri.resource_name)
        elif callable(base.auth):
            self._function = base.auth
        elif base.auth is not None:
            self._use(base.auth)

    def _use(self, credentials: Any) -> None:
        if isinstance(credentials, str):
            if not credentials.isascii() or not is_valid_value(credentials) or " " in credentials:
                raise ValueError("auth: a Bearer token is ASCII without spaces (RFC 6750 2.1)")
            self._value = f"Bearer {credentials}"
            self._passwords = None
        elif isinstance(credentials, tuple) and len(credentials) == 2:
            self._passwords = PasswordAuth(*credentials)
        else:
            raise TypeError(
                "auth must be a pair of user name and password, a token or a function that gives "
                f"one of these, not {type(credentials).__name__}"
            )

    def authorization(self, uri: URI) -> str | None:
        """The value of ``Authorization`` for the next request, which goes to ``uri``."""
        if self._passwords is not None and self._value and uri.resource_name != self._target:
            self._target = uri.resource_name  # which is part of what Digest signs
            self._value = self._passwords.preempt("GET", self._target)
        return self._value

    def answer(self, response: Response, uri: URI) -> Generator[Step, Any, bool]:
        """Whether there is an answer to a 401: try again with it."""
        challenges = _challenges(response)
        if self._function is not None:
            if not self._left:
                return False
            self._left -= 1
            credentials = yield Call(self._function, (challenges,))
            if credentials is None:
                return False
            self._use(credentials)
            if isinstance(credentials, str):
                return True
        if self._passwords is None:
            return False
        value = self._passwords.answer(challenges, "GET", uri.resource_name)
        if value is None:
            return False
        self._value = value
        self._target = uri.resource_name
        return True


def _challenges(response: Response) -> list[Challenge]:
    try:
        return parse_challenges(response.headers.get_all("WWW-Authenticate"))
    except InvalidHeader:
        return []  # the refusal itself is the better error
