"""What is measured: each piece by itself, as a call that is made again and again.

A new piece is a function here with ``@piece``: it prepares, and gives back the call. What the call
does must not depend on how often it was made before.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from duplexer.core import opcodes
from duplexer.core.bytesops import Cork, Growing, unmask, unmask_text
from duplexer.core.messages import Assembler
from duplexer.core.session import Session
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.extensions import zlibs
from duplexer.extensions.deflate import enable_server_permessage_deflate
from duplexer.handshake.server import ServerOptions, accept, accept_key
from duplexer.http.h1 import RequestReader
from duplexer.limits import Limits

Call = Callable[[], object]
LIMITS = Limits(ping_interval=None)
KEY = b"\x37\xfa\x21\x3d"
REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Origin: http://example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)


@dataclass(frozen=True)
class Piece:
    name: str
    title: str
    calls: int
    """How many to make: about a millisecond's worth."""
    make: Callable[[], Call]


PIECES: dict[str, Piece] = {}


def piece(name: str, title: str, calls: int) -> Callable[[Callable[[], Call]], Callable[[], Call]]:
    def add(make: Callable[[], Call]) -> Callable[[], Call]:
        PIECES[name] = Piece(name, title, calls, make)
        return make

    return add


# -- what they work on -----------------------------------------------------------------------------


def random_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def letters(size: int) -> str:
    return "".join(random.Random(size).choices("abcdefghijklmnopqrstuvwxyz ", k=size))


def json(size: int, seed: int = 0) -> bytes:
    chance = random.Random(seed)
    text = ""
    while len(text) < size:
        text += f'{{"id":{chance.randrange(10**6)},"room":{chance.randrange(1000)},"on":true}},'
    return text[:size].encode()


def frame(
    payload: bytes, opcode: int = opcodes.BINARY, *, fin: bool = True, rsv1: int = 0
) -> bytes:
    """As a client sends it."""
    size = len(payload)
    short = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
    masked = bytes(byte ^ KEY[i % 4] for i, byte in enumerate(payload))
    return bytes([fin << 7 | rsv1 << 6 | opcode]) + short + KEY + masked


# -- bytes -----------------------------------------------------------------------------------------


def _unmasking(size: int) -> Call:
    data, key = random_bytes(size), int.from_bytes(KEY, "little")
    return lambda: unmask(data, 0, size, key)


@piece("mask-short", "unmask 30 B", 1000)
def mask_short() -> Call:
    return _unmasking(30)


@piece("mask-long", "unmask 64 KiB", 25)
def mask_long() -> Call:
    return _unmasking(65536)


@piece("text-ascii", "unmask 256 B of text, all ASCII", 1000)
def text_ascii() -> Call:
    data, key = letters(256).encode(), int.from_bytes(b"\0\1\2\3", "little")
    return lambda: unmask_text(data, 0, 256, key)


@piece("utf8", "validate 4 KiB of UTF-8 in three alphabets", 100)
def utf8() -> Call:
    data = ("gänzlich 真実 да! " * 200).encode()[:4094].ljust(4096)
    growing = Growing()

    def call() -> bool:
        growing.push(data, 0, 4096, 0, 4096)
        valid = growing.is_text(0) and growing.is_complete_text()
        growing.clear()
        return valid

    assert call()
    return call


# -- frames ----------------------------------------------------------------------------------------


def _decoding(wire: bytes, messages: int) -> Call:
    assembler = Assembler(LIMITS, ())
    decoder, inbox, end = RFC6455.decoder(assembler, True), assembler.inbox, len(wire)

    def call() -> None:
        decoder.budget = 256
        decoder.feed(wire, 0, end)
        for _ in range(messages):
            inbox.pop()

    call()
    assert not inbox.count
    return call


@piece("decode-small", "decode 64 frames of 32 B", 50)
def decode_small() -> Call:
    return _decoding(frame(random_bytes(32)) * 64, 64)


@piece("decode-kilo", "decode 16 frames of 1 KiB", 100)
def decode_kilo() -> Call:
    return _decoding(frame(random_bytes(1024)) * 16, 16)


@piece("decode-fragments", "decode 4 messages in 16 fragments of 64 B each", 50)
def decode_fragments() -> Call:
    part = random_bytes(64)
    middle = frame(part, opcodes.CONT, fin=False) * 14
    message = frame(part, fin=False) + middle + frame(part, opcodes.CONT)
    return _decoding(message * 4, 4)


def _encoding(size: int, frames: int) -> Call:
    encoder, cork, data = RFC6455.encoder(True), Cork(), random_bytes(size)

    def call() -> object:
        for _ in range(frames):
            encoder.put_frame(cork, opcodes.BINARY, True, 0, data, size)
        return cork.take()

    return call


@piece("encode-small", "encode 64 frames of 32 B", 100)
def encode_small() -> Call:
    return _encoding(32, 64)


@piece("encode-kilo", "encode 16 frames of 1 KiB", 250)
def encode_kilo() -> Call:
    return _encoding(1024, 16)


# -- sessions --------------------------------------------------------------------------------------


def _echoing(session: Session, wire: bytes, messages: int) -> Call:
    inbox, cork, end = session.inbox, session.cork, len(wire)

    def call() -> object:
        session.receive(wire, 0, end)
        for _ in range(messages):
            session.send_message(inbox.pop(), None, None)
        return cork.take()

    assert call() and session.error is None and not inbox.count
    return call


@piece("session-small", "a session echoes 64 messages of 32 B", 25)
def session_small() -> Call:
    session = Session(RFC6455, server=True, limits=LIMITS)
    return _echoing(session, frame(random_bytes(32)) * 64, 64)


@piece("session-text", "a session echoes 16 messages of 1 KiB of text", 50)
def session_text() -> Call:
    session = Session(RFC6455, server=True, limits=LIMITS)
    return _echoing(session, frame(letters(1024).encode(), opcodes.TEXT) * 16, 16)


# -- the handshake ---------------------------------------------------------------------------------


@piece("accept-key", "the answer to a Sec-WebSocket-Key", 500)
def answer_to_key() -> Call:
    return lambda: accept_key("dGhlIHNhbXBsZSBub25jZQ==")


@piece("handshake", "a request to the bytes of its answer", 25)
def handshake() -> Call:
    options = ServerOptions(extensions=enable_server_permessage_deflate(limits=LIMITS))

    def call() -> bytes:
        request = RequestReader(LIMITS).feed(REQUEST)
        assert request is not None
        agreed = accept(request, options, secure=False, dialects=(RFC6455,))
        return agreed.response.serialize()

    assert call().startswith(b"HTTP/1.1 101 ")
    return call


# -- deflate ---------------------------------------------------------------------------------------


@piece("deflate", "compress 16 × 2 KiB of JSON", 8)
def deflate() -> Call:
    deflater = zlibs.deflater(zlibs.Settings(12))
    messages = [json(2048, seed) for seed in range(16)]

    def call() -> None:
        for message in messages:
            deflater.piece(message, True)

    return call


@piece("inflate", "decompress 16 × 2 KiB of JSON", 8)
def inflate() -> Call:
    inflater = zlibs.inflater(12, False)
    packed = [zlibs.deflate_once(zlibs.Settings(12), json(2048, seed)) for seed in range(16)]

    def call() -> None:
        for message in packed:
            inflater.piece(message, True, None)

    return call
