"""Asking clients for a user name and a password: HTTP Basic authentication (RFC 7617)."""

from __future__ import annotations

import hmac
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from duplexer.errors import InvalidHeader
from duplexer.http.headers import build_www_authenticate_basic, parse_authorization_basic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from duplexer.http.messages import Request, Response

__all__ = ["basic_auth"]


def basic_auth(
    realm: str = "",
    credentials: tuple[str, str] | Iterable[tuple[str, str]] | None = None,
    check_credentials: Callable[[str, str], Awaitable[bool] | bool] | None = None,
) -> Callable[[Any, Request], Any]:
    """A ``process_request`` that lets in who knows a password; the rest gets a 401.

    ``credentials`` is a pair of user name and password, or several; ``check_credentials(username,
    password)`` says whether they are right (and may be a coroutine function where the front has
    coroutines). One of the two is needed. The connection gets an attribute ``username``.
    Browsers cannot answer a 401 for a WebSocket: for pages, see the how-to on authentication.
    """
    if (credentials is None) == (check_credentials is None):
        raise ValueError("give either credentials or check_credentials")
    check = check_credentials or _checker(credentials)
    challenge = build_www_authenticate_basic(realm)

    def refuse(connection: Any, text: str) -> Response:
        response: Response = connection.respond(401, text)
        response.headers["WWW-Authenticate"] = challenge
        return response

    def decide(connection: Any, username: str, right: bool) -> Response | None:
        if not right:
            return refuse(connection, "Invalid credentials\n")
        connection.username = username
        return None

    async def decide_later(
        connection: Any, username: str, verdict: Awaitable[bool]
    ) -> Response | None:
        return decide(connection, username, await verdict)

    def process_request(connection: Any, request: Request) -> Any:
        values = request.headers.get_all("Authorization")
        if not values:
            return refuse(connection, "Missing credentials\n")
        try:
            username, password = parse_authorization_basic(", ".join(values))
        except InvalidHeader:
            return refuse(connection, "Unsupported credentials\n")
        verdict = check(username, password)
        if isawaitable(verdict):
            return decide_later(connection, username, verdict)
        return decide(connection, username, verdict)

    return process_request


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(item, str) for item in value)
    )


def _checker(credentials: Any) -> Callable[[str, str], bool]:
    pairs = [credentials] if _is_pair(credentials) else list(credentials)
    if not all(map(_is_pair, pairs)):
        raise TypeError("credentials must be a pair of user name and password, or several of these")
    known = {username: password.encode() for username, password in pairs}

    def check(username: str, password: str) -> bool:
        # In the same time for a wrong name as for a wrong password.
        right = hmac.compare_digest(known.get(username, b""), password.encode())
        return right and username in known

    return check
