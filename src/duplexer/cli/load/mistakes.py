"""What went wrong under the load: counted by kind, with an example and a cure."""

from __future__ import annotations

import dataclasses
import errno
import ssl
from typing import Any

from duplexer.cli.outcome import Failure, Status, connect_failure
from duplexer.errors import ConnectionClosed

__all__ = ["MESSAGE_KINDS", "Mistake", "Mistakes", "difference"]

#: Rows of a report: reasons that differ each time are counted together beyond. The kinds below
#: are few, and always have their own.
MOST_ROWS = 40

#: Messages that were not what they should be: the kind, what it means, what to do about it.
MESSAGE_KINDS = {
    "wrong-bytes": (
        "messages came back with other bytes",
        "a server that is no echo needs --no-check",
    ),
    "wrong-type": (
        "binary messages came back as text, or text as binary",
        "an echo has to keep the type; --text sends text",
    ),
    "lost": (
        "messages never came, but later ones did",
        "the server drops messages when it is busy: look for a queue with a bound",
    ),
    "out-of-order": (
        "messages came after others that were sent later",
        "the server answers messages of one connection side by side",
    ),
    "unasked": (
        "messages came that nobody was waiting for",
        "the server sends twice, or on its own account: --no-check counts everything as an answer",
    ),
    "unanswered": (
        "messages were still without an answer at the end",
        "is it an echo server (duplexer echo)? --answer-timeout SECONDS waits longer",
    ),
}
OTHER_KINDS = {
    "unsent": (
        "messages were due, but too many were in flight already",
        "the server does not keep up with --rate; their latency is in no percentile",
    ),
    "unclean-close": (
        "connections were closed by us, and the server did not answer the Close",
        "a server has to answer a Close with one (RFC 6455 5.5.1); --close-timeout SECONDS waits",
    ),
}
_RESOURCES = {
    errno.EMFILE: ("out-of-files", "raise the limit of open files: ulimit -n"),
    errno.ENFILE: ("out-of-files", "raise the system's limit of open files: sysctl fs.file-max"),
    errno.EADDRNOTAVAIL: (
        "out-of-ports",
        "an address has some 28000 ports; sysctl net.ipv4.ip_local_port_range='1024 65535'",
    ),
}


@dataclasses.dataclass(slots=True)
class Mistake:
    """One row: how often, and what the first one looked like."""

    kind: str
    message: str
    cure: str
    count: int = 0
    example: str = ""
    status: int = Status.CLOSED


class Mistakes:
    """All of them, by kind and message."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Mistake] = {}

    def add(self, kind: str, example: str = "", count: int = 1) -> None:
        """Count a mistake that has no other cause than its kind."""
        is_message = kind in MESSAGE_KINDS
        message, cure = MESSAGE_KINDS[kind] if is_message else OTHER_KINDS[kind]
        status = Status.WRONG if is_message else Status.CLOSED
        self._count(Mistake(kind, message, cure, count, example, status))

    def move(self, old: str, new: str) -> None:
        """What was counted as ``old`` turns out to be ``new``."""
        row = self.rows[old, MESSAGE_KINDS[old][0]]
        row.count -= 1
        if not row.count:
            del self.rows[old, row.message]
        self.add(new, row.example)

    def add_failure(self, error: Exception, uri: str) -> None:
        """Count a connection that could not be opened; raises ``error`` again if it is ours."""
        resource = _RESOURCES.get(getattr(error, "errno", None) or 0)
        if resource is not None:
            kind, cure = resource
            message = getattr(error, "strerror", None) or str(error)
            self._count(Mistake(kind, message, cure, 1, "", Status.UNREACHABLE))
            return
        failure = connect_failure(error, uri, timeout_option="--open-timeout")
        kind = Status(failure.exit_code).name.lower().replace("_", "-")
        if isinstance(error, ssl.SSLError):
            kind = "tls"
        row = Mistake(
            kind, failure.message, failure.cure, 1, failure.detail, Status(failure.exit_code)
        )
        self._count(row)

    def add_closed(self, exc: ConnectionClosed) -> None:
        """Count a connection that ended before it was to."""
        cause = f": {exc.__cause__}" if exc.__cause__ is not None else ""
        _, _, cure = exc.explain().partition("What to do: ")
        self._count(Mistake("closed", f"{exc}{cause}", cure.partition("\n")[0], 1))

    def merge(self, other: Mistakes) -> None:
        """Add those of another process."""
        for row in other.rows.values():
            self._count(dataclasses.replace(row))

    def _count(self, row: Mistake) -> None:
        has_own_words = row.kind not in MESSAGE_KINDS and row.kind not in OTHER_KINDS
        is_new = (row.kind, row.message) not in self.rows
        if has_own_words and is_new and len(self.rows) >= MOST_ROWS:
            row.message, row.example = "for other reasons", row.message
        known = self.rows.setdefault((row.kind, row.message), row)
        if known is not row:
            known.count += row.count

    def sorted(self) -> list[Mistake]:
        """The rows, most frequent first."""
        return sorted(self.rows.values(), key=lambda row: -row.count)

    def total(self) -> int:
        """How many there were."""
        return sum(row.count for row in self.rows.values())

    def failure(self, uri: str) -> Failure:
        """Why nothing could be opened: the most frequent reason, as an error to show."""
        row = self.sorted()[0]
        return Failure(row.message or uri, row.cure, status=row.status, detail=row.example)


def difference(wanted: Any, message: Any) -> str:
    """Where ``message`` is not what was sent, in a few words."""
    if type(message) is not type(wanted):
        return f"{_kind(message)} came, {_kind(wanted)} was sent"
    if len(message) != len(wanted):
        return f"{len(message)} bytes came, {len(wanted)} were sent"
    at = next(index for index, byte in enumerate(wanted) if message[index] != byte)
    return f"from byte {at} on, {message[at : at + 8]!r} came, {wanted[at : at + 8]!r} was sent"


def _kind(message: Any) -> str:
    return "text" if isinstance(message, str) else "binary"
