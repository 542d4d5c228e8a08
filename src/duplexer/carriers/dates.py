"""Dates in HTTP (RFC 9110 5.6.7), whatever the locale."""

from __future__ import annotations

import calendar
import time

__all__ = ["http_date", "parse_http_date"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(timestamp: float) -> str:
    """``timestamp``, in seconds since 1970, as in ``Sun, 06 Nov 1994 08:49:37 GMT``."""
    at = time.gmtime(int(timestamp))
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return (
        f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    )


def parse_http_date(text: str) -> int | None:
    """The seconds since 1970 that ``http_date`` would write as ``text``, else ``None``.

    The two obsolete forms are not understood: who sends them gets the whole answer again.
    """
    if len(text) != 29 or not text.isascii():
        return None
    digits = (text[5:7], text[12:16], text[17:19], text[20:22], text[23:25])
    if text[8:11] not in _MONTHS or not all(part.isdigit() for part in digits):
        return None
    day, year, hour, minute, second = (int(part) for part in digits)
    month = _MONTHS.index(text[8:11]) + 1
    if not 1970 <= year <= 9999:
        return None
    try:
        seconds = calendar.timegm((year, month, day, hour, minute, second))
    except ValueError:
        return None
    return seconds if http_date(seconds) == text else None
