"""Conversions of Web IDL: what becomes of arguments before the standard's steps see them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["buffer_source", "clamp", "members", "usv_string"]


def usv_string(text: str) -> str:
    """``text`` as a USVString: every lone surrogate is U+FFFD, every pair of them its character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def clamp(value: float) -> int:
    """``value`` as a ``[Clamp] unsigned short``: rounded, half to even, into 0 to 65535."""
    if math.isnan(value):
        return 0
    return round(min(max(value, 0), 65535))


def buffer_source(data: Any) -> bytes | memoryview:
    """The bytes of a buffer; ``TypeError`` for what is none."""
    if isinstance(data, bytes):
        return data
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(
            f"data must be str, bytes-like or a Blob, not {type(data).__name__}"
        ) from None
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


def members(dictionary: Any, defaults: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The members of a dictionary of Web IDL: those that are missing have their default.

    Raises ``TypeError`` for what is no mapping. Unknown members are ignored, as they are there.
    """
    if dictionary is None:
        return dict(defaults)
    if not isinstance(dictionary, Mapping):
        raise TypeError(f"{what} must be a mapping, not {type(dictionary).__name__}")
    return {name: dictionary.get(name, default) for name, default in defaults.items()}
