"""``Blob``: bytes that do not change, as in the File API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from duplexer.browser.idl import buffer_source, members, usv_string

if TYPE_CHECKING:
    from duplexer.browser.streams import ReadableStream

__all__ = ["Blob"]

#: What ``stream()`` gives at a time.
_CHUNK = 64 * 1024


class Blob:
    """``size`` bytes of a MIME ``type`` (``""`` if it is not known), made of ``parts``.

    A part is ``str``, bytes-like or a Blob. ``options``, or a keyword: ``type``.
    """

    def __init__(
        self,
        parts: Iterable[Any] = (),
        options: Mapping[str, Any] | None = None,
        *,
        type: str = "",  # noqa: A002 - the standard's name
    ) -> None:
        if isinstance(parts, (str, bytes, bytearray, memoryview)):
            raise TypeError("the parts of a Blob come in a list")
        self._data = b"".join(_bytes_of(part) for part in parts)
        self._type = _media_type(members(options, {"type": type}, "options")["type"])

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self._data)

    @property
    def type(self) -> str:
        """Its MIME type, in lower case."""
        return self._type

    def __repr__(self) -> str:
        return f"Blob(size={self.size}, type={self.type!r})"

    async def arrayBuffer(self) -> bytes:
        """Its bytes."""
        return self._data

    async def bytes(self) -> bytes:
        """Its bytes."""
        return self._data

    async def text(self) -> str:
        """Its bytes as text: as UTF-8, with U+FFFD for what is none."""
        return self._data.decode("utf-8", "replace").removeprefix("\ufeff")

    def slice(self, start: int = 0, end: int | None = None, contentType: str = "") -> Blob:
        """A part of it; negative numbers count from its end."""
        return Blob([self._data[start:end]], type=contentType)

    def stream(self) -> ReadableStream:
        """Its bytes as a stream."""
        from duplexer.browser.streams import ReadableStream

        starts = range(0, len(self._data), _CHUNK)
        return ReadableStream.of(self._data[start : start + _CHUNK] for start in starts)


def _bytes_of(part: Any) -> Any:
    if isinstance(part, str):
        return usv_string(part).encode()
    return part._data if isinstance(part, Blob) else bytes(buffer_source(part))


def _media_type(text: str) -> str:
    return text.lower() if all(" " <= char <= "~" for char in text) else ""
