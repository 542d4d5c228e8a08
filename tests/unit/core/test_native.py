"""The byte kernels of ``core/native``, every implementation this machine can run.

They are compiled here, by themselves and with every warning on, and called through ctypes. The
bytes they work on lie between two pages that cannot be touched, so that one byte read or written
too far is a crash and not luck.
"""

from __future__ import annotations

import codecs
import ctypes
import mmap
import os
import random
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import duplexer

if TYPE_CHECKING:
    from collections.abc import Iterator

NATIVE = Path(duplexer.__file__).parent / "core" / "native"
ARM = os.uname().machine in ("aarch64", "arm64")
INTEL = os.uname().machine in ("x86_64", "amd64")
IMPLEMENTATIONS = ["scalar", *["neon"] * ARM, *["sse2", "avx2"] * INTEL]
ACCEPT, REJECT, WITHIN = 0, 1, 2  # verdicts; the state of the validator, made comparable

#: The inline half of the interface lives in the header: functions of our own make it callable.
WRAPPER = r"""
#include "native.h"
#define API __attribute__((visibility("default")))
API void t_xor_copy(uint8_t *d, const uint8_t *s, size_t n, uint32_t k) { dx_xor_copy(d, s, n, k); }
API int t_ascii(uint8_t *d, const uint8_t *s, size_t n, uint32_t k) {
    return dx_ascii_xor_copy(d, s, n, k);
}
API uint32_t t_rotate(uint32_t key, size_t phase) { return dx_rotate(key, phase); }
API uint32_t t_utf8(uint32_t state, const uint8_t *p, size_t n) { return dx_utf8(state, p, n); }
API const char *t_name(void) { return dx_native_name(); }
API int t_force(const char *name) { return dx_native_force(name); }
API void t_init(void) { dx_native_init(); }

/* Verdicts on p[0..n) in two pieces, for each of the 256 values of p[i]. */
API void t_sweep(uint8_t *p, size_t n, size_t i, size_t split, uint8_t *out) {
    for (int byte = 0; byte < 256; byte++) {
        p[i] = (uint8_t)byte;
        uint32_t state = dx_utf8(dx_utf8(0, p, split), p + split, n - split);
        out[byte] = state <= DX_UTF8_REJECT ? (uint8_t)state : 2;
    }
}

/* Verdicts on every prefix, a byte at a time. */
API void t_prefixes(const uint8_t *p, size_t n, uint8_t *out) {
    uint32_t state = 0;
    for (size_t i = 0; i < n; i++) {
        state = dx_utf8(state, p + i, 1);
        out[i] = state <= DX_UTF8_REJECT ? (uint8_t)state : 2;
    }
}

/* The first split point (two pieces) at which the verdict differs from the whole's, or -1. */
API long t_splits(const uint8_t *p, size_t n, int expected) {
    for (size_t i = 0; i <= n; i++) {
        uint32_t state = dx_utf8(dx_utf8(0, p, i), p + i, n - i);
        if ((state <= DX_UTF8_REJECT ? (int)state : 2) != expected) return (long)i;
    }
    return -1;
}
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    build = tmp_path_factory.mktemp("native")
    wrapper = build / "wrapper.c"
    wrapper.write_text(WRAPPER)
    shared = build / "kernels.so"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    flags = ["-std=c99", "-O2", "-fPIC", "-shared"]
    flags += ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
    sources = [str(path) for path in sorted(NATIVE.glob("*.c"))]
    command = [*compiler[:1], *flags, f"-I{NATIVE}", *sources, str(wrapper), "-o", str(shared)]
    subprocess.run(command, check=True)
    lib = ctypes.CDLL(str(shared))
    pointer, size, u32 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
    lib.t_xor_copy.argtypes = [pointer, pointer, size, u32]
    lib.t_xor_copy.restype = None
    lib.t_ascii.argtypes = [pointer, pointer, size, u32]
    lib.t_rotate.argtypes = [u32, size]
    lib.t_rotate.restype = u32
    lib.t_utf8.argtypes = [u32, pointer, size]
    lib.t_utf8.restype = u32
    lib.t_name.restype = ctypes.c_char_p
    lib.t_force.argtypes = [ctypes.c_char_p]
    lib.t_sweep.argtypes = [pointer, size, size, size, pointer]
    lib.t_prefixes.argtypes = [pointer, size, pointer]
    lib.t_splits.argtypes = [pointer, size, ctypes.c_int]
    lib.t_splits.restype = ctypes.c_long
    return lib


@pytest.fixture(params=IMPLEMENTATIONS)
def native(library: ctypes.CDLL, request: pytest.FixtureRequest) -> Iterator[ctypes.CDLL]:
    """The library with one implementation chosen."""
    if not library.t_force(request.param.encode()):
        pytest.skip(f"{request.param} is not for this machine")
    yield library
    library.t_init()


class Guarded:
    """Pages of memory between two pages that may not be touched."""

    def __init__(self, pages: int) -> None:
        page = mmap.PAGESIZE
        self._map = mmap.mmap(-1, (pages + 2) * page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.start = base + page
        self.end = self.start + pages * page
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for guard in (base, self.end):
            if libc.mprotect(guard, page, 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def at_end(self, data: bytes, gap: int = 0) -> int:
        """Put ``data`` so that it ends ``gap`` bytes before what may not be touched."""
        address = self.end - gap - len(data)
        ctypes.memmove(address, data, len(data))
        return address

    def at_start(self, data: bytes) -> int:
        ctypes.memmove(self.start, data, len(data))
        return self.start


@pytest.fixture(scope="module")
def source() -> Guarded:
    return Guarded(2)


@pytest.fixture(scope="module")
def target() -> Guarded:
    return Guarded(2)


def masked(data: bytes, key: bytes) -> bytes:
    """RFC 6455 5.3, as slow as it is plain."""
    stream = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def as_int(key: bytes) -> int:
    return int.from_bytes(key, sys.byteorder)


#: Some of these ends completes any beginning of a character that can be completed.
TAILS = [bytes([byte]) + b"\x80" * n for byte in (0x80, 0x90, 0xA0) for n in range(3)]


def decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def verdict(data: bytes) -> int:
    """What Python's decoder has to say of the beginning of a text.

    (In the middle of a character it keeps "ED A0" and the like for the error handlers' sake; so
    whether there is a way to go on is asked in so many words.)
    """
    try:
        _, consumed = codecs.utf_8_decode(data, "strict", False)
    except UnicodeDecodeError:
        return REJECT
    if consumed == len(data):
        return ACCEPT
    return WITHIN if any(decodes(data[consumed:] + tail) for tail in TAILS) else REJECT


def state_verdict(state: int) -> int:
    return min(state, WITHIN)


LENGTHS = [*range(300), *range(300, 4097, 61), 511, 512, 1023, 1024, 2047, 4095, 4096]
ALPHABET = random.Random(1).randbytes(8192)


class TestChoice:
    def test_best_is_chosen_when_loaded(self, library: ctypes.CDLL) -> None:
        name = library.t_name().decode()
        assert name in IMPLEMENTATIONS
        library.t_force(None)
        assert library.t_name().decode() == name

    def test_force(self, native: ctypes.CDLL, request: pytest.FixtureRequest) -> None:
        assert native.t_name().decode() == request.node.callspec.params["native"]

    def test_force_refuses_the_unknown(self, library: ctypes.CDLL) -> None:
        before = library.t_name()
        assert not library.t_force(b"abacus")
        assert library.t_name() == before

    def test_something_faster_than_scalar(self, library: ctypes.CDLL) -> None:
        if ARM or INTEL:
            assert library.t_name() != b"scalar"


def test_rotate(library: ctypes.CDLL) -> None:
    key = b"\x01\x20\x83\xf4"
    for phase in range(9):
        rotated = library.t_rotate(as_int(key), phase)
        turn = phase % 4
        assert rotated.to_bytes(4, sys.byteorder) == key[turn:] + key[:turn]


class TestMasking:
    def test_rfc_example(self, native: ctypes.CDLL, source: Guarded, target: Guarded) -> None:
        address = source.at_end(b"\x7f\x9f\x4d\x51\x58")  # RFC 6455 5.7
        native.t_xor_copy(target.start, address, 5, as_int(b"\x37\xfa\x21\x3d"))
        assert ctypes.string_at(target.start, 5) == b"Hello"

    @pytest.mark.parametrize("gap", [0, 1, 3, 7, 15, 31])
    def test_every_length(
        self, native: ctypes.CDLL, source: Guarded, target: Guarded, gap: int
    ) -> None:
        rng = random.Random(gap)
        for n in LENGTHS:
            data, key = ALPHABET[n : 2 * n], rng.randbytes(4)
            expected = masked(data, key)
            address = source.at_end(data, gap)
            into = target.at_end(b"?" * n)
            native.t_xor_copy(into, address, n, as_int(key))
            assert ctypes.string_at(into, n) == expected, (n, "to the end")
            into = target.at_start(b"?" * n)
            native.t_xor_copy(into, address, n, as_int(key))
            assert ctypes.string_at(into, n) == expected, (n, "to the start")
            assert ctypes.string_at(address, n) == data, (n, "source is untouched")

    def test_source_at_start(self, native: ctypes.CDLL, source: Guarded, target: Guarded) -> None:
        for n in range(300):
            data, key = ALPHABET[n : 2 * n], ALPHABET[-4:]
            native.t_xor_copy(target.start, source.at_start(data), n, as_int(key))
            assert ctypes.string_at(target.start, n) == masked(data, key)

    @pytest.mark.parametrize("gap", [0, 1, 5])
    def test_in_place(self, native: ctypes.CDLL, source: Guarded, gap: int) -> None:
        for n in LENGTHS:
            data, key = ALPHABET[n : 2 * n], ALPHABET[-4 - gap :][:4]
            address = source.at_end(data, gap)
            native.t_xor_copy(address, address, n, as_int(key))
            assert ctypes.string_at(address, n) == masked(data, key), n
            native.t_ascii(address, address, n, as_int(key))
            assert ctypes.string_at(address, n) == data, n

    def test_in_pieces(self, native: ctypes.CDLL, source: Guarded) -> None:
        data, key = ALPHABET[:200], b"\x11\x02\xf3\x84"
        for split in range(201):
            address = source.at_end(data)
            native.t_xor_copy(address, address, split, as_int(key))
            rest = native.t_rotate(as_int(key), split)
            native.t_xor_copy(address + split, address + split, 200 - split, rest)
            assert ctypes.string_at(address, 200) == masked(data, key)

    def test_neighbours_are_untouched(self, native: ctypes.CDLL, target: Guarded) -> None:
        for n in LENGTHS:
            around = target.at_start(b"\xaa" * (n + 64))
            native.t_xor_copy(around + 32, around + 32, n, 0x12345678)
            assert ctypes.string_at(around, 32) == b"\xaa" * 32
            assert ctypes.string_at(around + 32 + n, 32) == b"\xaa" * 32


class TestAscii:
    def test_every_length(self, native: ctypes.CDLL, source: Guarded, target: Guarded) -> None:
        rng = random.Random(2)
        for n in LENGTHS:
            key = rng.randbytes(4)
            text = bytes(byte & 0x7F for byte in ALPHABET[n : 2 * n])
            address, into = source.at_end(masked(text, key)), target.at_end(b"?" * n)
            assert native.t_ascii(into, address, n, as_int(key)) == 1
            assert ctypes.string_at(into, n) == text

    def test_one_high_bit_anywhere(
        self, native: ctypes.CDLL, source: Guarded, target: Guarded
    ) -> None:
        key = b"\x80\x7f\x00\xff"
        for n in [*range(1, 140), 255, 256, 257]:
            for position in range(n):
                text = b"a" * position + b"\x80" + b"a" * (n - position - 1)
                address, into = source.at_end(masked(text, key)), target.at_end(b"?" * n)
                assert native.t_ascii(into, address, n, as_int(key)) == 0, (n, position)
                assert ctypes.string_at(into, n) == text


class Rows:
    """Verdicts on the 256 strings that begin with ``prefix``, from Python's own decoder.

    They depend only on what is left of the prefix after its last whole character: a few thousand
    rows answer for all 16 million strings of three bytes.
    """

    def __init__(self) -> None:
        self._rows: dict[bytes | None, bytes] = {None: bytes([REJECT]) * 256}

    def __call__(self, prefix: bytes) -> bytes:
        pending: bytes | None
        try:
            _, consumed = codecs.utf_8_decode(prefix, "strict", False)
            pending = prefix[consumed:]
        except UnicodeDecodeError:
            pending = None
        row = self._rows.get(pending)
        if row is None:
            assert pending is not None
            row = bytes(verdict(pending + bytes([byte])) for byte in range(256))
            self._rows[pending] = row
        return row


@pytest.fixture(scope="module")
def rows() -> Rows:
    return Rows()


class TestUtf8:
    @pytest.mark.parametrize("n", [0, 1, 2, 3])
    def test_all_short_sequences_alone(self, library: ctypes.CDLL, rows: Rows, n: int) -> None:
        """Every string of up to three bytes, at every split: the inline and scalar code."""
        if n == 0:
            assert library.t_utf8(0, None, 0) == ACCEPT
            return
        buffer, out = (ctypes.c_uint8 * n)(), (ctypes.c_uint8 * 256)()
        for number in range(256 ** (n - 1)):
            prefix = number.to_bytes(n - 1, "big")
            buffer[: n - 1] = list(prefix)
            expected = rows(prefix)
            for split in range(n):
                library.t_sweep(buffer, n, n - 1, split, out)
                assert bytes(out) == expected, (prefix.hex(), split)

    @pytest.mark.parametrize("margin", [0, 2])
    def test_all_three_bytes_within_text(
        self, native: ctypes.CDLL, rows: Rows, source: Guarded, margin: int
    ) -> None:
        """Every string of three bytes across the border of two vectors, and at the end."""
        before, after = b"x" * 63, b"y" * margin * 20
        n = len(before) + 3 + len(after)
        address = source.at_end(before + b"???" + after)
        out = (ctypes.c_uint8 * 256)()
        whole = bytes.maketrans(bytes([WITHIN]), bytes([REJECT])) if after else None
        for number in range(0x8000, 0x10000):  # with an ASCII lead it is a string of two
            prefix = number.to_bytes(2, "big")
            ctypes.memmove(address + 63, prefix, 2)
            native.t_sweep(address, n, 65, 0, out)
            assert bytes(out) == rows(prefix).translate(whole), prefix.hex()

    @pytest.mark.parametrize("split", [0, 61, 62, 63, 64])
    def test_four_bytes(self, native: ctypes.CDLL, rows: Rows, source: Guarded, split: int) -> None:
        """Every lead and second byte, sampled third bytes, every fourth byte."""
        address = source.at_end(b"x" * 61 + b"????")
        out = (ctypes.c_uint8 * 256)()
        for lead in range(0xC0, 0x100):
            for second in range(256) if split == 0 else range(0x70, 0xD0, 8):
                for third in (0x7F, 0x80, 0xBF, 0xC2):
                    prefix = bytes([lead, second, third])
                    ctypes.memmove(address + 61, prefix, 3)
                    native.t_sweep(address, 65, 64, split, out)
                    assert bytes(out) == rows(prefix), (prefix.hex(), split)

    def test_every_character(self, native: ctypes.CDLL) -> None:
        text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)])).encode()
        for start in range(4):
            data = b"x" * start + text
            assert native.t_utf8(0, data, len(data)) == ACCEPT
        for lone in range(0xD800, 0xE000):
            data = b"x" * 29 + chr(lone).encode("utf-8", "surrogatepass") + b"x" * 10
            assert native.t_utf8(0, data, len(data)) == REJECT

    @pytest.mark.parametrize(
        ("data", "bad"),
        [
            (b"\xf4\x90\x80\x80", 1),  # above U+10FFFF
            (b"\xc0\x80", 0),
            (b"\xc1", 0),
            (b"\xe0\x9f\xbf", 1),
            (b"\xed\xa0\x80", 1),  # a surrogate
            (b"\xf0\x8f\xbf\xbf", 1),
            (b"\xf5", 0),
            (b"\xff", 0),
            (b"\x80", 0),
            (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80", 12),
        ],
    )
    @pytest.mark.parametrize("offset", [0, 31, 32, 63, 95, 130])
    def test_fails_at_the_first_bad_byte(
        self, native: ctypes.CDLL, data: bytes, bad: int, offset: int
    ) -> None:
        data = b"x" * offset + data
        bad += offset
        assert native.t_utf8(0, data, bad) != REJECT
        assert native.t_utf8(0, data, bad + 1) == REJECT
        out = (ctypes.c_uint8 * len(data))()
        native.t_prefixes(data, len(data), out)
        assert list(out).index(REJECT) == bad

    def test_reject_is_for_ever(self, native: ctypes.CDLL) -> None:
        for n in (1, 31, 32, 33, 100, 4096):
            assert native.t_utf8(REJECT, b"a" * n, n) == REJECT
            assert native.t_utf8(REJECT, b"\x80" * n, n) == REJECT

    def test_lengths_and_overrun(self, native: ctypes.CDLL, source: Guarded) -> None:
        for unit in ("a", "é", "€", "𝄞", "aé", "a€é𝄞", "x" * 40 + "é"):
            text = (unit * 4097).encode()
            for n in LENGTHS:
                address = source.at_end(text[:n])
                state = native.t_utf8(0, address, n)
                assert state_verdict(state) == verdict(text[:n]), (unit, n)
                native.t_utf8(0, source.at_start(text[:n]), n)

    @pytest.mark.parametrize("seed", range(40))
    def test_random_mixes_at_all_splits(
        self, native: ctypes.CDLL, source: Guarded, seed: int
    ) -> None:
        rng = random.Random(seed)
        scripts = ("abc ", "éßñ", "€漢字\uffff", "𝄞😀\U0010ffff", "aé€😀")
        data, size = bytearray(), rng.randrange(40, 700)
        while len(data) < size:
            data += "".join(rng.choices(rng.choice(scripts), k=rng.randrange(1, 50))).encode()
        for _ in range(rng.choice((0, 0, 1, 1, 3))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[-rng.randrange(1, 4) :]
        expected = verdict(bytes(data))
        address = source.at_end(bytes(data))
        assert native.t_splits(address, len(data), expected) == -1
        out = (ctypes.c_uint8 * len(data))()
        native.t_prefixes(address, len(data), out)
        for position in range(len(data)):
            prefix = bytes(data[: position + 1])
            assert out[position] == verdict(prefix)
            if out[position] == REJECT:
                break

    def test_state_over_three_pieces(self, native: ctypes.CDLL) -> None:
        data = ("x" * 33 + "😀€é" * 30 + "y" * 70).encode()
        for first in range(0, len(data), 3):
            for second in range(first, len(data), 7):
                state = native.t_utf8(0, data[:first], first)
                state = native.t_utf8(state, data[first:second], second - first)
                assert native.t_utf8(state, data[second:], len(data) - second) == ACCEPT
