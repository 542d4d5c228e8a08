"""Patterns of paths: ``/rooms/{room}``, ``/users/{id:int}/{rest:path}``.

Paths are cut at their slashes before anything in them is decoded, so that no ``%2F`` makes a
segment of its own; nothing is made equal that was written differently. What is in braces stands for
a whole segment:

========  ====================================================================================
str       one segment that is not empty, decoded (UTF-8, no control characters, one line); a
          slash in it (``%2F``), ``.`` and ``..`` match nothing
int       a number from 0 that is written without leading zeros, of at most 18 digits
uuid      a :class:`uuid.UUID` in its usual form
path      all the rest, at least one segment, none of them empty, ``.`` or ``..``; comes last
========  ====================================================================================
"""

from __future__ import annotations

import unicodedata
import urllib.parse
import uuid
from collections.abc import Callable
from typing import Any

__all__ = ["Pattern", "text_of"]

#: Control characters, and what else ends a line: names of rooms stand in logs.
_UNFIT = ("Cc", "Zl", "Zp")


def text_of(segment: str) -> str | None:
    """What a segment of a path says; ``None`` for what is no text."""
    if "%" not in segment:
        return segment if segment.isascii() and segment.isprintable() else None
    try:
        text = urllib.parse.unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return None
    return None if any(unicodedata.category(char) in _UNFIT for char in text) else text


def _str(segment: str) -> str | None:
    # What it is used for may be a file: nobody shall climb out of its folder, or into another.
    text = text_of(segment)
    return None if not text or text in (".", "..") or "/" in text else text


def _int(segment: str) -> int | None:
    if not (segment.isascii() and segment.isdigit()) or len(segment) > 18:
        return None
    return int(segment) if segment == "0" or segment[0] != "0" else None


def _uuid(segment: str) -> uuid.UUID | None:
    if len(segment) != 36:  # uuid.UUID takes braces, prefixes and none of the hyphens as well
        return None
    try:
        value = uuid.UUID(segment)
    except ValueError:
        return None
    return value if str(value) == segment.lower() else None


_CONVERTERS: dict[str, Callable[[str], Any]] = {"str": _str, "int": _int, "uuid": _uuid}


class Pattern:
    """A path with parameters. Raises :exc:`ValueError` for one that no path could match."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a path must be a str, not {type(text).__name__}")
        if not text.startswith("/"):
            raise ValueError(f"a path starts with a slash: {text!r}")
        if not (text.isascii() and text.isprintable()) or any(char in text for char in " ?#"):
            raise ValueError(f"a path is as in a request, percent-encoded, without query: {text!r}")
        self.text = text
        #: names of the parameters, in their order
        self.names: list[str] = []
        #: whether it takes paths of any length
        self.is_open = False
        #: one for each segment: what it has to be, or what reads it
        self._segments: list[str | Callable[[str], Any]] = []
        for segment in text[1:].split("/"):
            self._add(segment)

    def _add(self, segment: str) -> None:
        if self.is_open:
            raise ValueError(f"a parameter with :path comes last: {self.text!r}")
        if "{" not in segment and "}" not in segment:
            self._segments.append(segment)
            return
        name, _, kind = segment[1:-1].partition(":")
        if segment[0] != "{" or segment[-1] != "}" or not name.isidentifier():
            raise ValueError(
                f"a parameter is a whole segment, {{name}} or {{name:kind}}: {self.text!r}"
            )
        if name in self.names:
            raise ValueError(f"two parameters are called {name!r}: {self.text!r}")
        self.names.append(name)
        if kind == "path":
            self.is_open = True
        elif (kind or "str") in _CONVERTERS:
            self._segments.append(_CONVERTERS[kind or "str"])
        else:
            kinds = ", ".join(_CONVERTERS)
            raise ValueError(f"a parameter is {kinds} or path, not {kind!r}: {self.text!r}")

    @property
    def is_constant(self) -> bool:
        """Whether it is simply a path."""
        return not self.names

    @property
    def shape(self) -> tuple[Any, ...]:
        """The same for patterns that match the same paths."""
        return (*self._segments, self.is_open)

    @property
    def length(self) -> int:
        """How many segments it has, without those of a ``path``."""
        return len(self._segments)

    def match(self, segments: list[str]) -> dict[str, Any] | None:
        """The parameters of a path that was cut at its slashes; ``None`` if it is another one."""
        own = self._segments
        if len(segments) < len(own) + self.is_open or (len(segments) > len(own)) > self.is_open:
            return None
        values = []
        for wanted, segment in zip(own, segments, strict=False):
            if isinstance(wanted, str):
                if segment != wanted:
                    return None
                continue
            value = wanted(segment)
            if value is None:
                return None
            values.append(value)
        if self.is_open:
            rest = [_str(segment) for segment in segments[len(own) :]]
            if None in rest:
                return None
            values.append("/".join(map(str, rest)))
        return dict(zip(self.names, values, strict=True))
