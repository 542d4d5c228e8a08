"""Raw deflate by each of the libraries that may be installed, with Python's zlib as the peer."""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer import _pure
from duplexer.errors import ProtocolError
from duplexer.extensions import zlibs

if TYPE_CHECKING:
    from collections.abc import Callable

TAIL = b"\x00\x00\xff\xff"
KiB, MiB = 1024, 1024 * 1024

#: Name → module attributes that have zlibs choose that library.
BACKENDS: dict[str, dict[str, object]] = {
    "module": {"_zlib": None, "isal_zlib": None, "zlib_ng": None},
    "c": {"isal_zlib": None, "zlib_ng": None},
    "isal": {"zlib_ng": None},
    "zlib_ng": {"isal_zlib": None},
}
INSTALLED = [
    name
    for name, attribute in (("c", "_zlib"), ("isal", "isal_zlib"), ("zlib_ng", "zlib_ng"))
    if getattr(zlibs, attribute) is not None
]
INFLATERS: dict[str, Callable[[int, bool], zlibs.Inflater]] = {"module": zlibs.ObjectInflater}
if zlibs._zlib is not None:
    INFLATERS["c"] = zlibs._zlib.Inflater

TEXT = b'{"type":"trade","symbol":"BTC-USD","price":27123.41,"size":12,"side":"buy"},'


@pytest.fixture(params=["module", *INSTALLED])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Has ``zlibs`` use one library only."""
    for attribute, value in BACKENDS[request.param].items():
        monkeypatch.setattr(zlibs, attribute, value)
    monkeypatch.setattr(zlibs, "_shared", {})
    name: str = request.param
    return name


@pytest.fixture(params=sorted(INFLATERS))
def make(request: pytest.FixtureRequest) -> Callable[[int, bool], zlibs.Inflater]:
    return INFLATERS[request.param]


def compressed(*messages: bytes, wbits: int = 15, level: int = 6) -> list[bytes]:
    """Messages as a peer sends them that keeps its context."""
    context = zlib.compressobj(level, zlib.DEFLATED, -max(wbits, 9))
    return [(context.compress(m) + context.flush(zlib.Z_SYNC_FLUSH))[:-4] for m in messages]


def final(data: bytes, zdict: bytes = b"") -> bytes:
    """``data`` as a whole deflate stream, that ends in a final block."""
    context = zlib.compressobj(wbits=-15, zdict=zdict)
    return context.compress(data) + context.flush()


def read_in_window(data: bytes, wbits: int) -> bytes:
    """Decompress by steps of one byte: zlib then sees no further back than its window is long."""
    context = zlib.decompressobj(-wbits)
    out, rest = bytearray(), data
    while True:
        made = context.decompress(rest, 1)
        rest = context.unconsumed_tail
        if not made and not rest:
            return bytes(out)
        out += made


@pytest.mark.compiled
@pytest.mark.skipif(sys.platform == "win32", reason="zlib is no shared library there")
def test_zlib_is_called_from_c() -> None:
    assert _pure.is_compiled("duplexer.extensions._zlib")
    assert zlibs._zlib.version().startswith("1.")


def test_backends_are_named(backend: str) -> None:
    names = zlibs.backends()
    assert names["deflate"].startswith("isal" if backend == "isal" else "zlib")
    assert names["inflate"].startswith("zlib")
    assert names["inflate"].endswith("(C)") == (backend != "module" and zlibs._zlib is not None)


class TestChoice:
    @pytest.mark.parametrize("level", [None, 1, 2, 3])
    def test_fast_levels_are_for_isal(self, level: int | None) -> None:
        if "isal" in INSTALLED:
            module, settings = zlibs._choose(zlibs.Settings(12, level))
            assert module is zlibs.isal_zlib
            assert settings == (12, 1, 1, 0)

    @pytest.mark.parametrize("level", [4, 6, 9])
    def test_higher_levels_are_for_zlib_ng(self, level: int) -> None:
        if "zlib_ng" in INSTALLED:
            assert zlibs._choose(zlibs.Settings(12, level))[0] is zlibs.zlib_ng

    @pytest.mark.parametrize(
        "settings", [zlibs.Settings(12, 0), zlibs.Settings(12, strategy=2), zlibs.Settings(8)]
    )
    def test_the_rest_is_for_zlib(self, settings: zlibs.Settings) -> None:
        module, chosen = zlibs._choose(settings)
        assert module is (zlib if zlibs._zlib is None else None)
        assert chosen.wbits == max(settings.wbits, 9)


class TestDeflater:
    @pytest.mark.parametrize("wbits", range(8, 16))
    @pytest.mark.parametrize("level", [None, 6])
    def test_every_window_is_kept_to(self, backend: str, wbits: int, level: int | None) -> None:
        rng = random.Random(wbits)
        for base in (60, 250, 256, 257, 511, 1000, 4096, 20000):
            pattern = rng.randbytes(base)
            deflater = zlibs.deflater(zlibs.Settings(wbits, level))
            messages = [(pattern * 40)[: rng.randrange(1, 4000)] for _ in range(3)]
            messages.append((pattern * 40)[: 2 * base + 100])
            wire = b"".join(deflater.piece(message, True) + TAIL for message in messages)
            assert read_in_window(wire, wbits) == b"".join(messages)

    @pytest.mark.parametrize("level", [None, 0, 6])
    @pytest.mark.parametrize("n", [1, 100, 65530, 65536, 65541, 1_000_000])
    def test_sizes(self, backend: str, level: int | None, n: int) -> None:
        for data in (random.Random(n).randbytes(n), (TEXT * (n // 70 + 1))[:n], b"\x00" * n):
            deflater = zlibs.deflater(zlibs.Settings(12, level))
            peer = zlib.decompressobj(-12)
            for _ in range(2):
                assert peer.decompress(deflater.piece(data, True) + TAIL) == data
                assert not peer.eof
                assert not peer.unused_data

    def test_nothing(self, backend: str) -> None:
        deflater = zlibs.deflater(zlibs.Settings(12))
        peer = zlib.decompressobj(-12)
        for data in (b"", b"", b"Hello", b"", b"Hello", b""):
            wire = deflater.piece(data, True)
            assert data or wire == b"\x00"
            assert peer.decompress(wire + TAIL) == data
        assert deflater.piece(b"", False) == b""

    def test_pieces_arrive_at_once(self, backend: str) -> None:
        deflater = zlibs.deflater(zlibs.Settings(12))
        peer = zlib.decompressobj(-12)
        for _ in range(3):
            assert peer.decompress(deflater.piece(b"Hel", False)) == b"Hel"
            assert peer.decompress(deflater.piece(b"lo", False)) == b"lo"
            assert peer.decompress(deflater.piece(b"", True) + TAIL) == b""

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_kinds_of_data(self, backend: str, kind: Callable[[bytes], zlibs.Data]) -> None:
        wire = zlibs.deflater(zlibs.Settings(12)).piece(kind(TEXT), True)
        assert zlib.decompressobj(-12).decompress(wire + TAIL) == TEXT

    def test_takeover_pays(self, backend: str) -> None:
        deflater = zlibs.deflater(zlibs.Settings(12))
        data = random.Random(1).randbytes(2000)
        assert len(deflater.piece(data, True)) > 1900
        assert len(deflater.piece(data, True)) < 100

    def test_reset(self, backend: str) -> None:
        deflater = zlibs.deflater(zlibs.Settings(12))
        deflater.reset()
        first = deflater.piece(TEXT, True)
        assert deflater.piece(TEXT, True) != first
        deflater.reset()
        assert deflater.piece(TEXT, True) == first

    def test_once(self, backend: str) -> None:
        settings = zlibs.Settings(12)
        first = zlibs.deflate_once(settings, TEXT)
        assert zlibs.deflate_once(zlibs.Settings(10), TEXT * 3) != first
        for _ in range(3):
            assert zlibs.deflate_once(settings, TEXT) == first
        assert zlibs.deflate_once(settings, b"") == b"\x00"
        assert zlib.decompressobj(-12).decompress(first + TAIL) == TEXT

    @pytest.mark.parametrize("settings", [(12, 10, 5, 0), (16, 6, 5, 0), (12, 6, 10, 0)])
    def test_invalid_settings(self, backend: str, settings: tuple[int, int, int, int]) -> None:
        with pytest.raises(ValueError, match="Invalid"):
            zlibs.deflater(zlibs.Settings(*settings)).piece(b"x", True)


class TestInflater:
    def test_rfc_examples(self, make: Callable[[int, bool], zlibs.Inflater]) -> None:
        inflater = make(15, True)
        for wire in (
            "f248cdc9c90700",  # RFC 7692 7.2.3.1
            "f200110000",  # 7.2.3.2: refers to the message before
            "000500faff48656c6c6f00",  # 7.2.3.3: not compressed
            "f348cdc9c9070000",  # 7.2.3.4: a final block
            "f200110000",  # ... and a reference across it
            "f248050000" + "00ffff" + "cac9c90700",  # 7.2.3.5: two blocks
        ):
            assert inflater.piece(bytes.fromhex(wire), True, 5) == b"Hello", wire

    @given(
        messages=st.lists(st.binary(max_size=300), max_size=6),
        wbits=st.integers(8, 15),
        takeover=st.booleans(),
        step=st.integers(1, 40),
        name=st.sampled_from(sorted(INFLATERS)),
    )
    def test_pieces_of_any_size(
        self, messages: list[bytes], wbits: int, takeover: bool, step: int, name: str
    ) -> None:
        inflater = INFLATERS[name](wbits, takeover)
        wires = compressed(*messages, wbits=wbits)
        if not takeover:
            wires = [compressed(message, wbits=wbits)[0] for message in messages]
        for message, wire in zip(messages, wires, strict=True):
            pieces = [wire[i : i + step] for i in range(0, len(wire), step)]
            made = b"".join(inflater.piece(piece, False, None) for piece in pieces)
            assert made + inflater.piece(b"", True, None) == message

    @pytest.mark.parametrize("n", [0, 1, 2047, 65535, 65536, 65537, 131_072, 131_073, 300_000])
    def test_room_is_exact(self, make: Callable[[int, bool], zlibs.Inflater], n: int) -> None:
        data = (TEXT * (n // 70 + 1))[:n]
        wire = compressed(data)[0]
        assert make(15, True).piece(wire, True, n) == data
        assert make(15, True).piece(wire, True, None) == data
        if n:
            with pytest.raises(ProtocolError) as caught:
                make(15, True).piece(wire, True, n - 1)
            assert caught.value.name == "message-too-big"

    def test_window_is_kept_between_messages(
        self, make: Callable[[int, bool], zlibs.Inflater]
    ) -> None:
        first, second = compressed(TEXT, TEXT)
        inflater = make(12, True)
        assert inflater.piece(first, True, None) == TEXT
        assert inflater.piece(second, True, None) == TEXT
        inflater = make(12, False)
        assert inflater.piece(first, True, None) == TEXT
        with pytest.raises(ProtocolError) as caught:
            inflater.piece(second, True, None)
        assert caught.value.name == "deflate-corrupt"
        assert "too far back" in caught.value.detail

    def test_nothing_at_all(self, make: Callable[[int, bool], zlibs.Inflater]) -> None:
        inflater = make(12, True)
        first, second = compressed(TEXT, TEXT)
        for wire in (b"", first, b"", second, b"\x00", b""):
            expected = TEXT if len(wire) > 1 else b""
            assert inflater.piece(wire, True, len(TEXT)) == expected

    def test_tail_left_on(self, make: Callable[[int, bool], zlibs.Inflater]) -> None:
        """It must be removed (7.2.1); that it was not can be told, and is borne with."""
        inflater = make(12, True)
        for wire in compressed(TEXT, TEXT, TEXT):
            assert inflater.piece(wire + TAIL, True, None) == TEXT
        inflater = make(12, False)
        for _ in range(2):
            wire = compressed(TEXT)[0] + TAIL
            made = [inflater.piece(bytes([byte]), False, None) for byte in wire]
            assert b"".join(made) == TEXT
            assert inflater.piece(b"", True, None) == b""

    def test_text_that_looks_like_the_tail(
        self, make: Callable[[int, bool], zlibs.Inflater]
    ) -> None:
        """A stored block whose data is the tail, cut off in the middle: not a boundary."""
        data = b"Hello" + TAIL + b"World"
        stored = b"\x00" + bytes([len(data), 0, 255 - len(data), 255]) + data
        assert make(12, True).piece(stored + b"\x00", True, None) == data
        with pytest.raises(ProtocolError):
            make(12, True).piece(stored[:-5], True, None)


class TestFinalBlocks:
    def test_alone(self, make: Callable[[int, bool], zlibs.Inflater]) -> None:
        inflater = make(15, True)
        for _ in range(3):
            assert inflater.piece(final(b"Hello"), True, 5) == b"Hello"
            assert inflater.piece(final(b"Hello") + b"\x00", True, 5) == b"Hello"
            assert inflater.piece(compressed(b"Hello")[0], True, 5) == b"Hello"

    def test_window_is_kept_across(self, make: Callable[[int, bool], zlibs.Inflater]) -> None:
        data = random.Random(1).randbytes(40_000)
        for pieces in (1, 7):
            inflater = make(15, True)
            size = len(data) // pieces + 1
            for i in range(0, len(data), size):
                wire = final(data[i : i + size], data[:i][-32768:])
                assert inflater.piece(wire, True, size) == data[i : i + size]
            wire = final(data[-30_000:], data[-32768:])
            assert len(wire) < 1000
            assert inflater.piece(wire, True, 30_000) == data[-30_000:]
            wire = final(data[-30_000:], data[-2768:] + data[-30_000:])
            assert inflater.piece(wire, True, 30_000) == data[-30_000:]

    def test_small_window(self, make: Callable[[int, bool], zlibs.Inflater]) -> None:
        inflater = make(9, True)
        data = random.Random(1).randbytes(700)
        assert inflater.piece(final(data), True, None) == data
        context = zlib.compressobj(wbits=-9, zdict=data[-512:])
        wire = context.compress(data[-200:]) + context.flush()
        assert len(wire) < 50
        assert inflater.piece(wire, True, None) == data[-200:]

    def test_within_a_message(self, make: Callable[[int, bool], zlibs.Inflater]) -> None:
        wire = final(b"Hello") + final(b" Hello", b"Hello") + compressed(b"!")[0]
        for takeover in (True, False):
            inflater = make(15, takeover)
            for _ in range(2):
                assert inflater.piece(wire, True, 12) == b"Hello Hello!"
                made = [inflater.piece(bytes([byte]), False, 12) for byte in wire]
                assert b"".join(made) + inflater.piece(b"", True, 0) == b"Hello Hello!"

    def test_not_remembered_without_takeover(
        self, make: Callable[[int, bool], zlibs.Inflater]
    ) -> None:
        inflater = make(15, False)
        assert inflater.piece(final(TEXT), True, None) == TEXT
        with pytest.raises(ProtocolError):
            inflater.piece(final(TEXT, TEXT), True, None)

    def test_one_in_64_bytes_may_be_final(
        self, make: Callable[[int, bool], zlibs.Inflater]
    ) -> None:
        data = random.Random(1).randbytes(64)
        wire = b"".join(final(data) for _ in range(500))
        assert make(15, True).piece(wire, True, None) == data * 500

    def test_too_many(self, make: Callable[[int, bool], zlibs.Inflater]) -> None:
        empty = b"\x03\x00"
        assert make(15, True).piece(empty * 16, True, None) == b""
        started = time.process_time()
        for wire in (empty * 17, empty * (MiB // 2)):
            with pytest.raises(ProtocolError) as caught:
                make(15, True).piece(wire, True, None)
            assert caught.value.name == "deflate-corrupt"
            assert caught.value.detail == "too many final blocks"
        assert time.process_time() - started < 2


class TestCorruption:
    def check(self, error: ProtocolError) -> None:
        assert error.name == "deflate-corrupt"
        assert error.close_code == 1002

    @pytest.mark.parametrize("wire", [b"\xff", b"\x06", b"\x00\x05\x00\x05\x00Hello"])
    def test_invalid(self, make: Callable[[int, bool], zlibs.Inflater], wire: bytes) -> None:
        with pytest.raises(ProtocolError) as caught:
            make(15, True).piece(wire, True, None)
        self.check(caught.value)

    def test_same_words_everywhere(self) -> None:
        words = set()
        for factory in INFLATERS.values():
            with pytest.raises(ProtocolError) as caught:
                factory(15, True).piece(b"\xff\xff", True, None)
            words.add(str(caught.value))
        assert len(words) == 1

    def test_cut_off(self, make: Callable[[int, bool], zlibs.Inflater]) -> None:
        for data in (TEXT, random.Random(1).randbytes(200), TEXT * 50):
            wire = compressed(data)[0]
            for n in range(1, len(wire)):
                try:
                    made = make(15, True).piece(wire[:n], True, None)
                except ProtocolError as error:
                    self.check(error)
                else:  # the flush's own header is all that is missing; or nothing is there but one
                    assert made == data or wire[:n] == b"\x00", n

    def test_verdicts_agree_on_flipped_bits(self) -> None:
        """Whatever bit is flipped: an error, or what zlib makes of it, and the same by all."""
        wire = bytearray(compressed(TEXT + random.Random(1).randbytes(30) + TEXT)[0])
        accepted = 0
        for bit in range(8 * len(wire)):
            wire[bit // 8] ^= 1 << bit % 8
            results = set()
            for factory in INFLATERS.values():
                try:
                    results.add(factory(15, True).piece(bytes(wire), True, 10_000))
                except ProtocolError as error:
                    results.add(error.name.encode())
            assert len(results) == 1, bit
            (result,) = results
            if not result.startswith((b"deflate-", b"message-")):
                accepted += 1
                assert zlib.decompressobj(-15).decompress(bytes(wire) + TAIL) == result
            wire[bit // 8] ^= 1 << bit % 8
        assert accepted < 8 * len(wire)

    @given(st.binary(max_size=200), st.integers(8, 15), st.booleans(), st.integers(0, 500))
    def test_noise(self, noise: bytes, wbits: int, takeover: bool, room: int) -> None:
        results = set()
        for factory in INFLATERS.values():
            try:
                made = factory(wbits, takeover).piece(noise, True, room)
                assert len(made) <= room
                results.add(made)
            except ProtocolError as error:
                results.add(error.name.encode())
        assert len(results) == 1


@pytest.fixture(scope="module")
def zeros() -> bytes:
    """1 GiB of zeros: about 1 MiB."""
    context = zlib.compressobj(9, zlib.DEFLATED, -15)
    unit = context.compress(bytes(16 * MiB)) + context.flush(zlib.Z_SYNC_FLUSH)
    return unit * 64


class TestBombs:
    @pytest.mark.parametrize("pieces", [1, 16])
    def test_bomb(
        self, make: Callable[[int, bool], zlibs.Inflater], zeros: bytes, pieces: int
    ) -> None:
        size = len(zeros) // pieces + 1
        inflater = make(15, True)
        room = MiB
        tracemalloc.start()
        started = time.process_time()
        try:
            with pytest.raises(ProtocolError) as caught:
                for i in range(0, len(zeros), size):
                    room -= len(inflater.piece(zeros[i : i + size], False, room))
            spent = time.process_time() - started
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert caught.value.name == "message-too-big"
        assert caught.value.close_code == 1009
        assert peak < 2 * MiB + len(zeros) // pieces
        assert spent < 0.5  # 2 ms without tracing, on a quiet machine

    def test_work_without_output(self, make: Callable[[int, bool], zlibs.Inflater]) -> None:
        """A million bytes of empty blocks: a time in proportion to their number."""
        inflater = make(15, True)
        spent = []
        for n in (20_000, 200_000):
            wire = b"\x00\x00\x00\xff\xff" * n
            started = time.process_time()
            assert inflater.piece(wire + b"\x00", True, 0) == b""
            spent.append(time.process_time() - started)
        assert spent[1] < 1
        assert spent[1] < 40 * max(spent[0], 0.001)

    def test_much_to_inflate_without_a_bound(
        self, make: Callable[[int, bool], zlibs.Inflater]
    ) -> None:
        data = bytes(30 * MiB)
        started = time.process_time()
        assert make(15, True).piece(compressed(data)[0], True, None) == data
        assert time.process_time() - started < 3
