"""Going through the head of a message that has come in one piece; scan.pyx does it in C.

Like ``core/bytesops`` this is a leaf with two bodies; both pass the same tests.
"""

from __future__ import annotations

from duplexer.errors import HttpError
from duplexer.http.headers import VALUE_BYTES, index_lines

__all__ = ["scan_head"]


def scan_head(
    data: bytes, start: int, most: int, max_headers: int
) -> tuple[int, str, bytes, dict[str, str | list[str]]] | None:
    """Read a head that begins at ``start``, of at most ``most`` bytes without its last line ends.

    Gives where it ends, its first line, the lines of its headers as they are and their index (see
    ``Headers``). ``None`` says that it is incomplete, too large or not in order: to find out which,
    it has to be gone through line by line.
    """
    end = data.find(b"\r\n\r\n", start, start + most + 4)
    if end <= start:
        return None
    head = data[start:end]
    first, *lines = head.decode("latin-1").split("\r\n")
    # All that is left may be the line ends, so there is no CTL and no bare CR or LF.
    if len(lines) > max_headers or len(head.translate(None, VALUE_BYTES)) != 2 * len(lines):
        return None
    try:
        index = index_lines(lines)
    except HttpError:
        return None
    return (end + 4, first, head[len(first) + 2 :], index) if first else None
