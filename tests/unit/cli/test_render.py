"""Text from a peer, made safe and readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.cli.render import duration, escape, hexdump, indent, parse_hex, preview, size


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße, 世界 👨‍👩‍👧", "Grüße, 世界 👨‍👩‍👧"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("\x7f\x00", "\\x7f\\x00"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text())
def test_escape_leaves_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = escape(text)
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in shown)
    shown.encode()


def test_indent_keeps_lines_apart_from_ours() -> None:
    assert indent("a\r\nb\n\x1bc\td", "  ") == "a\n  b\n  \\x1bc    d"


def test_preview() -> None:
    assert preview("abc", 3) == "abc"
    assert preview("x" * 2003, 3) == "xxx… (2,000 characters more)"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_size(count: int, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.00042, "0.42 ms"), (0.0123, "12 ms"), (1.34, "1.3 s"), (125.9, "2:05 min")],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_hexdump() -> None:
    assert hexdump(b"") == []
    assert hexdump(b"Hello\x00\xff") == [
        "0000  48 65 6c 6c 6f 00 ff                             Hello..",
    ]
    lines = hexdump(bytes(40), limit=20)
    assert [line[:4] for line in lines[:2]] == ["0000", "0010"]
    assert lines[2].strip() == "(20 bytes more)"


@pytest.mark.parametrize("text", ["48656c", "48 65 6C", "0x48,0x65,0x6c", "48:65-6c\n"])
def test_parse_hex(text: str) -> None:
    assert parse_hex(text) == b"Hel"


@pytest.mark.parametrize(
    ("text", "words"), [("4", "odd number"), ("4g", "'g'"), ("\x1b", "'\\\\x1b'")]
)
def test_parse_hex_names_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_hex(text)


@given(st.binary())
def test_parse_hex_reads_what_hex_writes(data: bytes) -> None:
    assert parse_hex(data.hex(" ")) == data
