"""User names and passwords: HTTP Basic authentication (RFC 7617)."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from duplexer.errors import InvalidHeader
from duplexer.http.headers import build_www_authenticate_basic, parse_authorization_basic
from duplexer.policy.authentication import (
    HIDDEN,
    Grant,
    Presented,
    Scheme,
    refusal,
    with_headers,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from duplexer.http.messages import Request, Response

__all__ = ["Basic"]


class Basic(Scheme):
    """For ``authenticate=``: asks for a user name and a password.

    ``check`` is a pair of these, several pairs, or a function of user name and password, that may
    be a coroutine function where the front has coroutines. The function gives back ``True``, a user
    or a :class:`~duplexer.policy.authentication.Grant` to let somebody in; ``None`` or ``False``
    for a 401; or any other response. Without another user ``ws.user`` is the user name.
    ``realm`` says what the password is for.

    Browsers cannot answer a 401 for a WebSocket: see the how-to on authentication. But the password
    that a page of the same site was opened with they send along, as they do with cookies.
    """

    is_ambient = True

    def __init__(
        self,
        check: tuple[str, str]
        | Iterable[tuple[str, str]]
        | Callable[[str, str], Awaitable[Any] | Any],
        realm: str = "",
    ) -> None:
        super().__init__(check if callable(check) else password_checker(check))
        self._challenge = build_www_authenticate_basic(realm)

    def read(self, request: Request) -> Presented:
        """See :class:`~duplexer.policy.authentication.Scheme`."""
        values = request.headers.get_all("Authorization")
        if not values:
            return Presented(request, refusal=self._refuse("Missing credentials"))
        clean = with_headers(request, {"Authorization": f"Basic {HIDDEN}"})
        try:
            pair = parse_authorization_basic(", ".join(values))
        except InvalidHeader:
            return Presented(clean, refusal=self._refuse("Unsupported credentials"))
        return Presented(clean, pair)

    def judge(self, presented: Presented, verdict: Any) -> Grant | Response:
        """See :class:`~duplexer.policy.authentication.Scheme`."""
        if verdict is True:
            assert presented.credentials is not None
            return Grant(presented.credentials[0])
        return super().judge(presented, verdict)

    def refuse(self, presented: Presented) -> Response:
        """See :class:`~duplexer.policy.authentication.Scheme`."""
        return self._refuse("Invalid credentials")

    def _refuse(self, text: str) -> Response:
        return refusal(401, text, self._challenge)


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(item, str) for item in value)
    )


def password_checker(credentials: Any) -> Callable[[str, str], bool]:
    """A function of user name and password that knows ``credentials``: a pair, or several.

    It takes the same time for a wrong name as for a wrong password, of whatever length.
    """
    pairs = [credentials] if _is_pair(credentials) else list(credentials)
    if not all(map(_is_pair, pairs)):
        raise TypeError("credentials must be a pair of user name and password, or several of these")
    known = {username: digest(password) for username, password in pairs}
    nobody = digest("")

    def check(username: str, password: str) -> bool:
        right = hmac.compare_digest(known.get(username, nobody), digest(password))
        return right and username in known

    return check


def digest(secret: str) -> bytes:
    """What to compare in place of a secret: as long whatever it was, and of no use to who sees it.

    It is for secrets in memory: whoever stores passwords stores a slow hash of each, with a salt.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
