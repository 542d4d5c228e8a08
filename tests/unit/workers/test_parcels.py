"""The bytes on the bus."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.workers.parcels import ANSWER, ASK, BINARY, MISSED, TEXT, Unpacker, missed, pack

PARCELS = st.lists(
    st.tuples(
        st.sampled_from([TEXT, BINARY, ASK, ANSWER]), st.binary(max_size=9), st.binary(max_size=99)
    )
)


@given(PARCELS, st.integers(1, 50))
def test_however_the_stream_is_cut(parcels: list[tuple[int, bytes, bytes]], size: int) -> None:
    stream = b"".join(pack(*parcel) for parcel in parcels)
    unpacker = Unpacker(1000)
    found = []
    for start in range(0, len(stream), size):
        found += unpacker.feed(stream[start : start + size])
    assert found == parcels


def test_how_many_are_missing() -> None:
    ((kind, name, data),) = Unpacker(100).feed(missed(7))
    assert (kind, name, Unpacker.count(data)) == (MISSED, b"", 7)


def test_what_is_no_parcel() -> None:
    with pytest.raises(ValueError, match="1001 bytes"):
        list(Unpacker(1000).feed(struct.pack(">IBH", 1001, TEXT, 0)))
    with pytest.raises(ValueError, match="a name of 9"):
        list(Unpacker(1000).feed(struct.pack(">IBH", 5, TEXT, 9)))


def test_a_name_has_a_bound() -> None:
    pack(TEXT, b"x" * 0xFFFF, b"")
    with pytest.raises(ValueError, match="the name of a group"):
        pack(TEXT, b"x" * 0x10000, b"")
