"""Byte work, in whichever of its two bodies runs. The kernels in C have tests of their own."""

from __future__ import annotations

import array
import base64
import codecs
import collections
import contextlib
import os
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer import _pure
from duplexer.core import bytesops
from duplexer.core.bytesops import Cork, Growing
from tests.wire.frames import joined, xor

KEY_BYTES = bytes.fromhex("37fa213d")
KEY = bytesops.load32(KEY_BYTES, 0)
BIG = bytesops.BIG_PAYLOAD
SIZES = [*range(70), 127, 128, 129, 255, 256, 1000, 4096, 4097]


def some(n: int) -> bytes:
    return random.Random(n).randbytes(n)


# -- masking -------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", range(9))
def test_unmask(offset: int) -> None:
    for n in SIZES:
        data = some(n + offset + 3)
        part = data[offset : offset + n]
        assert bytesops.unmask(data, offset, n, KEY) == xor(part, KEY_BYTES)
        assert bytesops.unmask(data, offset, n, 0) == part


def test_unmasking_twice_is_nothing() -> None:
    for n in SIZES:
        data = some(n)
        assert bytesops.unmask(bytesops.unmask(data, 0, n, KEY), 0, n, KEY) == data


@given(st.binary(min_size=4, max_size=4), st.integers(0, 1 << 40))
def test_rotate(key: bytes, phase: int) -> None:
    turned = bytesops.rotate(bytesops.load32(key, 0), phase)
    assert turned == bytesops.load32(key * 2, phase % 4)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_key_goes_on_where_it_was_cut(data: bytes, cut: int) -> None:
    head = bytesops.unmask(data, 0, min(cut, len(data)), KEY)
    rest = data[len(head) :]
    turned = bytesops.rotate(KEY, len(head))
    assert head + bytesops.unmask(rest, 0, len(rest), turned) == xor(data, KEY_BYTES)


TEXTS = [
    "",
    "Hello",
    "x" * 1000,
    "é",
    "aé€😀z" * 50,
    "x" * 31 + "é",
    "é" + "x" * 64,
    "\x00\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff",
]
NO_TEXTS = [
    b"\x80",
    b"\xbf" * 40,
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xc3",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xe2\x82",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf0\x9f\x98",
    b"\xff",
    b"x" * 100 + b"\xfe",
    b"x" * 31 + b"\xe2\x82",
]


@pytest.mark.parametrize("key", [0, KEY])
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:4])
def test_unmask_text(text: str, key: int) -> None:
    data = text.encode()
    masked = b"??" + (xor(data, KEY_BYTES) if key else data) + b"?"
    found = bytesops.unmask_text(masked, 2, len(data), key)
    assert found == text and type(found) is str


@pytest.mark.parametrize("key", [0, KEY])
@pytest.mark.parametrize("data", NO_TEXTS, ids=bytes.hex)
def test_unmask_text_that_is_none(data: bytes, key: int) -> None:
    masked = xor(data, KEY_BYTES) if key else data
    assert bytesops.unmask_text(masked, 0, len(masked), key) is None


def test_kernels_are_named() -> None:
    name = bytesops.kernels()
    assert bytesops.force_kernels(name)
    assert not bytesops.force_kernels("abacus")
    assert bytesops.force_kernels(None) and bytesops.kernels() == name


# -- what is random already ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1024, 1025, 4096, 65537])
def test_what_came_by_chance_looks_random(size: int) -> None:
    source = random.Random(size)
    for _ in range(200):
        data = source.randbytes(size)
        assert bytesops.looks_random(data)
        assert bytesops.looks_random(memoryview(bytearray(data)))


@pytest.mark.parametrize("size", [1024, 1025, 4096, 65537])
def test_what_can_be_compressed_does_not_look_random(size: int) -> None:
    source = random.Random(size)
    noise = source.randbytes(size)
    for data in (
        bytes(size),
        (bytes(range(256)) * (size // 256 + 1))[:size],  # more evenly than by chance
        base64.b64encode(noise)[:size],
        bytes(byte & 0x7F for byte in noise),
        array.array("d", [source.random() for _ in range(size)]).tobytes()[:size],
        array.array("I", range(size)).tobytes()[:size],
        (noise[:256] * (size // 256 + 1))[:size],
        noise[: size // 2] + bytes(size - size // 2),
    ):
        assert not bytesops.looks_random(data)


def test_what_is_short_does_not_look_random() -> None:
    for size in (0, 1, 255, 1023):
        assert not bytesops.looks_random(some(size))


@given(st.integers(1, 256), st.integers(1024, 5000), st.randoms(use_true_random=False))
def test_it_goes_by_pairs_of_equal_bytes(kinds: int, size: int, source: random.Random) -> None:
    data = bytes(source.randrange(kinds) for _ in range(size))
    step = (size - 256) // 3
    sample = b"".join(data[start : start + 256] for start in (0, step, 2 * step, 3 * step))
    pairs = sum(sample[:i].count(byte) for i, byte in enumerate(sample))
    assert bytesops.looks_random(data) == (1776 <= pairs <= 2316)


# -- random numbers ------------------------------------------------------------------------------


def test_random_numbers_are_even() -> None:
    numbers = [bytesops.random32() for _ in range(65536)]
    assert all(0 <= number < 1 << 32 for number in numbers)
    # Expected to collide half a time among as many.
    assert len(set(numbers)) > 65536 - 10
    for shift in (0, 8, 16, 24):
        counts = collections.Counter(number >> shift & 0xFF for number in numbers)
        chi = sum((counts[byte] - 256) ** 2 / 256 for byte in range(256))
        # 255 degrees of freedom: beyond 400 once in ten million times.
        assert chi < 400


def test_the_pool_is_from_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def urandom(n: int) -> bytes:
        asked.append(n)
        return bytes(n)

    bytesops.forget_random()
    monkeypatch.setattr(os, "urandom", urandom)
    try:
        assert [bytesops.random32() for _ in range(5)] == [0] * 5
        assert len(asked) == 1 and asked[0] >= 1024
    finally:
        bytesops.forget_random()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_has_other_numbers() -> None:
    bytesops.random32()  # there is something in the pool to inherit
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            numbers = [bytesops.random32() for _ in range(8)]
            os.write(writer, b"".join(number.to_bytes(4, "big") for number in numbers))
        finally:
            os._exit(0)
    os.close(writer)
    ours = {bytesops.random32() for _ in range(1024)}
    data = os.read(reader, 64)
    os.close(reader)
    os.waitpid(pid, 0)
    theirs = {int.from_bytes(data[i : i + 4], "big") for i in range(0, 32, 4)}
    assert len(theirs) == 8 and not ours & theirs


# -- incoming ------------------------------------------------------------------------------------


def push(growing: Growing, data: bytes, expected: int | None = None) -> None:
    growing.push(data, 0, len(data), 0, len(data) if expected is None else expected)


@given(st.lists(st.binary(max_size=50)), st.integers(0, 10_000))
def test_growing(pieces: list[bytes], announced: int) -> None:
    growing = Growing()
    for _ in range(2):
        left = announced
        for piece in pieces:
            push(growing, piece, left)
            left = max(0, left - len(piece))
        assert growing.size == sum(map(len, pieces))
        assert growing.take_bytes() == b"".join(pieces)
        assert growing.size == 0 and growing.take_bytes() == b""


def test_growing_unmasks() -> None:
    growing = Growing()
    growing.push(b"??" + xor(b"Hello", KEY_BYTES) + b"?", 2, 5, KEY, 5)
    assert growing.take_bytes() == b"Hello"


def memory_of(came: int, announced: int, piece: int) -> int:
    """What a message holds of which ``came`` have come, of ``announced``."""
    data = bytes(piece)
    tracemalloc.start()
    try:
        growing = Growing()
        for done in range(0, came, piece):
            growing.push(data, 0, piece, 0, announced - done)
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", [1, 1000])
def test_an_announcement_is_believed_up_to_four_times_what_has_come(piece: int) -> None:
    for pieces in (1, 2, 10, 100):
        came = pieces * piece
        assert memory_of(came, 1 << 30, piece) < 4 * came + 1000


def test_an_announcement_that_is_nearly_fulfilled_is_believed() -> None:
    # No growing, hence no copying, beyond what was announced.
    assert memory_of(300_000, 1_000_000, 300_000) < 1_010_000
    assert memory_of(1_000_000, 1_000_000, 1000) < 1_600_000


def test_an_announcement_that_nobody_could_hold() -> None:
    growing = Growing()
    growing.push(b"x", 0, 1, 0, (1 << 62) - 1)
    assert growing.take_bytes() == b"x"


def splits(data: bytes) -> Any:
    for i in range(len(data) + 1):
        for j in range(i, len(data) + 1):
            yield data[:i], data[i:j], data[j:]


@pytest.mark.parametrize("text", ["aé€😀z", "😀😀", "\ud7ff\ue000\U0010ffff"])
def test_text_cut_anywhere(text: str) -> None:
    for pieces in splits(text.encode()):
        growing = Growing()
        parts = Growing()
        decoder = codecs.getincrementaldecoder("utf-8")()
        for piece in pieces:
            for each in (growing, parts):
                push(each, piece)
                assert each.is_text(each.size - len(piece))
            assert parts.take_text_part() == decoder.decode(piece)
            assert parts.size == len(decoder.getstate()[0])
        assert growing.is_complete_text() and parts.is_complete_text()
        assert growing.take_text() == text
        assert parts.take_text() == ""


@pytest.mark.parametrize("data", NO_TEXTS, ids=bytes.hex)
def test_what_is_no_text_is_found_at_its_first_wrong_byte(data: bytes) -> None:
    first = wrong_at(data)
    for pieces in splits(data[-6:]):
        growing = Growing()
        start = data[:-6]
        push(growing, start)
        came = len(start)
        assert growing.is_text(0) is (came <= first)
        if came > first:
            break
        for piece in pieces:
            push(growing, piece)
            came += len(piece)
            verdict = growing.is_text(growing.size - len(piece))
            assert verdict is (came <= first)
            if not verdict:
                break
        else:
            assert not growing.is_complete_text()


def wrong_at(data: bytes) -> int:
    """The index of the first byte that no text has there; the length if the end comes too soon."""
    for n in range(1, len(data) + 1):
        # What can be completed by some continuation bytes is not wrong yet.
        fillers = (
            b"",
            b"\x80",
            b"\x90",
            b"\xa0",
            b"\x80\x80",
            b"\x90\x80",
            b"\xa0\x80",
            b"\x80" * 3,
        )
        fillers += (b"\x90\x80\x80", b"\xa0\x80\x80")
        if not any(is_text(data[:n] + filler) for filler in fillers):
            return n - 1
    return len(data)


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_parts_of_nothing() -> None:
    growing = Growing()
    assert growing.take_text_part() == "" and growing.take_text() == ""
    assert growing.is_text(0) and growing.is_complete_text()


def test_clearing_forgets_half_a_character() -> None:
    growing = Growing()
    push(growing, b"\xe2")
    assert growing.is_text(0) and not growing.is_complete_text()
    growing.clear()
    assert growing.is_complete_text() and growing.size == 0
    push(growing, b"x")
    assert growing.is_text(0) and growing.take_text() == "x"


# -- outgoing ------------------------------------------------------------------------------------


def test_numbers() -> None:
    cork = Cork()
    cork.put2(0x81, 0xFE)
    cork.put16(0x1234)
    cork.put64(0x0102030405060708)
    cork.put32_raw(KEY)
    assert cork.size == 16
    assert cork.take() == bytes.fromhex("81fe 1234 0102030405060708") + KEY_BYTES
    assert cork.size == 0 and cork.take() == b""


PAYLOADS: list[Any] = [
    b"Hello",
    "Hello",
    bytearray(b"Hello"),
    memoryview(b"_Hello_")[1:6],
    array.array("B", b"Hello"),
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: type(payload).__name__)
@pytest.mark.parametrize("key", [0, KEY])
def test_payloads(payload: Any, key: int) -> None:
    cork = Cork()
    cork.put(payload, 5, key)
    assert cork.take() == (xor(b"Hello", KEY_BYTES) if key else b"Hello")


def test_a_buffer_that_has_changed_its_size_is_refused() -> None:
    for payload in (bytearray(b"Hello"), memoryview(b"Hello")):
        for n in (1, 4, 6, 1 << 20):
            cork = Cork()
            with pytest.raises(BufferError):
                cork.put(payload, n, 0)
            assert cork.size == 0


def test_a_big_payload_is_a_piece_of_its_own_and_not_copied() -> None:
    cork = Cork()
    big = bytes(BIG)
    cork.put(b"before", 6, 0)
    cork.put(big, BIG, 0)
    cork.put(big, BIG, 0)
    cork.put(b"after", 5, 0)
    assert cork.size == 11 + 2 * BIG
    pieces = cork.take()
    assert isinstance(pieces, list)
    assert [len(piece) for piece in pieces] == [6, BIG, BIG, 5]
    assert pieces[1] is big and pieces[2] is big
    assert cork.size == 0 and cork.take() == b""


@pytest.mark.parametrize(
    ("payload", "key"), [(bytes(BIG - 1), 0), (bytes(BIG), KEY), (bytearray(BIG), 0)]
)
def test_what_is_small_masked_or_may_change_is_copied(payload: Any, key: int) -> None:
    cork = Cork()
    cork.put(payload, len(payload), key)
    taken = cork.take()
    assert isinstance(taken, bytes) and taken is not payload and len(taken) == len(payload)


def test_what_was_taken_does_not_change() -> None:
    cork = Cork()
    cork.put(b"first", 5, 0)
    first = cork.take()
    cork.put(b"other", 5, 0)
    assert (first, cork.take()) == (b"first", b"other")


@given(st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 3)), max_size=50))
def test_all_that_is_put_is_there(parts: list[tuple[bytes, int]]) -> None:
    cork = Cork()
    wanted = b""
    for data, how in parts:
        if how == 3:
            data = data * (BIG // 100)
        cork.reserve(how * 100)
        cork.put(data, len(data), KEY if how == 1 else 0)
        wanted += xor(data, KEY_BYTES) if how == 1 else data
        assert cork.size == len(wanted)
    assert joined(cork.take()) == wanted


@pytest.mark.parametrize("before", [0, 10])
def test_memory_that_there_is_not(before: int) -> None:
    cork = Cork()
    cork.put(bytes(before), before, 0)
    with contextlib.suppress(MemoryError, OverflowError):
        cork.reserve(1 << 61)
    cork.put2(1, 2)
    assert joined(cork.take())[-2:] == b"\x01\x02"


def test_what_is_shared_is_passed_on_uncopied_if_it_comes_first() -> None:
    shared = b"\x82\x05hello"
    cork = bytesops.Cork()
    cork.put_shared(shared)
    assert cork.size == 7
    assert cork.take() is shared
    assert cork.size == 0
    cork.put_shared(shared)
    cork.put_shared(shared)
    cork.put2(1, 2)
    assert cork.size == 16
    assert b"".join(cork.take()) == shared * 2 + b"\1\2"
    cork.put2(1, 2)
    cork.put_shared(shared)
    assert cork.take() == b"\1\2" + shared


def test_a_large_message_that_somebody_has_is_never_written_to() -> None:
    def receive(fill: int) -> bytes:
        growing = bytesops.Growing()
        part = bytes([fill]) * 100_000
        for left in (200_000, 100_000):
            growing.push(part, 0, len(part), 0, left)
        return growing.take_bytes()

    kept = [receive(fill) for fill in range(12)]
    for fill in range(100):
        message = receive(fill)  # in the pages of an earlier one, which nobody has
        assert message == bytes([fill]) * 200_000
        assert hash(message) == hash(bytes([fill]) * 200_000)
    for fill, message in enumerate(kept):
        assert message == bytes([fill]) * 200_000


def test_a_part_of_what_is_not_text_cannot_be_taken() -> None:
    growing = Growing()
    data = b"\x80" * 1000
    growing.push(data, 0, len(data), 0, 0)
    assert not growing.is_text(0)
    with pytest.raises(ValueError, match=r"(?i)utf-8"):
        growing.take_text_part()


def test_what_many_send_is_right_for_each() -> None:
    rng = random.Random(1)
    shared = [bytes([65 + i]) * n for i, n in enumerate([1, 130, 2000, 40_000])]
    corks = [bytesops.Cork() for _ in range(5)]
    wanted = [b""] * 5
    for _ in range(3000):
        some = rng.sample(range(5), rng.choice([1, 3, 5, 5, 5]))
        kind = rng.randrange(10)
        message = rng.choice(shared)
        for i in some:
            if kind == 0:
                corks[i].put2(1, 2)
                wanted[i] += b"\1\2"
            elif kind == 1:
                corks[i].put(message, len(message), 0)
                wanted[i] += message
            elif kind in (2, 3):
                taken = corks[i].take()
                assert joined(taken) == wanted[i]
                assert corks[i].size == 0
                wanted[i] = b""
            else:
                corks[i].put_shared(message)
                wanted[i] += message
            assert corks[i].size == len(wanted[i])
    assert shared == [bytes([65 + i]) * n for i, n in enumerate([1, 130, 2000, 40_000])]


def test_what_many_send_is_joined_once() -> None:
    corks = [bytesops.Cork() for _ in range(3)]
    for message in (b"a" * 100, b"b" * 100):
        for cork in corks:
            cork.put_shared(message)
    corks[2].put2(1, 2)
    first, second, third = (cork.take() for cork in corks)
    assert joined(first) == joined(second) == b"a" * 100 + b"b" * 100
    assert first is second or not _pure.is_compiled("duplexer.core.bytesops")
    assert joined(third) == joined(first) + b"\1\2"
