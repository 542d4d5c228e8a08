"""Raw deflate (RFC 1951) as permessage-deflate needs it, by the best library at hand.

Everything that asks "which zlib?" is in this file. What the rest sees is a :class:`Deflater` and an
:class:`Inflater` that take a message a piece at a time, and ``deflate_once`` for a message that
shares nothing with its neighbours.

Who compresses, for 2 KiB of JSON in one context, window 12 (µs; bytes out of bytes in)::

                        real market feeds      the same message again    memory
    zlib, level 3        31      22.5 %          5.1     1.4 %            38 KiB
    zlib, level 6        49      18.8 %         11       1.3 %            38 KiB
    zlib-ng, level 3     32      20.1 %         15       6.8 %           164 KiB
    zlib-ng, level 6     37      19.0 %          7       3.3 %           164 KiB
    isal, level 1        14      21.7 %          4.8     1.3 %           105 KiB

So isal where it is installed, unless a level above 3 asks for a ratio that it does not have; then
zlib-ng, then zlib. Who inflates: zlib, because a window of 4 KiB costs 11 KiB there, 41 in zlib-ng
and 85 in isal, and because an inflater is kept for as long as its connection: 10, 8 and 11 µs.

zlib itself is called from C where that can be done (``_zlib.pyx``), and through Python's module
otherwise; the observable behaviour is the same, and the tests run over both.
"""

from __future__ import annotations

import importlib
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..errors import ProtocolError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Deflater", "Inflater", "Settings", "backends", "deflate_once", "deflater", "inflater"]

#: What a sync flush ends with, and a message on the wire does not (RFC 7692 7.2.1).
TAIL = b"\x00\x00\xff\xff"
#: The longest step of inflating, so that what exceeds a limit is noticed before it is made.
STEP = 64 * 1024
#: A final block ends the stream; beginning another costs microseconds whatever its size, so there
#: is a bound on how many there may be in a message. Nobody needs more than one a flush.
FINALS = 16
BYTES_PER_FINAL = 64
#: zlib's raw deflate does not do windows of 256 bytes. With 512 it refers back by 250 at most
#: (MAX_DIST is the window less 262), so that what it makes can be read with 256.
SMALLEST_WINDOW = 9
#: A level for those who do not ask for one: half the time of zlib's own 6 for 4 % of the input.
DEFAULT_LEVEL = 3

Data = bytes | bytearray | memoryview


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name, __package__)
    except ImportError:
        return None


_zlib = _optional("._zlib")  # None: not compiled, or no zlib to load
isal_zlib = _optional("isal.isal_zlib")
zlib_ng = _optional("zlib_ng.zlib_ng")


class Settings(NamedTuple):
    """How to compress. Equal settings in a fresh context give equal bytes."""

    wbits: int  #: 8 to 15: the receiver's window is ``1 << wbits`` bytes
    level: int | None = None  #: 0 to 9 as in zlib; ``None``: fast
    mem_level: int = 5  #: 1 to 9 as in zlib
    strategy: int = 0  #: as in zlib


class Deflater(Protocol):
    """A compression context."""

    def piece(self, data: Data, fin: bool) -> bytes:
        """Compress all of ``data`` and flush; without the tail of the flush at the end."""

    def reset(self) -> None:
        """Refer to nothing before what comes."""


class Inflater(Protocol):
    """A decompression context."""

    def piece(self, data: bytes, fin: bool, room: int | None) -> bytes:
        """Decompress ``data`` to at most ``room`` bytes; of no use after it has raised."""


class ObjectDeflater:
    """A compression context made of a ``compressobj`` of one of the modules like zlib."""

    __slots__ = ("_arguments", "_context", "_module")

    def __init__(self, module: ModuleType, level: int, wbits: int, mem: int, strategy: int) -> None:
        self._module = module
        self._arguments = (level, zlib.DEFLATED, -wbits, mem, strategy)
        self._context: Any = None

    def piece(self, data: Data, fin: bool) -> bytes:
        if not len(data):
            return b"\x00" if fin else b""  # RFC 7692 7.2.3.6
        context = self._context
        if context is None:
            context = self._context = self._module.compressobj(*self._arguments)
        start: bytes = context.compress(data)
        end: bytes = context.flush(zlib.Z_SYNC_FLUSH)
        out = start + end if start else end
        return out[:-4] if fin else out

    def reset(self) -> None:
        self._context = None


class ObjectInflater:
    """A decompression context made of Python's own zlib. See ``_zlib.pyx`` for the reasons."""

    __slots__ = (
        "_begun",
        "_context",
        "_finals",
        "_held",
        "_history",
        "_last",
        "_taken",
        "_takeover",
        "_wbits",
    )

    def __init__(self, wbits: int, takeover: bool) -> None:
        self._wbits = wbits
        self._takeover = takeover
        self._context: Any = None  # None: at the start of a stream
        self._begun = False
        # Python's module does not give its window away: what is needed to go on after a final
        # block is kept here, the last pieces of output.
        self._history: list[bytes] = []
        self._held = 0
        self._last = b""
        self._taken = self._finals = 0

    def piece(self, data: bytes, fin: bool, room: int | None) -> bytes:
        if not self._begun:
            self._begun = True
            self._last = b""
            self._taken = self._finals = 0
            if not self._takeover:
                self._context = None
                self._history.clear()
                self._held = 0
        out: list[bytes] = []
        if data:
            self._taken += len(data)
            self._last = data[-4:] if len(data) >= 4 else (self._last + data)[-4:]
            room = self._feed(data, out, room)
        if fin:
            self._begun = False
            self._end(out, room)
        return out[0] if len(out) == 1 else b"".join(out)

    def _end(self, out: list[bytes], room: int | None) -> None:
        if not self._taken or self._context is None:
            return
        if self._last == TAIL and self._at_boundary():
            return
        n = len(out)
        self._feed(TAIL, out, room)
        if len(out) != n or not self._at_boundary():
            raise ProtocolError("deflate-corrupt", "the message is not complete")

    def _feed(self, data: bytes, out: list[bytes], room: int | None) -> int | None:
        # In slices: the module copies what it has not consumed after each step of output.
        for at in range(0, len(data), STEP):
            rest = data if len(data) <= STEP else data[at : at + STEP]
            while True:
                if self._context is None:
                    if not rest:
                        break
                    self._context = zlib.decompressobj(-self._wbits, zdict=self._window())
                context = self._context
                step = STEP if room is None else min(STEP, room + 1)
                try:
                    made = context.decompress(rest, step)
                except zlib.error as error:
                    raise ProtocolError("deflate-corrupt", str(error)) from None
                if made:
                    if room is not None:
                        room -= len(made)
                        if room < 0:
                            raise ProtocolError("message-too-big", "while inflating")
                    out.append(made)
                    self._remember(made)
                if context.eof:
                    self._count_final()
                    self._context = None
                    rest = context.unused_data
                elif len(made) == step:
                    rest = context.unconsumed_tail
                else:
                    break
        return room

    def _count_final(self) -> None:
        self._finals += 1
        if self._finals > FINALS + self._taken // BYTES_PER_FINAL:
            raise ProtocolError("deflate-corrupt", "too many final blocks")

    def _at_boundary(self) -> bool:
        """Whether the context is between two blocks, and between two bytes."""
        if self._context is None:
            return False
        probe = self._context.copy()
        try:
            probe.decompress(b"\x03\x00", 1)  # an empty final block
        except zlib.error:
            return False
        return bool(probe.eof) and not probe.unused_data

    def _remember(self, made: bytes) -> None:
        window = 1 << self._wbits
        if len(made) > window:
            made = made[-window:]
        self._history.append(made)
        self._held += len(made)
        while self._held - len(self._history[0]) >= window:
            self._held -= len(self._history.pop(0))

    def _window(self) -> bytes:
        return b"".join(self._history)[-(1 << self._wbits) :]


def _choose(settings: Settings) -> tuple[ModuleType | None, Settings]:
    """The module to compress with (``None``: ours) and the settings in its own terms."""
    wbits, level, mem_level, strategy = settings
    fast = level is None or 1 <= level <= 3
    if isal_zlib is not None and fast and wbits >= SMALLEST_WINDOW and not strategy:
        # Its levels are others (0 to 3), and more memory does not make it better.
        return isal_zlib, Settings(wbits, 1, 1)
    level = DEFAULT_LEVEL if level is None else level
    ours = Settings(max(wbits, SMALLEST_WINDOW), level, mem_level, strategy)
    if zlib_ng is not None and level > 3 and not strategy:
        return zlib_ng, ours
    return (zlib if _zlib is None else None), ours


def deflater(settings: Settings) -> Deflater:
    """A new compression context."""
    module, (wbits, level, mem_level, strategy) = _choose(settings)
    assert level is not None
    if module is None:
        made: Deflater = _zlib.Deflater(wbits, level, mem_level, strategy)
        return made
    return ObjectDeflater(module, level, wbits, mem_level, strategy)


#: Contexts that belong to nobody, for messages that are compressed whole and by themselves.
_shared: dict[Settings, Deflater] = {}


def deflate_once(settings: Settings, data: Data) -> bytes:
    """Compress a whole message that refers to nothing before it."""
    shared = _shared.get(settings)
    if shared is None:
        shared = deflater(settings)
        if isinstance(shared, ObjectDeflater):
            return shared.piece(data, True)  # cannot be reset: sharing it would gain nothing
        _shared[settings] = shared
    shared.reset()
    return shared.piece(data, True)


def inflater(wbits: int, takeover: bool) -> Inflater:
    """A new decompression context; ``takeover``: messages may refer to earlier ones."""
    if _zlib is None:
        return ObjectInflater(wbits, takeover)
    made: Inflater = _zlib.Inflater(wbits, takeover)
    return made


def backends() -> dict[str, str]:
    """What ordinary messages are compressed and inflated with, for diagnosis."""
    ours = f"zlib {zlib.ZLIB_RUNTIME_VERSION}" if _zlib is None else f"zlib {_zlib.version()} (C)"
    module, _ = _choose(Settings(12))
    return {"deflate": ours if module in (None, zlib) else "isal", "inflate": ours}
