"""Whether a server wants more connections: what a load balancer asks before it sends some."""

from __future__ import annotations

from collections.abc import Callable

from duplexer.http.headers import Headers
from duplexer.http.messages import Request, Response, make_response

__all__ = ["Readiness"]


class Readiness:
    """A route that answers 200 while the server takes connections, 503 from when it leaves.

    ::

        serve(handler, ..., http={"/readyz": Readiness()})

    ``check()`` may say that it is not ready for another reason, by giving back ``False``; it must
    not block.
    """

    def __init__(self, check: Callable[[], bool] | None = None) -> None:
        self._check = check
        #: Whether the server is about to stop.
        self.leaving = False

    def leave(self) -> None:
        """The server is about to stop. ``Server.drain()`` calls it."""
        self.leaving = True

    def __call__(self, request: Request) -> Response:
        """The answer to ``request``: nobody on the way may keep it."""
        headers = Headers([("Cache-Control", "no-store")])
        if self.leaving:
            # The balancer's connection would keep coming to us, and so would its next question.
            headers["Connection"] = "close"
            return make_response(503, b"leaving\n", headers=headers)
        if self._check is not None and not self._check():
            return make_response(503, b"not ready\n", headers=headers)
        return make_response(200, b"ready\n", headers=headers)
