"""A head in one piece: what is in order, and all that is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.http.headers import TOKEN_BYTES, VALUE_BYTES, Headers
from duplexer.http.scan import scan_head

BIG = 10_000
HEAD = b"GET / HTTP/1.1\r\nHost: h\r\nX-Own:  a b\t \r\ncookie:\r\nCookie: \xe9=1\r\n\r\n"


def test_in_order() -> None:
    for before, after in ((b"", b""), (b"", b"\x81\x80"), (b"x" * 7, HEAD)):
        found = scan_head(before + HEAD + after, len(before), BIG, 100)
        assert found is not None
        end, first, raw, index = found
        assert end == len(before) + len(HEAD)
        assert first == "GET / HTTP/1.1"
        assert raw == HEAD[16:-4]
        assert index == {"host": "h", "x-own": "a b", "cookie": ["", "\xe9=1"]}
        assert Headers.from_lines(raw).index() == index


def test_without_headers() -> None:
    assert scan_head(b"HTTP/1.1 200 OK\r\n\r\nrest", 0, BIG, 0) == (19, "HTTP/1.1 200 OK", b"", {})


def test_incomplete() -> None:
    for end in range(len(HEAD)):
        assert scan_head(HEAD[:end], 0, BIG, 100) is None
        assert scan_head(HEAD[:end], 5, BIG, 100) is None


def test_bounds() -> None:
    size = len(HEAD) - 4
    assert scan_head(HEAD, 0, size, 4) is not None
    assert scan_head(HEAD, 0, size - 1, 4) is None
    assert scan_head(HEAD, 0, size, 3) is None
    assert scan_head(b"x" * 9 + HEAD, 9, size, 4) is not None
    assert scan_head(b"x" * 9 + HEAD, 9, size - 1, 4) is None


@pytest.mark.parametrize(
    "line",
    [b"X", b": x", b" X: x", b"X : x", b"X: x\n", b"X: x\r", b"X: \x00", b"X: \x7f", b"X\xe9: x",
     b"X: x\r\n folded", b"\tX: x"],
)  # fmt: skip
def test_not_in_order(line: bytes) -> None:
    assert scan_head(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n", 0, BIG, 100) is None
    assert scan_head(b"GET / HTTP/1.1\r\nHost: h\r\n" + line + b"\r\n\r\n", 0, BIG, 100) is None


@pytest.mark.parametrize("first", [b"", b"\r\n", b"GET\x00", b"GET\n", b"\x1f"])
def test_first_line_not_in_order(first: bytes) -> None:
    assert scan_head(first + b"\r\nHost: h\r\n\r\n", 0, BIG, 100) is None


@pytest.mark.parametrize("byte", range(256))
def test_every_byte(byte: int) -> None:
    one = bytes([byte])
    name = scan_head(b"GET /\r\nX" + one + b": x\r\n\r\n", 0, BIG, 100)
    value = scan_head(b"GET /\r\nX: x" + one + b"y\r\n\r\n", 0, BIG, 100)
    first = scan_head(b"GET /" + one + b"x\r\nX: x\r\n\r\n", 0, BIG, 100)
    assert (name is not None) == (byte in TOKEN_BYTES or one == b":")
    assert (value is not None) == (first is not None) == (byte in VALUE_BYTES)


@given(
    st.lists(
        st.sampled_from(
            [b"\r\n", b"\r", b"\n", b": ", b":", b" ", b"Host", b"X", b"\x00", b"\xff"]
        ),
        max_size=20,
    )
)
def test_ends_with_the_first_empty_line(pieces: list[bytes]) -> None:
    data = b"GET /\r\n" + b"".join(pieces) + b"\r\n\r\n"
    found = scan_head(data, 0, BIG, 100)
    if found is not None:
        end, first, raw, index = found
        assert end == data.index(b"\r\n\r\n") + 4
        assert data[:end] == first.encode() + b"\r\n" + (raw + b"\r\n" if raw else b"") + b"\r\n"
        assert Headers.from_lines(raw).index() == index
