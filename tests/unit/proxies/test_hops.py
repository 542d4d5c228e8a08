"""Each kind of proxy is asked in its own language."""

from __future__ import annotations

import pytest

from duplexer.limits import DEFAULT_LIMITS
from duplexer.proxies.address import parse_proxy
from duplexer.proxies.hops import Hop
from tests.unit.proxies.exchange import Exchange


@pytest.mark.parametrize(
    ("address", "dialogue"),
    [
        ("http://p", [(b"CONNECT 192.0.2.1:443 ", b"HTTP/1.1 200 OK\r\n\r\n")]),
        ("https://p", [(b"CONNECT 192.0.2.1:443 ", b"HTTP/1.1 200 OK\r\n\r\n")]),
        ("socks4://p", [(b"\x04\x01\x01\xbb", b"\x00\x5a" + bytes(6))]),
        ("socks4a://p", [(b"\x04\x01\x01\xbb", b"\x00\x5a" + bytes(6))]),
        (
            "socks5://p",
            [(b"\x05\x01\x00", b"\x05\x00"), (b"\x05\x01\x00\x01", b"\x05\x00\x00\x01" + bytes(6))],
        ),
        (
            "socks5h://p",
            [(b"\x05\x01\x00", b"\x05\x00"), (b"\x05\x01\x00\x01", b"\x05\x00\x00\x01" + bytes(6))],
        ),
    ],
)
def test_open(address: str, dialogue: list[tuple[bytes, bytes]]) -> None:
    hop = Hop(parse_proxy(address), DEFAULT_LIMITS)
    for _ in range(2):  # a chain may have to be gone through again
        exchange = Exchange(hop.open("192.0.2.1", 443))
        for asked, answer in dialogue:
            assert exchange.take().startswith(asked)
            exchange.answer(answer)
        assert exchange.result is True


def test_once_more() -> None:
    hop = Hop(parse_proxy("http://user:pass@p"), DEFAULT_LIMITS)
    exchange = Exchange(hop.open("a.example", 80))
    exchange.answer(
        b"HTTP/1.1 407 No\r\nProxy-Authenticate: Digest nonce=n\r\nContent-Length: 0\r\n\r\n"
    )
    assert exchange.result is False
    assert b"Proxy-Authorization: Digest" in Exchange(hop.open("a.example", 80)).take()
