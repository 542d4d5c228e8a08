"""Who a client is: what comes out of asking, and how a request is read for it.

::

    request ──► read() ──► Presented ──► ask(): the user's code ──► judge() ──► Grant
                              │                                        │
                              └── refusal: a response ◄────────────────┘

A ``Scheme`` is one way of showing who one is. It takes what is secret out of the request before
anybody else sees it: hooks, handlers, logs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from duplexer.http.headers import Headers
from duplexer.http.messages import Request, Response, make_response

__all__ = ["HIDDEN", "Grant", "Hook", "Presented", "Scheme", "scheme_from"]

#: What stands in requests where a secret was.
HIDDEN = "***"


@dataclasses.dataclass(frozen=True, slots=True)
class Grant:
    """A user who may come in, until ``expires``: seconds since 1970, as ``exp`` of a JWT has them.

    What ``authenticate`` and the functions of ``Bearer`` and ``Basic`` may give back in place of a
    user. When it expires the connection is closed with 3000, unless it has been renewed.
    """

    user: Any
    expires: float | None = None

    def __post_init__(self) -> None:
        expires = self.expires
        if expires is None:
            return
        if isinstance(expires, bool) or not isinstance(expires, (int, float)):
            kind = type(expires).__name__
            raise TypeError(f"expires must be seconds since 1970, not {kind}; see timestamp()")
        if not math.isfinite(expires):
            raise ValueError(f"expires must be seconds since 1970, not {expires}")


class Presented(NamedTuple):
    """What a request says of who sends it."""

    #: the request as everybody else is to see it
    request: Request
    #: what the user's code is asked about; ``None`` if there is nothing to ask
    credentials: tuple[Any, ...] | None = None
    #: the answer if there is nothing to ask
    refusal: Response | None = None
    #: what to agree to where no other subprotocol is: the client's offer that says a token follows
    subprotocol: str | None = None
    #: whether it is to be said in the first message
    is_later: bool = False


class Scheme:
    """A way of showing who one is; ``verify`` is the user's function that knows."""

    #: whether browsers present it by themselves, whatever page makes them
    is_ambient = False
    #: whether it may come in the first message
    takes_message = False
    #: whether another token may come later
    takes_tokens = False

    def __init__(self, verify: Callable[..., Any]) -> None:
        if not callable(verify):
            raise TypeError(f"expected a function, not {type(verify).__name__}")
        self.verify = verify

    def read(self, request: Request) -> Presented:
        """Take the credentials out of ``request``."""
        raise NotImplementedError

    def read_message(self, message: Any, request: Request) -> Presented:
        """Take the credentials out of the first message; there is no ``refusal`` then."""
        raise NotImplementedError

    def ask(self, connection: Any, presented: Presented) -> Any:
        """Call the user's function: what it gives back, or an awaitable of that."""
        assert presented.credentials is not None
        return self.verify(*presented.credentials)

    def judge(self, presented: Presented, verdict: Any) -> Grant | Response:
        """What follows from what the user's function gave back."""
        if isinstance(verdict, (Response, Grant)):
            return verdict
        if verdict is None or verdict is False:
            return self.refuse(presented)
        return Grant(verdict)

    def refuse(self, presented: Presented) -> Response:
        """The answer to credentials that are not right, or not any more."""
        raise NotImplementedError

    def is_same_user(self, old: Any, new: Any) -> bool:
        """Whether another token is of the same user."""
        return bool(old == new)


class Hook(Scheme):
    """A function of the user's that is asked about the connection and its request."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function) or isinstance(function, type):
            raise TypeError(
                "authenticate must be a function of connection and request, a Bearer or a Basic, "
                f"not {function!r}"
            )
        super().__init__(function)

    def read(self, request: Request) -> Presented:
        """See :class:`Scheme`: only the user knows what is secret here."""
        return Presented(request, ())

    def ask(self, connection: Any, presented: Presented) -> Any:
        """See :class:`Scheme`."""
        return self.verify(connection, presented.request)

    def refuse(self, presented: Presented) -> Response:
        """See :class:`Scheme`. It is no 401, which would have to say how to do better."""
        return refusal(403, "You may not come in.")


def scheme_from(authenticate: Any) -> Scheme | None:
    """What ``authenticate=`` stands for; ``TypeError`` for what it cannot be."""
    if authenticate is None or isinstance(authenticate, Scheme):
        return authenticate
    return Hook(authenticate)


def refusal(status: int, text: str, challenge: str | None = None) -> Response:
    """An answer that no cache keeps."""
    headers = Headers({"Cache-Control": "no-store"})
    if challenge is not None:
        headers["WWW-Authenticate"] = challenge
    return make_response(status, f"{text}\n".encode(), headers=headers)


def quoted(text: str) -> str:
    """``text`` as a quoted-string (RFC 9110 5.6.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def with_headers(request: Request, changes: dict[str, str | None]) -> Request:
    """A copy of ``request`` where headers have other values; ``None`` removes one."""
    headers = Headers()
    lowered = {name.lower(): value for name, value in changes.items()}
    seen = set()
    for name, value in request.headers.raw_items():
        lower = name.lower()
        if lower not in lowered:
            headers[name] = value
        elif lower not in seen:
            seen.add(lower)
            changed = lowered[lower]
            if changed is not None:
                headers[name] = changed
    return dataclasses.replace(request, headers=headers)
