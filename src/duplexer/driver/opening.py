"""One use of ``connect``: what each attempt says to whom, and what follows a refusal.

::

    run():  handshake() ──► route() ──► Shake ──► 101: opened()
                ▲                         │
                └───── refused(exc) ◄─────┘ anything else   (raises when that was the last word)

The front does the steps; what is asked of whom, and with which credentials, is decided here:
redirects (RFC 9110 15.4), answers to 401 (RFC 9110 11), cookies (RFC 6265), turns (RFC 6455 4.1).
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import TYPE_CHECKING, Any

from duplexer.driver.dial import route
from duplexer.driver.login import Login
from duplexer.driver.steps import Disconnect, Shake
from duplexer.driver.tls import default_context
from duplexer.driver.turns import TURNS, is_counted
from duplexer.errors import InvalidHeader, InvalidStatus, InvalidURI, SecurityError
from duplexer.http.headers import Headers, shown
from duplexer.http.uri import parse_uri, redact

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator

    from duplexer.driver.connecting import ConnectBase, Where
    from duplexer.driver.steps import Route, RouteStep, Steps
    from duplexer.driver.turns import Turn
    from duplexer.handshake.client import ClientHandshake
    from duplexer.http.messages import Response
    from duplexer.http.uri import URI

__all__ = ["Opening"]

#: Statuses that say "ask there instead"; ours is a GET, so they all mean the same to us.
REDIRECTS = frozenset({301, 302, 303, 307, 308})

#: Headers of the user's that follow a redirect to another origin. Any other one may be a secret:
#: an API key has no name that we could know.
FOLLOWING = frozenset(
    {"accept", "accept-language", "cache-control", "origin", "pragma", "user-agent"}
)


class Opening:
    """The attempts of one ``connect``; see the figure above."""

    def __init__(self, base: ConnectBase) -> None:
        self.base = base
        self.uri: URI = base.uri
        #: Whether a redirect has led to another origin than the one that the user named. It stays
        #: true if another one leads back: what is asked for there is not the user's choice.
        self.is_elsewhere = False
        self._redirects = 0
        self._seen: set[tuple[str, str | None]] = set()
        self._turns: list[Turn] = []
        self._login = Login(base, self.uri)

    # -- what the next attempt says, and to whom -------------------------------------------------

    @property
    def where(self) -> Where:
        """Where the byte stream goes."""
        where = self.base.where
        if where.is_direct:
            return where
        if self.is_elsewhere:  # the user's host and port stood for those of the first address
            return dataclasses.replace(where, host=self.uri.host, port=self.uri.port)
        return dataclasses.replace(
            where, host=where.host or self.uri.host, port=where.port or self.uri.port
        )

    @property
    def context(self) -> ssl.SSLContext:
        """For TLS to the server.

        The user's own is for the origin that the user named: it may hold a client certificate.
        """
        if self.is_elsewhere or self.base.context is None:
            return default_context()
        return self.base.context

    @property
    def server_hostname(self) -> str:
        """The name that the server is asked for in TLS, and that its certificate has to have."""
        if self.base.server_hostname is None or self.is_elsewhere:
            return self.uri.host
        return self.base.server_hostname

    def handshake(self) -> ClientHandshake:
        """The handshake of the next attempt."""
        headers = Headers(self.base.additional_headers)
        if self.is_elsewhere:
            for name in list(headers):
                if name.lower() not in FOLLOWING:
                    del headers[name]
        authorization = None if self.is_elsewhere else self._login.authorization(self.uri)
        if authorization is not None:
            headers.replace("Authorization", authorization)
        cookies = self._cookies()
        if cookies is not None and "Cookie" not in headers:
            headers["Cookie"] = cookies
        self._seen.add((str(self.uri), cookies))
        return self.base.new_handshake(self.uri, headers)

    def _cookies(self) -> str | None:
        if self.base.cookies is None:
            return None
        from duplexer.http.cookies import cookie_header

        return cookie_header(self.base.cookies, self.uri)

    def route(self) -> Route:
        """The steps to a byte stream."""
        return route(self)

    def run(self) -> Generator[RouteStep | Shake, Any, Any]:
        """All of it: ends in the open connection. Where it raises, the front closes what it has."""
        while True:
            handshake = self.handshake()
            try:
                yield from self.route()
                connection = yield Shake(handshake)
                self.opened(connection.response)
                return connection
            except InvalidStatus as exc:
                refusal = exc
            finally:
                self.leave_turns()
            yield Disconnect()
            yield from self.refused(refusal)

    # -- turns -----------------------------------------------------------------------------------

    def take_turn(self, address: Any, wake: Callable[[], object] | None = None) -> Turn | None:
        """Ask for a turn at ``address``, before connecting to it.

        ``None`` where none is needed. Otherwise it is ``granted`` now, or when ``wake`` is called,
        in whatever thread. ``leave()`` it if something else won.
        """
        most = self.base.limits.max_connecting
        if most is None or not is_counted(address):
            return None
        turn = TURNS.enter(tuple(address[:2]), most, wake)
        self._turns.append(turn)
        return turn

    def leave_turns(self) -> None:
        """The attempt is over, one way or another."""
        turns, self._turns = self._turns, []
        for turn in turns:
            turn.leave()

    # -- what comes back -------------------------------------------------------------------------

    def opened(self, response: Response) -> None:
        """The server has agreed."""
        self._store_cookies(response)

    def refused(self, exc: InvalidStatus) -> Steps:
        """The server has answered ``exc.response``: prepare another attempt, or raise.

        Raises ``exc``, or :exc:`~duplexer.errors.SecurityError` for a redirect that cannot be
        followed.
        """
        response = exc.response
        self._store_cookies(response)
        if self.base.is_single:
            raise exc  # there is no other socket
        if response.status_code in REDIRECTS and self.base.redirects:
            self._redirect(exc)
        elif (
            response.status_code != 401
            or self.is_elsewhere
            or not (yield from self._login.answer(response, self.uri))
        ):
            raise exc

    def _store_cookies(self, response: Response) -> None:
        if self.base.cookies is not None:
            from duplexer.http.cookies import store_cookies

            store_cookies(self.base.cookies, self.uri, response.headers)

    def _redirect(self, exc: InvalidStatus) -> None:
        target = self._target(exc)
        base = self.base
        if self.uri.secure and not target.secure:
            raise SecurityError(
                f"redirect from wss: to {target.shown}, which is not secure"
            ) from exc
        if base.where.path is not None and target.origin != self.uri.origin:
            raise SecurityError(f"redirect from a Unix socket to {target.shown}") from exc
        if self._redirects == base.redirects:
            raise SecurityError(
                f"more than {base.redirects} redirects, the last one to {target.shown}; "
                "raise redirects= if that is right"
            ) from exc
        self._redirects += 1
        self.uri = target
        self.is_elsewhere = self.is_elsewhere or target.origin != base.uri.origin
        if (str(target), self._cookies()) in self._seen:
            raise SecurityError(f"redirects in a circle: to {target.shown} once more") from exc
        base.logger.info("redirected to %s", target.shown)

    def _target(self, exc: InvalidStatus) -> URI:
        locations = exc.response.headers.get_all("Location")
        if len(locations) != 1:
            raise InvalidHeader("Location", "it is there twice" if locations else None) from exc
        # Of http the library knows that an address may be relative to it.
        own = str(self.uri).replace("ws", "http", 1)
        try:
            joined = urllib.parse.urljoin(own, locations[0])
            scheme, colon, rest = joined.partition(":")
            scheme = {"http": "ws", "https": "wss"}.get(scheme.lower(), scheme)
            target = parse_uri(scheme + colon + rest.partition("#")[0])
        except (InvalidURI, ValueError) as bad:
            why = bad.msg if isinstance(bad, InvalidURI) else "malformed"
            raise InvalidHeader("Location", f"{shown(redact(locations[0]))} ({why})") from exc
        # What it says of users and passwords is not the user's.
        same = target.origin == self.base.uri.origin and not self.is_elsewhere
        username, password = (self.base.uri.userinfo if same else None) or (None, None)
        return dataclasses.replace(target, username=username, password=password)
