"""Framing: every form of every field, whole and cut at every byte of the header."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.core.bytesops import Cork
from duplexer.core.extension import Extension
from duplexer.core.messages import Assembler
from duplexer.dialects.hybi import FrameDecoder, FrameEncoder, frame
from duplexer.errors import ProtocolError
from duplexer.limits import Limits
from tests.wire.frames import BINARY, CLOSE, CONT, KEY, PING, TEXT, build, joined, parse

EDGES = [0, 1, 125, 126, 127, 65535, 65536]
HUGE = [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**63 - 1]
BEYOND = [2**63, 2**64 - 14, 2**64 - 1]


class Marker(Extension):
    """Claims reserved bits, and leaves the data as it is."""

    def __init__(self, rsv: int) -> None:
        self.rsv = rsv

    def decode(self, data: bytes, fin: bool, room: int | None) -> bytes:
        return data


def decoder(masked: bool = True, *, rsv: int = 0, **changes: Any) -> FrameDecoder:
    extensions = (Marker(rsv),) if rsv else ()
    made = FrameDecoder(Assembler(Limits(**changes), extensions), masked)
    made.budget = 1 << 30
    return made


def feed(target: FrameDecoder, *pieces: bytes) -> None:
    for piece in pieces:
        assert target.feed(piece, 0, len(piece)) == len(piece)


def verdict(target: FrameDecoder, *pieces: bytes) -> str:
    try:
        feed(target, *pieces)
    except ProtocolError as error:
        return error.name
    return ""


def cuts(data: bytes, most: int = 20) -> list[tuple[bytes, ...]]:
    places = range(min(len(data), most) + 1)
    ways: list[tuple[bytes, ...]] = [(data[:i], data[i:]) for i in places]
    return [*ways, tuple(data[i : i + 1] for i in places[:-1]) + (data[places[-1] :],)]


# -- lengths -------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("n", EDGES)
def test_lengths(n: int, masked: bool) -> None:
    payload = (b"0123456789abcdef" * (n // 16 + 1))[:n]
    data = build(BINARY, payload, key=KEY if masked else None)
    assert frame(payload, BINARY, mask=KEY if masked else None) == data
    for pieces in cuts(data):
        target = decoder(masked)
        feed(target, *pieces)
        assert target.assembler.inbox.pop() == payload
        assert target.is_between_frames()
        assert (target.last_opcode, target.last_size) == (BINARY, n)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("n", HUGE)
def test_huge_lengths_are_refused_by_their_header(n: int, masked: bool) -> None:
    data = build(BINARY, b"", length=n, key=KEY if masked else None)
    for pieces in cuts(data):
        assert verdict(decoder(masked), *pieces) == "message-too-big"
        assert verdict(decoder(masked, max_frame=10), *pieces) == "frame-too-big"


@pytest.mark.parametrize("n", HUGE[:5])
def test_huge_lengths_cost_nothing_until_they_come(n: int) -> None:
    target = decoder(max_message=None)
    feed(target, build(BINARY, b"x", length=n))
    assert target.assembler.body is not None and target.assembler.body.size == 1
    assert not target.is_between_frames()


@pytest.mark.parametrize("n", BEYOND)
def test_lengths_with_the_top_bit(n: int) -> None:
    data = build(BINARY, b"", length=n)
    for pieces in cuts(data):
        assert verdict(decoder(max_message=None), *pieces) == "length-sign"


@pytest.mark.parametrize(
    ("form", "n"), [(16, 0), (16, 5), (16, 125), (64, 0), (64, 125), (64, 126), (64, 65535)]
)
def test_lengths_that_are_not_minimal(form: int, n: int) -> None:
    data = build(BINARY, bytes(n), form=form)
    for pieces in cuts(data):
        assert verdict(decoder(), *pieces) == "length-minimal"


# -- the first two bytes -------------------------------------------------------------------------


@pytest.mark.parametrize("claimed", range(8))
def test_reserved_bits(claimed: int) -> None:
    for opcode in range(16):
        for rsv in range(8):
            for fin in (True, False):
                data = build(opcode, b"x", fin=fin, rsv=rsv)
                expected = first_byte(opcode, rsv, fin, claimed)
                for pieces in cuts(data):
                    found = verdict(decoder(rsv=claimed), *pieces)
                    assert found == expected, (opcode, rsv, fin)


def first_byte(opcode: int, rsv: int, fin: bool, claimed: int) -> str:
    if opcode not in (0, 1, 2, 8, 9, 10):
        return "opcode-unknown"
    if rsv & ~claimed or (rsv and opcode >= 8):
        return "rsv-unexpected"
    if opcode >= 8:
        return "" if fin else "control-fragmented"
    return "continuation-unexpected" if opcode == CONT else ""


@pytest.mark.parametrize("opcode", [3, 7, 11, 15])
def test_the_first_byte_is_enough(opcode: int) -> None:
    assert verdict(decoder(), bytes([0x80 | opcode])) == "opcode-unknown"
    assert verdict(decoder(), bytes([0x09])) == "control-fragmented"
    assert verdict(decoder(), bytes([0xC1])) == "rsv-unexpected"


@pytest.mark.parametrize("opcode", [CONT, TEXT, BINARY, CLOSE, PING])
def test_who_masks(opcode: int) -> None:
    start = bytes([0x80 | opcode])
    assert verdict(decoder(True), start + b"\x00") == "mask-missing"
    assert verdict(decoder(False), start + b"\x80") == "mask-unexpected"
    assert verdict(decoder(True), start, b"\x00") == "mask-missing"
    assert verdict(decoder(False), start, b"\x80") == "mask-unexpected"


@pytest.mark.parametrize("n", [126, 127])
def test_a_long_control_frame_is_refused_at_its_second_byte(n: int) -> None:
    assert verdict(decoder(), bytes([0x89, 0x80 | n])) == "control-too-long"
    assert verdict(decoder(), b"\x89", bytes([0x80 | n])) == "control-too-long"


# -- control frames and turns --------------------------------------------------------------------


def test_control_frames_are_handed_on_in_order() -> None:
    data = build(PING, b"1") + build(TEXT, b"x", fin=False) + build(10, b"2" * 125)
    for pieces in cuts(data, len(data)):
        target = decoder()
        feed(target, *pieces)
        assert target.controls == [(9, b"1"), (10, b"2" * 125)]


def test_it_stops_after_a_close() -> None:
    close = build(CLOSE, b"\x03\xe8")
    data = close + build(TEXT, b"x")
    assert decoder().feed(data, 0, len(data)) == len(close)
    target = decoder()
    assert target.feed(close[:-1], 0, len(close) - 1) == len(close) - 1
    assert target.feed(data, len(close) - 1, len(data)) == len(close)
    assert target.assembler.inbox.count == 0


def test_the_budget() -> None:
    data = build(TEXT, b"x") * 10
    target = decoder()
    target.budget = 4
    stop = target.feed(data, 0, len(data))
    assert (stop, target.assembler.inbox.count) == (4 * 7, 4)
    assert target.feed(data, stop, len(data)) == stop
    target.budget = 100
    assert target.feed(data, stop, len(data)) == len(data)
    assert target.assembler.inbox.count == 10


def test_between_frames() -> None:
    data = build(BINARY, b"abc")
    for i in range(len(data) + 1):
        target = decoder()
        feed(target, data[:i])
        assert target.is_between_frames() is (i in (0, len(data)))


def test_only_the_range_is_read() -> None:
    data = build(TEXT, b"Hello")
    for before in range(5):
        target = decoder()
        around = b"\xff" * before + data + b"\xff" * 3
        assert target.feed(around, before, before + len(data)) == before + len(data)
        assert target.assembler.inbox.pop() == "Hello"


# -- encoding ------------------------------------------------------------------------------------


@given(
    st.sampled_from([CONT, TEXT, BINARY, CLOSE, PING, 10]),
    st.binary(max_size=300),
    st.booleans(),
    st.integers(0, 7),
    st.none() | st.binary(min_size=4, max_size=4).filter(any),
)
def test_a_frame_is_a_pure_function(
    opcode: int, data: bytes, fin: bool, rsv: int, mask: bytes | None
) -> None:
    made = frame(data, opcode, fin=fin, rsv=rsv, mask=mask)
    assert made == build(opcode, data, fin=fin, rsv=rsv, key=mask)
    assert parse(made) == [(opcode, data, fin, rsv, mask)]


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("n", [*EDGES, 32767, 32768, 200_000])
def test_the_encoder(n: int, masked: bool) -> None:
    cork = Cork()
    encoder = FrameEncoder(masked)
    for payload in (b"x" * n, "x" * n, bytearray(b"x" * n)):
        encoder.put_frame(cork, BINARY, False, 2, payload, n)
    frames = parse(joined(cork.take()))
    assert [one._replace(key=None) for one in frames] == [(BINARY, b"x" * n, False, 2, None)] * 3
    assert {one.key is not None for one in frames} == {masked}
    assert len({one.key for one in frames}) == (3 if masked else 1)
    assert (encoder.last_opcode, encoder.last_size) == (BINARY, n)
