"""Tokens: who has one may come in (RFC 6750).

Programs send them in a header. Browsers cannot, and so there are other ways (``via``):

=============  =====================================================================================
header         ``Authorization: Bearer TOKEN``
subprotocol    ``new WebSocket(url, ["bearer", TOKEN])``; the answer is ``bearer`` or a subprotocol
               of the application, never the token
cookie         a cookie, that browsers send by themselves
query          ``?ticket=TOKEN``: for tokens that are good for once, because addresses are logged
message        the first message; the handler does not see it, nor is it called before
=============  =====================================================================================
"""

from __future__ import annotations

import dataclasses
import hmac
import operator
import urllib.parse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from duplexer.errors import InvalidHeader
from duplexer.http.headers import is_token, is_valid_value, parse_subprotocol
from duplexer.policy.authentication import (
    HIDDEN,
    Presented,
    Scheme,
    quoted,
    refusal,
    with_headers,
)
from duplexer.policy.basic import digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from duplexer.http.messages import Request, Response

__all__ = ["Bearer"]

_PROTOCOL = "Sec-WebSocket-Protocol"


class _Malformed(Exception):
    """Credentials that cannot be read; the text never repeats them."""


class Bearer(Scheme):
    """For ``authenticate=``: asks for a token.

    ``verify`` is a function of the token, or a mapping from tokens to users. The function may be a
    coroutine function where the front has coroutines; it gives back a user or a
    :class:`~duplexer.policy.authentication.Grant`, ``None`` or ``False`` for a 401, or any other
    response. Its own comparisons should be :func:`hmac.compare_digest`'s, as those with a mapping
    are.

    * ``via``: where the token may be, in order of preference: ``"header"``, ``"subprotocol"``,
      ``"cookie"``, ``"query"``, ``"message"``.
    * ``realm``: what the token is for.
    * ``cookie``, ``query``, ``subprotocol``: their names.
    * ``from_message``: a function that finds the token in the first message, where that is not
      all of it; what it raises counts as no token.
    * ``same_user``: a function of two users, whether they are the same: who is there, and who the
      token that ``ws.renew()`` was given belongs to. By default they have to be equal.

    Wherever it was, the token is replaced in ``ws.request`` before anybody else sees that.
    """

    takes_tokens = True

    def __init__(
        self,
        verify: Callable[[str], Any] | Mapping[str, Any],
        via: Iterable[str] = ("header",),
        *,
        realm: str = "",
        cookie: str = "token",
        query: str = "ticket",
        subprotocol: str = "bearer",
        from_message: Callable[[Any], Any] | None = None,
        same_user: Callable[[Any, Any], bool] = operator.eq,
    ) -> None:
        super().__init__(_among(verify) if isinstance(verify, Mapping) else verify)
        via = (via,) if isinstance(via, str) else tuple(via)
        places = {
            "header": self._in_header,
            "subprotocol": self._in_subprotocols,
            "cookie": self._in_cookies,
            "query": self._in_query,
        }
        for place in via:
            if place not in places and place != "message":
                raise ValueError(f"via= knows {', '.join(places)} and message, not {place!r}")
        if not via or len(set(via)) != len(via):
            raise ValueError(f"via= needs at least one place, and each of them once: {via!r}")
        for name, value in (("cookie", cookie), ("subprotocol", subprotocol)):
            if not is_token(value):
                raise ValueError(f"invalid {name}: {value!r}")
        if not is_valid_value(realm):
            raise ValueError(f"invalid realm: {realm!r}")
        self._places = [places[place] for place in via if place != "message"]
        self.is_ambient = "cookie" in via
        self.takes_message = "message" in via
        self._challenge = f"Bearer realm={quoted(realm)}"
        self._cookie = cookie
        self._query = query
        self._subprotocol = subprotocol
        self._from_message = from_message
        self._same_user = same_user

    # -- what comes with the request -------------------------------------------------------------

    def read(self, request: Request) -> Presented:
        """See :class:`~duplexer.policy.authentication.Scheme`."""
        found: list[str] = []
        malformed = ""
        subprotocol: str | None = None
        for look in self._places:  # in all of them: what is not used is taken out all the same
            try:
                token, request = look(request)
            except _Malformed as exc:
                malformed, request = exc.args
                continue
            if token is not None:
                found.append(token)
                if look == self._in_subprotocols:
                    subprotocol = self._subprotocol
        if malformed:
            answer = self._refuse(400, malformed, "invalid_request")
            return Presented(request, refusal=answer)
        if found:
            return Presented(request, (found[0],), subprotocol=subprotocol)
        if self.takes_message:
            return Presented(request, is_later=True)
        return Presented(request, refusal=self._refuse(401, "A token is missing."))

    def _in_header(self, request: Request) -> tuple[str | None, Request]:
        values = request.headers.get_all("Authorization")
        tokens = [value.partition(" ") for value in values if value[:7].lower() == "bearer "]
        if not tokens:
            return None, request
        clean = with_headers(request, {"Authorization": f"Bearer {HIDDEN}"})
        if len(values) > 1:
            raise _Malformed("There are several Authorization headers.", clean)
        return _checked(tokens[0][2].strip(" \t"), clean), clean

    def _in_subprotocols(self, request: Request) -> tuple[str | None, Request]:
        values = request.headers.get_all(_PROTOCOL)
        if not values:
            return None, request
        name = self._subprotocol
        none = with_headers(request, {_PROTOCOL: None})
        try:
            offers = parse_subprotocol(", ".join(values))
        except InvalidHeader:
            text = f"{_PROTOCOL} cannot be read; a token must be made of what names are made of."
            raise _Malformed(text, none) from None
        if name not in offers:
            return None, request
        at = offers.index(name)
        token = offers[at + 1 : at + 2]
        others = offers[:at] + offers[at + 2 :]
        if not token or name in others or token[0] in others:
            # Said twice, the token might be what the server agrees to.
            raise _Malformed(f"In {_PROTOCOL}, one token has to follow {name}.", none)
        return token[0], with_headers(request, {_PROTOCOL: ", ".join([*others, name])})

    def _in_cookies(self, request: Request) -> tuple[str | None, Request]:
        token: str | None = None
        pieces = []
        for value in request.headers.get_all("Cookie"):
            for piece in value.split(";"):
                name, equals, content = piece.strip(" \t").partition("=")
                if equals and name == self._cookie:
                    if token is None:  # the first is that of the most specific path (RFC 6265 5.4)
                        token = content.strip('"')
                    pieces.append(f"{name}={HIDDEN}")
                else:
                    pieces.append(piece.strip(" \t"))
        if token is None:
            return None, request
        return token or None, with_headers(request, {"Cookie": "; ".join(pieces)})

    def _in_query(self, request: Request) -> tuple[str | None, Request]:
        path, mark, query = request.path.partition("?")
        tokens, pieces = [], []
        for piece in query.split("&"):
            name, _, value = piece.partition("=")
            if _unquoted(name) == self._query:
                tokens.append(_unquoted(value))
                piece = f"{name}={HIDDEN}"
            pieces.append(piece)
        if not tokens:
            return None, request
        clean = dataclasses.replace(request, path=f"{path}{mark}{'&'.join(pieces)}")
        if len(tokens) > 1:
            raise _Malformed(f"There are several {self._query} in the address.", clean)
        return tokens[0] or None, clean

    # -- what comes in the first message ---------------------------------------------------------

    def read_message(self, message: Any, request: Request) -> Presented:
        """See :class:`~duplexer.policy.authentication.Scheme`."""
        token: Any = message
        if self._from_message is not None:
            try:
                token = self._from_message(message)
            except Exception:  # noqa: BLE001 - whatever a stranger sends
                token = None
        return Presented(request, (token,) if isinstance(token, str) and token else None)

    # -- the answer ------------------------------------------------------------------------------

    def refuse(self, presented: Presented) -> Response:
        """See :class:`~duplexer.policy.authentication.Scheme`."""
        return self._refuse(401, "The token is wrong, or has expired.", "invalid_token")

    def is_same_user(self, old: Any, new: Any) -> bool:
        """See :class:`~duplexer.policy.authentication.Scheme`."""
        return bool(self._same_user(old, new))

    def _refuse(self, status: int, text: str, error: str | None = None) -> Response:
        # Who has not shown anything is told no error (RFC 6750 3.1).
        challenge = self._challenge if error is None else f'{self._challenge}, error="{error}"'
        return refusal(status, text, challenge)


def _checked(token: str, clean: Request) -> str:
    # b64token (RFC 6750 2.1) is a token of HTTP but for the slash and the padding.
    if not is_token(token.rstrip("=").replace("/", "-")):
        raise _Malformed("The token in Authorization cannot be read.", clean)
    return token


def _unquoted(text: str) -> str:
    return urllib.parse.unquote_plus(text, errors="replace")


def _among(users: Mapping[str, Any]) -> Callable[[str], Any]:
    """A function that finds the user of a token, in the same time whatever the token is."""
    if not all(isinstance(token, str) and token for token in users):
        raise TypeError("tokens must be str, and not empty")
    known = [(digest(token), user) for token, user in users.items()]

    def verify(token: str) -> Any:
        given, found = digest(token), None
        for one, user in known:
            if hmac.compare_digest(one, given):
                found = user
        return found

    return verify
