"""What came from a peer, as text that is safe and pleasant to read on a terminal."""

from __future__ import annotations

import re

__all__ = ["duration", "escape", "hexdump", "indent", "parse_hex", "preview", "size"]

# C0 and C1 controls can move the cursor, set the title or write to the clipboard of a terminal;
# bidirectional controls can make a line read as something else; lone surrogates cannot be written.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_HEX_PREFIX = re.compile(r"\b0[xX]")
_HEX_SEPARATORS = re.compile(r"[\s,:_-]+")
_NOT_HEX = re.compile(r"[^0-9a-fA-F]")


def _escaped(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    return _SHORT.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def escape(text: str) -> str:
    """``text`` on one line, with everything that a terminal would obey written out."""
    return _UNSAFE.sub(_escaped, text)


def indent(text: str, margin: str) -> str:
    """``text`` escaped but with its line breaks kept; each line after the first gets ``margin``.

    Without the margin a peer could write lines that look like ours.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    return f"\n{margin}".join(escape(line.replace("\t", "    ")) for line in lines)


def preview(text: str, limit: int) -> str:
    """The first ``limit`` characters of ``text``, and how many there are more."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit:,} characters more)"


def size(count: int) -> str:
    """``count`` bytes in words: ``1 byte``, ``12 bytes``, ``1.5 KiB``."""
    if count < 1024:
        return "1 byte" if count == 1 else f"{count} bytes"
    amount = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        if amount < 1024 or unit == "GiB":
            break
    return f"{amount:.1f} {unit}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it: ``0.42 ms``, ``12 ms``, ``1.3 s``, ``2:05 min``."""
    if seconds < 0.01:
        return f"{seconds * 1000:.2f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d} min"


def hexdump(data: bytes, limit: int = 256) -> list[str]:
    """Lines of offset, 16 bytes in hex and the same as ASCII, for the first ``limit`` bytes."""
    lines = []
    for start in range(0, min(len(data), limit), 16):
        row = data[start : min(start + 16, limit)]
        cells = " ".join(f"{byte:02x}" for byte in row)
        letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"{start:04x}  {cells:<47}  {letters}")
    if len(data) > limit:
        lines.append(f"      ({len(data) - limit:,} bytes more)")
    return lines


def parse_hex(text: str) -> bytes:
    """Bytes written in hex; blanks, commas, colons and ``0x`` between them do not matter.

    Raises ``ValueError`` that names what is wrong.
    """
    digits = _HEX_SEPARATORS.sub("", _HEX_PREFIX.sub("", text))
    wrong = _NOT_HEX.search(digits)
    if wrong is not None:
        raise ValueError(f"'{escape(wrong.group())}' is not a hexadecimal digit")
    if len(digits) % 2:
        raise ValueError(f"{len(digits)} digits are an odd number; each byte takes two")
    return bytes.fromhex(digits)
