"""Every exception; the rules that some of them are about are in :mod:`duplexer.rules`.

::

    WebSocketException
    ├── ConnectionClosed             a connection that was open is not any more
    │   ├── ConnectionClosedOK       ... and both sides said goodbye: 1000 or 1001
    │   └── ConnectionClosedError    ... in any other way
    ├── InvalidURI                   an address that is no WebSocket address
    ├── InvalidProxy                 an address that is no proxy's, or of an unknown kind
    ├── InvalidHandshake             the connection was never opened
    │   ├── HttpError                (server) the request deserves this HTTP answer
    │   ├── InvalidMessage           what came back was not HTTP
    │   ├── InvalidStatus            the server answered, but not with 101
    │   ├── ProxyError               a proxy did not let us through
    │   │   ├── InvalidProxyMessage  ... or what it said cannot be read
    │   │   ├── InvalidProxyReply    ... and said why in SOCKS
    │   │   └── InvalidProxyStatus   ... and said why in HTTP
    │   ├── SecurityError            a rule of RFC 6455 that protects the user was broken
    │   ├── InvalidHeader            a header is missing or malformed
    │   │   ├── InvalidHeaderFormat
    │   │   ├── InvalidHeaderValue
    │   │   ├── InvalidOrigin
    │   │   └── InvalidUpgrade
    │   └── NegotiationError         a subprotocol or an extension could not be agreed on
    │       ├── DuplicateParameter
    │       ├── InvalidParameterName
    │       └── InvalidParameterValue
    ├── ProtocolError                a frame or a message broke a rule of ``RULES``
    ├── PeerTimeout                  the peer was silent for too long (also a TimeoutError)
    ├── InvalidState                 this cannot be done in this state of the connection
    └── ConcurrencyError             two tasks want what only one may have (also a RuntimeError)

Every exception answers four questions: ``name`` (stable, for programs), ``party`` (who broke the
rule: ``"peer"``, ``"us"`` or ``"network"``), ``close_code`` (what goes on the wire, or ``None``)
and ``advice`` (what to do about it). ``explain()`` says all of it in a paragraph.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from typing import TYPE_CHECKING, Any, ClassVar

from duplexer.rules import CLOSE_CODE_MEANINGS, RULES, STATUS_HINTS, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "Close",
    "CloseCode",
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DuplicateParameter",
    "HttpError",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidHeaderFormat",
    "InvalidHeaderValue",
    "InvalidMessage",
    "InvalidOrigin",
    "InvalidParameterName",
    "InvalidParameterValue",
    "InvalidState",
    "InvalidProxy",
    "InvalidProxyMessage",
    "InvalidProxyReply",
    "InvalidProxyStatus",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUpgrade",
    "NegotiationError",
    "PeerTimeout",
    "ProtocolError",
    "ProxyError",
    "RULES",
    "Rule",
    "SecurityError",
    "WebSocketException",
    "close_code_is_sendable",
]


class CloseCode(enum.IntEnum):
    """Close codes of RFC 6455 7.4.1 and of the IANA registry that followed it."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


def close_code_is_sendable(code: int) -> bool:
    """Whether ``code`` may appear in a Close frame (RFC 6455 7.4).

    1004, 1005, 1006 and 1015 are never on the wire, 1016 to 2999 are unassigned, and anything
    below 1000 or from 5000 on is out of range.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def _meaning(code: int) -> str:
    if 3000 <= code <= 3999:
        return "registered"
    if 4000 <= code <= 4999:
        return "private use"
    return CLOSE_CODE_MEANINGS.get(code, "unknown")


@dataclasses.dataclass(frozen=True, slots=True)
class Close:
    """The body of a Close frame: ``code`` (1005 stands for an empty body) and ``reason``."""

    code: int
    reason: str = ""

    def __str__(self) -> str:
        text = f"{self.code} ({_meaning(self.code)})"
        # It is the peer's, and may end up in a log or on a terminal: it cannot begin a line there.
        reason = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in self.reason)
        return f"{text} {reason}" if reason else text


@functools.lru_cache(maxsize=64)
def plain_close(code: int) -> Close:
    """``Close(code)``, of which there is one for all who close without a reason."""
    return Close(code)


class WebSocketException(Exception):
    """Base class of everything that duplexer raises on its own account."""

    name: str = "websocket"
    party: str = "us"
    close_code: int | None = None
    advice: str = ""

    def explain(self) -> str:
        """The error, who is responsible, and what to do, as text of a few lines."""
        lines = [str(self) or type(self).__name__, f"Responsible: {self.party} ({self.name})."]
        if self.close_code is not None:
            lines.append(f"Close code: {self.close_code} ({_meaning(self.close_code)}).")
        if self.advice:
            lines.append(f"What to do: {self.advice}")
        if self.__cause__ is not None:
            lines.append(f"Cause: {type(self.__cause__).__name__}: {self.__cause__}")
        return "\n".join(lines)


class ConnectionClosed(WebSocketException):
    """The connection is closed, or lost.

    ``rcvd`` and ``sent`` are the :class:`Close` frames of both directions (``None`` where there
    was none), ``rcvd_then_sent`` tells who began when there are both.
    """

    name = "connection-closed"

    def __init__(
        self,
        rcvd: Close | None,
        sent: Close | None,
        rcvd_then_sent: bool | None = None,
        explanation: str | Callable[[], str] | None = None,
    ) -> None:
        self.rcvd = rcvd
        self.sent = sent
        self.rcvd_then_sent = rcvd_then_sent
        self._explanation = explanation
        super().__init__(rcvd, sent, rcvd_then_sent)

    def __str__(self) -> str:
        rcvd, sent = self.rcvd, self.sent
        if rcvd is None:
            return (
                "no close frame received or sent"
                if sent is None
                else (f"sent {sent}; no close frame received")
            )
        if sent is None:
            return f"received {rcvd}; no close frame sent"
        if self.rcvd_then_sent:
            return f"received {rcvd}; then sent {sent}"
        return f"sent {sent}; then received {rcvd}"

    @property
    def party(self) -> str:  # type: ignore[override]
        """Who began: the peer, us, or nobody (the network failed)."""
        if isinstance(self.__cause__, WebSocketException):
            return self.__cause__.party
        if isinstance(self.__cause__, OSError):  # TimeoutError is one
            return "network"
        if self.rcvd is not None and (self.sent is None or self.rcvd_then_sent):
            return "peer"
        return "network" if self.sent is None else "us"

    @property
    def close_code(self) -> int:  # type: ignore[override]
        """The code of the peer's Close frame, 1006 without one (RFC 6455 7.1.5)."""
        return 1006 if self.rcvd is None else self.rcvd.code

    @property
    def code(self) -> int:
        """The same as ``close_code``, under the name that ``websockets`` once gave it."""
        return self.close_code

    @property
    def reason(self) -> str:
        """The reason in the peer's Close frame, ``""`` without one."""
        return "" if self.rcvd is None else self.rcvd.reason

    def explain(self) -> str:
        """Who closed, why, the likely cause and its cure."""
        return self._explained() or super().explain()

    def _explained(self) -> str | None:
        if callable(self._explanation):  # few are ever asked
            self._explanation = self._explanation()
        return self._explanation

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.rcvd, self.sent, self.rcvd_then_sent, self._explained())


class ConnectionClosedOK(ConnectionClosed):
    """The connection closed properly: 1000 or 1001, or no code at all, on both sides."""

    name = "connection-closed-ok"


class ConnectionClosedError(ConnectionClosed):
    """The connection was lost, or closed with an error code."""

    name = "connection-closed-error"


class InvalidURI(WebSocketException):
    """The address is not a valid WebSocket URI (RFC 6455 3)."""

    name = "invalid-uri"

    def __init__(self, uri: str, msg: str) -> None:
        self.uri = uri
        self.msg = msg
        super().__init__(uri, msg)

    def __str__(self) -> str:
        return f"{self.uri} isn't a valid URI: {self.msg}"


class InvalidProxy(WebSocketException):
    """The address of a proxy is not valid, or of a kind that is not supported."""

    name = "invalid-proxy"

    def __init__(self, proxy: str, msg: str) -> None:
        self.proxy = proxy
        self.msg = msg
        super().__init__(proxy, msg)

    def __str__(self) -> str:
        return f"{self.proxy} isn't a valid proxy: {self.msg}"


class InvalidHandshake(WebSocketException):
    """The opening handshake failed."""

    name = "handshake"
    party = "peer"


class HttpError(InvalidHandshake):
    """A request that cannot be granted, and the HTTP answer that it deserves (server side).

    ``bound`` is the name of the bound of ``Limits`` that is why, which the text then ends with:
    whoever answers counts it. ``None``: there is none, or it was counted where it struck.
    """

    name = "http"

    def __init__(
        self,
        status: int,
        text: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        bound: str | None = None,
    ) -> None:
        self.status = status
        self.text = text if bound is None else f"{text} ({bound})"
        self.bound = bound
        self.headers = tuple(headers)
        super().__init__(status, self.text)

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.text}"


class InvalidMessage(InvalidHandshake):
    """What the peer sent in place of an HTTP message cannot be read as one."""

    name = "http-malformed"


class ProxyError(InvalidHandshake):
    """A proxy did not let us through.

    What it said in HTTP is in ``response``, with ``status``, ``headers`` and the first
    ``Limits.max_error_body`` bytes of the ``body``; these are ``None`` where it said nothing.
    """

    name = "proxy"
    response: Any = None

    @property
    def status(self) -> int | None:
        """The status of the proxy's answer."""
        return None if self.response is None else self.response.status_code

    @property
    def headers(self) -> Any:
        """The headers of the proxy's answer."""
        return None if self.response is None else self.response.headers

    @property
    def body(self) -> bytes | None:
        """The beginning of the body of the proxy's answer."""
        return None if self.response is None else self.response.body


class InvalidProxyMessage(ProxyError):
    """What the proxy sent is not an answer in the language that it was spoken to."""

    name = "proxy-malformed"
    advice = "Is the kind of proxy right: http://, https://, socks4a:// or socks5h://?"


class InvalidProxyReply(ProxyError):
    """A SOCKS proxy refused to connect us; ``code`` is its reply (RFC 1928 6)."""

    name = "proxy-reply"

    def __init__(self, code: int, why: str, proxy: str = "") -> None:
        self.code = code
        self.why = why
        self.proxy = proxy
        super().__init__(code, why, proxy)

    def __str__(self) -> str:
        name = f"proxy {self.proxy}" if self.proxy else "proxy"
        return f"{name} rejected connection: {self.why} (reply {self.code})"


class InvalidProxyStatus(ProxyError):
    """A proxy refused to connect us; its ``response`` says why."""

    name = "proxy-status"

    _HINTS: ClassVar[dict[int, str]] = {
        400: "the proxy found the request malformed; does it forward connections at all?",
        401: "user name or password are wrong",  # tinyproxy: 407 is for no password at all
        403: "the proxy forbids this host or this port; many let nothing but port 443 through",
        404: "this is a web server, not a proxy; is its address right?",
        405: "this is a web server, not a proxy; is its address right?",
        407: "the proxy wants a user name and a password; are they right?",
        429: "too many attempts; wait before the next one",
        500: "the proxy has failed, or could not reach the server",
        501: "this is a web server, not a proxy; is its address right?",
        502: "the proxy could not reach the server; is its address right?",
        503: "the proxy could not reach the server, or has too much to do; try again later",
        504: "the server did not answer the proxy in time",
    }

    def __init__(self, response: Any, proxy: str = "") -> None:
        self.response = response
        self.proxy = proxy
        super().__init__(response, proxy)

    def __str__(self) -> str:
        status = self.response.status_code
        hint = self._HINTS.get(status)
        name = f"proxy {self.proxy}" if self.proxy else "proxy"
        text = f"{name} rejected connection: HTTP {status}"
        return f"{text} ({hint})" if hint else text


class SecurityError(InvalidHandshake):
    """A request or a redirect that would harm the user was refused."""

    name = "security"


class InvalidStatus(InvalidHandshake):
    """The server answered the handshake with another status than 101.

    ``response`` is its answer: ``status_code``, ``headers``, and the ``body`` up to
    ``Limits.max_error_body``. The text has a hint at the likely reason.
    """

    name = "status"

    def __init__(self, response: Any) -> None:
        self.response = response
        super().__init__(response)

    @property
    def hint(self) -> str:
        """What the status probably means, ``""`` where we do not know."""
        status, headers = self.response.status_code, self.response.headers
        if status in (301, 302, 303, 307, 308) and "Location" in headers:
            # Neither user name and password nor the query: an error is logged, and may hold tokens.
            location = ascii(headers.get_all("Location")[0].partition("?")[0])[1:-1][:200]
            scheme, slashes, rest = location.partition("://")
            host, slash, path = rest.partition("/")
            location = f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"
            return f"it leads to {location}; redirects=1 follows it"
        hint = STATUS_HINTS.get(status, "")
        after = headers.get_all("Retry-After") if status in (429, 503) else []
        if after and after[0].isdecimal() and len(after[0]) < 8:
            hint = f"{hint.partition(';')[0]}; try again in {after[0]} s"
        return hint

    def __str__(self) -> str:
        text = f"server rejected WebSocket connection: HTTP {self.response.status_code}"
        return f"{text} ({self.hint})" if self.hint else text


class InvalidHeader(InvalidHandshake):
    """A header is missing (``value is None``), empty or wrong."""

    name = "header"

    def __init__(self, name: str, value: str | None = None) -> None:
        self.header = name
        self.value = value
        super().__init__(name, value)

    def __str__(self) -> str:
        if self.value is None:
            return f"missing {self.header} header"
        if self.value == "":
            return f"empty {self.header} header"
        return f"invalid {self.header} header: {self.value}"


class InvalidHeaderFormat(InvalidHeader):
    """A header's value cannot be parsed."""

    name = "header-format"

    def __init__(self, name: str, error: str, header: str, pos: int) -> None:
        super().__init__(name, f"{error} at {pos} in {header}")
        self.args = (name, error, header, pos)  # what copying and unpickling give to __init__


class InvalidHeaderValue(InvalidHeader):
    """A header's value is well formed but wrong."""

    name = "header-value"


class InvalidOrigin(InvalidHeader):
    """The Origin header names a site that is not allowed here."""

    name = "origin"

    def __init__(self, origin: str | None) -> None:
        super().__init__("Origin", origin)
        self.args = (origin,)


class InvalidUpgrade(InvalidHeader):
    """The Upgrade or Connection header does not agree to a WebSocket."""

    name = "upgrade"


class NegotiationError(InvalidHandshake):
    """A subprotocol or an extension cannot be agreed on."""

    name = "negotiation"


class DuplicateParameter(NegotiationError):
    """An extension's parameter appears twice."""

    def __init__(self, name: str) -> None:
        self.parameter = name
        super().__init__(name)

    def __str__(self) -> str:
        return f"duplicate parameter: {self.parameter}"


class InvalidParameterName(NegotiationError):
    """An extension's parameter is unknown."""

    def __init__(self, name: str) -> None:
        self.parameter = name
        super().__init__(name)

    def __str__(self) -> str:
        return f"invalid parameter name: {self.parameter}"


class InvalidParameterValue(NegotiationError):
    """An extension's parameter has a value that it cannot have."""

    def __init__(self, name: str, value: str | None) -> None:
        self.parameter = name
        self.value = value
        super().__init__(name, value)

    def __str__(self) -> str:
        if self.value is None:
            return f"missing value for parameter {self.parameter}"
        if self.value == "":
            return f"empty value for parameter {self.parameter}"
        return f"invalid value for parameter {self.parameter}: {self.value}"


class ProtocolError(WebSocketException):
    """The peer broke the rule ``name`` of :data:`RULES`; ``detail`` says how (sizes, numbers)."""

    party = "peer"

    def __init__(self, name: str, detail: str = "") -> None:
        rule = RULES[name]
        self.name = name
        self.close_code = rule.code
        self.reason = rule.reason
        self.advice = rule.advice
        self.detail = detail
        super().__init__(name, detail)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class PeerTimeout(WebSocketException, TimeoutError):
    """The peer was silent for too long: the cause of a connection that we gave up.

    ``name`` says what told: ``"keepalive"`` (nothing at all was heard after a Ping: the peer or the
    network is gone) or ``"heartbeat"`` (its application did not send what it should have).
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.args = (name, message)  # what copying and unpickling give to __init__
        self.name = name
        self.message = message
        self.party = "network" if name == "keepalive" else "peer"
        self.advice = (
            "The peer, or the network to it, is gone or stuck; this application was not in the "
            "way. Reconnect; if it happens to healthy peers, raise ping_timeout."
            if name == "keepalive"
            else "The peer's application is stuck, or its heartbeats look different from what "
            "expect= says. Reconnect; if it happens to healthy peers, raise timeout=."
        )

    def __str__(self) -> str:
        return self.message


class InvalidState(WebSocketException):
    """What was asked for cannot be done in the present state of the connection."""

    name = "state"


class ConcurrencyError(WebSocketException, RuntimeError):
    """Two tasks want something of a connection that only one may have at a time."""

    name = "concurrency"
    advice = "Read a connection from one task and hand the messages on from there."
