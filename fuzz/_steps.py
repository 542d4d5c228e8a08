"""A bound on work that is the same on every machine: lines of Python that are run, not seconds."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any

#: Characters of an input that is made longer: about what all header lines may have together.
LONG = 1 << 13


def is_linear(call: Callable[[str], object], text: str) -> None:
    """Call it with ``text`` again and again in one string: so many lines a character, not more.

    Counting is slow, so that it is done for one of 64 inputs, always the same ones. Raises
    ``AssertionError`` as soon as there were too many.
    """
    if not text or zlib.crc32(text.encode("utf-8", "surrogatepass")) % 64:
        return
    left = 2_000 + 100 * LONG

    def count(frame: Any, event: str, argument: Any) -> Any:
        nonlocal left
        left -= 1
        assert left > 0, f"more than {100 * LONG} lines for {LONG} characters"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        call((text * (LONG // len(text) + 1))[:LONG])
    finally:
        sys.settrace(before)
