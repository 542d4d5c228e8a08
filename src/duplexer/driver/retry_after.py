"""How long a server wants to be left alone (RFC 9110 10.2.3)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from duplexer.errors import ConnectionClosed, InvalidProxyStatus, InvalidStatus

__all__ = ["asked_delay"]

#: In the reason of a Close, which has no headers.
_IN_REASON = re.compile(r"\bretry-after\s*[=:]\s*(\d{1,9})\b", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,9}")


def asked_delay(exc: BaseException, wall: Callable[[], float] = time.time) -> float | None:
    """The seconds that ``exc`` says to wait before the next attempt; ``None`` if it does not.

    A refusal says so in ``Retry-After``, as seconds or as a date; a Close with 1012 or 1013 may, in
    its reason. What cannot be read counts for nothing, and the past for no time.
    """
    if isinstance(exc, (InvalidStatus, InvalidProxyStatus)):
        values = exc.response.headers.get_all("Retry-After")
        return _delay(values[-1].strip(), wall) if values else None
    if isinstance(exc, ConnectionClosed) and exc.rcvd is not None:
        found = _IN_REASON.search(exc.rcvd.reason)
        if found is not None and exc.rcvd.code in (1012, 1013):
            return float(found[1])
    return None


def _delay(value: str, wall: Callable[[], float]) -> float | None:
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
        if when.tzinfo is None:  # as if it were not GMT that it always is
            when = when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - wall())
    except (ValueError, OverflowError, OSError):
        return None
