"""UTF-8 of any bytes, cut anywhere: our validator against Python's decoder.

The first two bytes choose where it is cut, the third the masking key.
"""

from __future__ import annotations

import codecs

from duplexer.core import bytesops

decoder = codecs.getincrementaldecoder("utf-8")


def reference(pieces: list[bytes]) -> list[bool]:
    """For each piece, whether all so far can still become text."""
    state = decoder()
    verdicts = []
    for piece in pieces:
        try:
            state.decode(piece)
        except UnicodeDecodeError:
            verdicts.append(False)
            break
        # Python waits for the third byte of a surrogate; it is wrong at the second.
        rest = state.getstate()[0]
        verdicts.append(not (len(rest) == 2 and rest[0] == 0xED and rest[1] >= 0xA0))
        if not verdicts[-1]:
            break
    return verdicts


def target(data: bytes) -> None:
    if len(data) < 3:
        return
    a, b, k, data = data[0], data[1], data[2], data[3:]
    key = bytesops.load32(bytes([k, k ^ 0x55, 0, 255 - k]), 0) if k else 0
    first, second = sorted((a % (len(data) + 1), b % (len(data) + 1)))
    pieces = [data[:first], data[first:second], data[second:]]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    masked = bytesops.unmask(data, 0, len(data), key)
    assert bytesops.unmask_text(masked, 0, len(data), key) == text
    growing = bytesops.Growing()
    verdicts = []
    taken = ""
    for piece in pieces:
        growing.push(piece, 0, len(piece), 0, len(data))
        ok = growing.is_text(growing.size - len(piece))
        verdicts.append(ok)
        if not ok:
            break
        if a & 1:
            taken += growing.take_text_part()
            assert growing.size < 4
    assert verdicts == reference(pieces)
    if all(verdicts):
        assert growing.is_complete_text() is (text is not None)
        if text is not None:
            assert taken + growing.take_text() == text
