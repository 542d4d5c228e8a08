"""``DOMException`` and ``WebSocketError``: errors by the names of the web's standards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from duplexer.browser.idl import clamp, members, usv_string
from duplexer.errors import WebSocketException

__all__ = ["DOMException", "WebSocketCloseInfo", "WebSocketError", "check_close"]

#: Name → the number that it had before errors had names (Web IDL, "DOMException names").
_CODES = {
    "InvalidStateError": 11,
    "SyntaxError": 12,
    "InvalidAccessError": 15,
    "NetworkError": 19,
    "AbortError": 20,
    "TimeoutError": 23,
}


class DOMException(WebSocketException):
    """An error of the web platform: ``name`` says which, ``message`` says more.

    ``code`` is the number that old programs look at, 0 for names that never had one.
    """

    INVALID_STATE_ERR = 11
    SYNTAX_ERR = 12
    INVALID_ACCESS_ERR = 15
    NETWORK_ERR = 19
    ABORT_ERR = 20
    TIMEOUT_ERR = 23

    def __init__(self, message: str = "", name: str = "Error") -> None:
        self.name = name
        self.message = message
        super().__init__(message, name)

    @property
    def code(self) -> int:
        """The old number of ``name``, or 0."""
        return _CODES.get(self.name, 0)

    def __str__(self) -> str:
        return f"{self.name}: {self.message}" if self.message else self.name


class WebSocketCloseInfo(NamedTuple):
    """How a connection was closed."""

    closeCode: int | None = None  #: that of the peer's Close; 1005 if there was none in it
    reason: str = ""


class WebSocketError(DOMException):
    """What a ``WebSocketStream`` ends in when it does not end well.

    Given to ``reader.cancel()`` or ``writer.abort()``, it says what to close with: ``closeCode``
    (1000 or 3000 to 4999) and ``reason``, as keywords or in a mapping. A reason alone goes with
    1000. Raises :exc:`DOMException`, as ``close()`` does.
    """

    def __init__(
        self,
        message: str = "",
        init: Mapping[str, Any] | None = None,
        *,
        closeCode: float | None = None,
        reason: str | None = None,
    ) -> None:
        given = members(init, {"closeCode": closeCode, "reason": reason}, "init")
        self.closeCode: int | None
        self.closeCode, self.reason = check_close(given["closeCode"], given["reason"])
        super().__init__(message, "WebSocketError")

    @classmethod
    def received(cls, message: str, code: int | None, reason: str) -> WebSocketError:
        """One that tells what the peer's Close said: any code, 1006 if there was no Close."""
        error = cls(message)
        error.closeCode, error.reason = code, reason
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        return WebSocketError.received, (self.message, self.closeCode, self.reason)


def check_close(code: float | None, reason: str | None) -> tuple[int | None, str]:
    """Code and reason as they are sent; raises the standard's errors for what must not be.

    "InvalidAccessError" for a code that is neither 1000 nor from 3000 to 4999, "SyntaxError" for a
    reason of more than 123 bytes of UTF-8. A reason without a code goes with 1000: on the wire
    there is none without the other.
    """
    if code is not None:
        if not isinstance(code, (int, float)):
            raise TypeError(f"the close code must be a number, not {type(code).__name__}")
        code = clamp(code)
        if code != 1000 and not 3000 <= code <= 4999:
            raise DOMException(
                f"the close code must be 1000 or from 3000 to 4999, not {code}",
                "InvalidAccessError",
            )
    if reason is not None and not isinstance(reason, str):
        raise TypeError(f"the reason must be str, not {type(reason).__name__}")
    text = usv_string(reason or "")
    size = len(text.encode())
    if size > 123:
        raise DOMException(
            f"the reason must be at most 123 bytes of UTF-8, not {size}", "SyntaxError"
        )
    return (1000 if code is None and text else code), text
