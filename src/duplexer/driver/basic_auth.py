"""``basic_auth`` as users of ``websockets`` know it: ``policy.basic`` as a ``process_request``."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from duplexer.policy.authentication import Grant
from duplexer.policy.basic import Basic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from duplexer.http.messages import Request, Response
    from duplexer.policy.authentication import Presented

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
    if check_credentials is None and credentials is not None:
        scheme = Basic(credentials, realm)
    elif credentials is None and check_credentials is not None:
        scheme = Basic(check_credentials, realm)
    else:
        raise ValueError("give either credentials or check_credentials")

    def decide(connection: Any, presented: Presented, right: bool) -> Response | None:
        outcome = scheme.judge(presented, bool(right))
        if not isinstance(outcome, Grant):
            return outcome
        connection.username = outcome.user
        return None

    async def decide_later(
        connection: Any, presented: Presented, verdict: Awaitable[bool]
    ) -> Response | None:
        return decide(connection, presented, await verdict)

    def process_request(connection: Any, request: Request) -> Any:
        presented = scheme.read(request)
        if presented.credentials is None:
            return presented.refusal
        verdict = scheme.ask(connection, presented)
        if isawaitable(verdict):
            return decide_later(connection, presented, verdict)
        return decide(connection, presented, verdict)

    return process_request
