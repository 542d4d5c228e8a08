"""The chunked coding."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.errors import HttpError
from duplexer.http.chunked import MAX_SIZE_LINE, ChunkedReader
from duplexer.limits import DEFAULT_LIMITS, Limits


def read(data: bytes, size: int, limits: Limits = DEFAULT_LIMITS) -> tuple[object, ...]:
    """Body and rest, or the status, with ``data`` in pieces of ``size``."""
    reader = ChunkedReader(limits, limits.max_body)
    try:
        for i in range(0, len(data), size):
            if reader.feed(data[i : i + size]):
                return bytes(reader.body), data[i + reader.stop :]
    except HttpError as error:
        return (error.status,)
    return ("incomplete",)


def verdict(data: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[object, ...]:
    expected = read(data, max(len(data), 1), limits)
    for size in range(1, min(len(data), 40) + 1):
        assert read(data, size, limits) == expected
    return expected


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"000\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"2\r\n\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"\r\nx"),
        (b'1;a=b;c="d"\r\nx\r\n0;e\r\n\r\n', b"x"),
        (b"1 ;a\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n", b"x"),
    ],
)
def test_well_formed(data: bytes, body: bytes) -> None:
    assert verdict(data) == (body, b"")
    assert verdict(data + b"GET") == (body, b"GET")
    for end in range(len(data)):
        assert verdict(data[:end]) == ("incomplete",)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n", b"x\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1_0\r\n", b" 1\r\n", b"1 \r\n",
        b"\xb2\r\n",         b";a\r\n", b"1\n", b"1\r\nx\n", b"1\r\nxy\r\n", b"1\r\nx0\r\n\r\n",
        b"1\r\nx\r0\r\n\r\n",
        b"0\n\r\n", b"0\r\nA\r\n\r\n", b"0\r\n A: b\r\n\r\n", b"0\r\nA: b\n\r\n",
        b"0\r\nA : b\r\n\r\n",         b"0\r\nA: \0\r\n\r\n", b"0;\0\r\n\r\n", b"1;\ra\r\nx",
        b"1" * 17 + b"\r\n",
        "\u0661\r\n".encode(),
    ],
)  # fmt: skip
def test_malformed(data: bytes) -> None:
    assert verdict(data) == (400,)


def test_bounds() -> None:
    assert verdict(b"1;" + b"a" * MAX_SIZE_LINE) == (400,)
    assert verdict(b"0" * (MAX_SIZE_LINE + 1)) == (400,)
    limits = Limits(max_body=4, max_header_line=20, max_header_bytes=40, max_headers=3)
    assert verdict(b"5\r\n", limits) == (413,)
    assert verdict(b"2\r\nab\r\n3\r\n", limits) == (413,)
    assert verdict(b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", limits) == (b"abcd", b"")
    assert verdict(b"0\r\nA: " + b"b" * 18, limits) == (431,)
    assert verdict(b"0\r\n" + b"A: 1\r\n" * 3 + b"\r\n", limits) == (b"", b"")
    assert verdict(b"0\r\n" + b"A: 1\r\n" * 4 + b"\r\n", limits) == (431,)
    assert verdict(b"0\r\n" + b"A: 12345678901234567\r\n" * 2 + b"\r\n", limits) == (431,)


def test_no_bound_but_the_callers() -> None:
    reader = ChunkedReader(Limits(max_body=1), None)
    assert not reader.feed(b"5\r\nhello\r\n")
    assert reader.body == b"hello"


def test_started() -> None:
    reader = ChunkedReader(DEFAULT_LIMITS, None)
    seen = [reader.started]
    for piece in (b"1", b"\r\n", b"x"):
        reader.feed(piece)
        seen.append(reader.started)
    assert seen == [False, True, True, True]


def test_one_byte_chunks_are_linear() -> None:
    def cost(count: int) -> float:
        data = b"1\r\nx\r\n" * count
        reader = ChunkedReader(DEFAULT_LIMITS, None)
        start = time.thread_time()
        reader.feed(data)
        return time.thread_time() - start

    assert any(cost(32_000) < 80 * cost(2_000) for _ in range(5))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 50))
def test_round_trip(chunks: list[bytes], size: int) -> None:
    data = b"".join([b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]) + b"0\r\n\r\n"
    assert read(data, size) == (b"".join(chunks), b"")
