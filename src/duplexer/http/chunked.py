"""The chunked transfer coding (RFC 9112 7.1), read strictly and in bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duplexer.errors import HttpError
from duplexer.http.headers import VALUE_BYTES, add_line, shown

if TYPE_CHECKING:
    from duplexer.limits import Limits

__all__ = ["ChunkedReader"]

#: Of the line that gives a chunk's size. Extensions, which nobody uses, have to fit as well.
MAX_SIZE_LINE = 256

_HEX = frozenset("0123456789abcdefABCDEF")
_SIZE, _DATA, _END, _TRAILER, _DONE = range(5)


class ChunkedReader:
    """Undoes the chunked coding of one body.

    ``body`` grows up to ``max_body`` bytes; ``None`` stands for no bound, for a caller that looks
    at the size of ``body`` after each ``feed``. Trailers are checked, counted
    like headers, and forgotten: nothing here may depend on them (RFC 9110 6.5.1).
    """

    def __init__(self, limits: Limits, max_body: int | None) -> None:
        self.limits = limits
        self.max_body = max_body
        self.body = bytearray()
        #: Where the body ends in the data that completed it.
        self.stop = 0
        self._buffer = bytearray()
        self._phase = _SIZE
        self._need = 0
        self._trailers = 0
        self._trailer_bytes = 0

    @property
    def started(self) -> bool:
        """Whether any byte of the body has come."""
        return bool(self._buffer or self.body) or self._phase != _SIZE

    def feed(self, data: bytes, start: int = 0) -> bool:
        """Take what was received from ``start`` on; true once the body is complete.

        Raises :exc:`HttpError`.
        """
        while self._phase != _DONE:
            if self._phase == _DATA:
                piece = data[start : start + self._need]
                self.body += piece
                self._need -= len(piece)
                if self._need:
                    return False
                self._phase = _END
            else:
                piece = data[start : data.find(b"\n", start) + 1] or data[start:]
                self._buffer += piece
                if not self._line():
                    return False
            start += len(piece)
        self.stop = start
        return True

    def _line(self) -> bool:
        """Read a line: a size, the end of a chunk or a trailer; false if it is incomplete."""
        buffer = self._buffer
        bound = {_SIZE: MAX_SIZE_LINE, _END: 0}.get(self._phase, self.limits.max_header_line)
        complete = buffer.endswith(b"\n")
        end = len(buffer) - complete
        if end and buffer[end - 1] == 0x0D:
            end -= 1
        elif complete:
            raise HttpError(400, "a line ends in LF without CR")
        if end > bound:
            if self._phase == _TRAILER:
                raise HttpError(431, f"trailer longer than {bound}", bound="max_header_line")
            raise HttpError(400, "malformed chunk")
        if not complete:
            return False
        line = bytes(buffer[:end])
        buffer.clear()
        if line.translate(None, VALUE_BYTES):
            raise HttpError(400, "control character in a chunk's size or in a trailer")
        self._on_line(line.decode("latin-1"))
        return True

    def _on_line(self, line: str) -> None:
        if self._phase == _SIZE:
            self._on_size(line)
        elif self._phase == _END:
            self._phase = _SIZE
        elif not line:
            self._phase = _DONE
        else:
            self._trailers += 1
            self._trailer_bytes += len(line) + 2
            limits = self.limits
            if self._trailers > limits.max_headers:
                raise HttpError(431, "too many trailers", bound="max_headers")
            if self._trailer_bytes > limits.max_header_bytes:
                raise HttpError(431, "trailers too large", bound="max_header_bytes")
            add_line({}, line)

    def _on_size(self, line: str) -> None:
        digits, semicolon, _ = line.partition(";")
        if semicolon:
            digits = digits.rstrip(" \t")  # BWS before an extension
        if not digits or len(digits) > 16 or not _HEX.issuperset(digits):
            raise HttpError(400, f"malformed chunk size: {shown(line)}")
        size = int(digits, 16)
        if self.max_body is not None and len(self.body) + size > self.max_body:
            raise HttpError(413, f"body larger than {self.max_body} bytes", bound="max_body")
        self._need = size
        self._phase = _DATA if size else _TRAILER
