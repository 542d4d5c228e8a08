"""Conversions of Web IDL."""

from __future__ import annotations

import array
import math
from typing import Any

import pytest

from duplexer.browser.idl import buffer_source, clamp, members, usv_string


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ""),
        ("Grüße \U0001f600", "Grüße \U0001f600"),
        ("\ud800", "\ufffd"),
        ("a\udc00b", "a\ufffdb"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud800\ud83d\ude00\ud800", "\ufffd\U0001f600\ufffd"),
    ],
)
def test_usv_string(text: str, wanted: str) -> None:
    assert usv_string(text) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1000, 1000),
        (True, 1),
        (-1, 0),
        (70000, 65535),
        (math.inf, 65535),
        (-math.inf, 0),
        (math.nan, 0),
        (2999.5, 3000),  # halves go to the even number
        (3000.5, 3000),
        (3000.4, 3000),
    ],
)
def test_clamp(value: float, wanted: int) -> None:
    assert clamp(value) == wanted


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"ab", b"ab"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd")[::2], b"ac"),
        (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
    ],
)
def test_buffer_source(data: Any, wanted: bytes) -> None:
    assert bytes(buffer_source(data)) == wanted


def test_what_is_no_buffer() -> None:
    with pytest.raises(TypeError, match="not int"):
        buffer_source(5)


def test_members() -> None:
    assert members({"a": 1, "other": 2}, {"a": 0, "b": 5}, "init") == {"a": 1, "b": 5}
    assert members(None, {"a": 0}, "init") == {"a": 0}
    with pytest.raises(TypeError, match="init must be a mapping, not bool"):
        members(True, {}, "init")
