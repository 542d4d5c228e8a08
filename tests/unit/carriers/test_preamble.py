"""The PROXY protocol: both versions, byte by byte."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from duplexer.carriers.preamble import LONGEST_LINE, SIGNATURE, Preamble
from duplexer.errors import InvalidMessage

REQUEST = b"GET / HTTP/1.1\r\n"


def second(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def addresses(family: int, source: str, target: str) -> bytes:
    packed = socket.inet_pton(family, source) + socket.inet_pton(family, target)
    return packed + struct.pack("!HH", 56324, 443)


V4 = addresses(socket.AF_INET, "192.0.2.1", "198.51.100.2")
V6 = addresses(socket.AF_INET6, "2001:db8::1", "2001:db8::2")


@pytest.mark.parametrize(
    ("header", "source"),
    [
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", ("192.0.2.1", 56324)),
        (b"PROXY TCP6 2001:DB8::1 2001:db8::2 56324 443\r\n", ("2001:db8::1", 56324)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff:f... 65535 anything\r\n", None),
        (second(0x21, 0x11, V4), ("192.0.2.1", 56324)),
        (second(0x21, 0x21, V6), ("2001:db8::1", 56324)),
        (second(0x21, 0x11, V4 + b"\x04\0\3abc"), ("192.0.2.1", 56324)),  # an extra
        (second(0x20, 0x11, V4), None),  # the proxy looks whether we live
        (second(0x20, 0, b""), None),
        (second(0x21, 0x31, b"\0" * 216), None),  # Unix sockets
        (second(0x21, 0, b""), None),
    ],
)
def test_it_takes_nothing_that_follows(header: bytes, source: Any) -> None:
    stream = header + REQUEST
    for step in (1, 2, 7, 13, len(stream)):
        preamble, position = Preamble(4096), 0
        while not preamble.done:
            piece = stream[position : position + min(step, preamble.wants)]
            preamble.feed(piece)
            position += len(piece)
        assert preamble.source == source
        assert position == len(header)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (REQUEST, "expected"),
        (b"\x16\x03\x01", "expected"),  # TLS
        (b"\r\nGET", "expected"),
        (b"PROXY TCP5 ", "no end"),
        (b"PROXY TCP4 " + b"1" * LONGEST_LINE, "no end"),
        (b"PROXY UNKNOWN\n", "no end"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n", "cannot be read"),
        (b"PROXY UDP4 192.0.2.1 198.51.100.2 56324 443\r\n", "cannot be read"),
        (b"PROXY  TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", "cannot be read"),
        (b"PROXY TCP4 2001:db8::1 2001:db8::2 56324 443\r\n", "addresses"),
        (b"PROXY TCP4 192.0.2.01 198.51.100.2 56324 443\r\n", "addresses"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n", "ports"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 0443 443\r\n", "ports"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 +443 443\r\n", "ports"),
        (second(0x11, 0x11, V4), "unknown"),
        (second(0x22, 0x11, V4), "unknown"),
        (second(0x21, 0x11, V4[:-1]), "too short"),
        (second(0x21, 0x21, V4), "too short"),
        (SIGNATURE + b"\x21\x11\xff\xff", "max_preamble"),
    ],
)
def test_what_is_none(data: bytes, error: str) -> None:
    data += b"x" * LONGEST_LINE
    for step in (1, len(data)):
        preamble, position = Preamble(4096), 0
        with pytest.raises(InvalidMessage, match=error):
            while not preamble.done:
                piece = data[position : position + min(step, preamble.wants)]
                preamble.feed(piece)
                position += len(piece)


def test_the_end_comes_too_early() -> None:
    with pytest.raises(InvalidMessage, match="ended"):
        Preamble(4096).feed(b"")
