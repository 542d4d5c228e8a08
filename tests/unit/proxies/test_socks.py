"""The way through a SOCKS proxy, byte by byte."""

from __future__ import annotations

import pytest

from duplexer.errors import InvalidProxyMessage, InvalidProxyReply, ProxyError
from duplexer.proxies.address import parse_proxy
from duplexer.proxies.socks import REPLIES_4, REPLIES_5, socks_tunnel
from tests.unit.proxies.exchange import Exchange

IPV6 = bytes.fromhex("20010db8000000000000000000000001")


def ask(proxy: str, host: str, port: int = 80) -> Exchange:
    return Exchange(socks_tunnel(parse_proxy(proxy), host, port))


both_ways = pytest.mark.parametrize("size", [0, 1])


class TestSocks4:
    @both_ways
    @pytest.mark.parametrize(
        ("proxy", "host", "request_"),
        [
            ("socks4://p", "192.0.2.1", b"\x04\x01\x00\x50\xc0\x00\x02\x01\x00"),
            ("socks4://me@p", "192.0.2.1", b"\x04\x01\x00\x50\xc0\x00\x02\x01me\x00"),
            ("socks4a://p", "192.0.2.1", b"\x04\x01\x00\x50\xc0\x00\x02\x01\x00"),
            ("socks4a://p", "a.example", b"\x04\x01\x00\x50\x00\x00\x00\x01\x00a.example\x00"),
            ("socks4a://me@p", "a.example", b"\x04\x01\x00\x50\x00\x00\x00\x01me\x00a.example\x00"),
        ],
    )
    def test_through(self, proxy: str, host: str, request_: bytes, size: int) -> None:
        exchange = ask(proxy, host)
        assert exchange.take() == request_
        exchange.answer(b"\x00\x5a\x00\x00\x00\x00\x00\x00", size)
        assert exchange.done
        assert exchange.take() == b""

    @pytest.mark.parametrize("code", [*REPLIES_4, 0, 255])
    def test_refused(self, code: int) -> None:
        exchange = ask("socks4://p", "192.0.2.1")
        why = REPLIES_4.get(code, "unknown")
        with pytest.raises(InvalidProxyReply, match=rf"{why} \(reply {code}\)") as raised:
            exchange.answer(bytes([0, code, 0, 0, 0, 0, 0, 0]))
        assert raised.value.code == code

    @pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
    def test_no_ipv6(self, scheme: str) -> None:
        with pytest.raises(ProxyError, match="use socks5h://"):
            ask(f"{scheme}://p", "2001:db8::1")

    def test_another_language(self) -> None:
        exchange = ask("socks4://p", "192.0.2.1")
        with pytest.raises(InvalidProxyMessage, match="does not answer in SOCKS"):
            exchange.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")


OK = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


class TestSocks5:
    @both_ways
    @pytest.mark.parametrize(
        ("proxy", "host", "target"),
        [
            ("socks5h://p", "a.example", b"\x03\x09a.example"),
            ("socks5h://p", "192.0.2.1", b"\x01\xc0\x00\x02\x01"),
            ("socks5://p", "192.0.2.1", b"\x01\xc0\x00\x02\x01"),
            ("socks5://p", "2001:db8::1", b"\x04" + IPV6),
            ("socks5h://p", "2001:db8::1%eth0", b"\x04" + IPV6),
        ],
    )
    @pytest.mark.parametrize(
        "reply",
        [OK, b"\x05\x00\x00\x04" + IPV6 + b"\x00\x50", b"\x05\x00\x00\x03\x04host\x00\x50"],
    )
    def test_through(self, proxy: str, host: str, target: bytes, reply: bytes, size: int) -> None:
        exchange = ask(proxy, host)
        assert exchange.take() == b"\x05\x01\x00"
        exchange.answer(b"\x05\x00", size)
        assert exchange.take() == b"\x05\x01\x00" + target + b"\x00\x50"
        exchange.answer(reply, size)
        assert exchange.done

    @both_ways
    def test_a_password(self, size: int) -> None:
        exchange = ask("socks5h://me:p%C3%A4ss@p", "a.example")
        assert exchange.take() == b"\x05\x02\x00\x02"
        exchange.answer(b"\x05\x02", size)
        assert exchange.take() == b"\x01\x02me\x05p\xc3\xa4ss"
        exchange.answer(b"\x01\x00", size)
        assert exchange.take().startswith(b"\x05\x01\x00\x03")
        exchange.answer(OK, size)
        assert exchange.done

    def test_a_password_that_nobody_wants(self) -> None:
        exchange = ask("socks5h://me:secret@p", "a.example")
        exchange.answer(b"\x05\x00")
        assert b"secret" not in exchange.take()

    def test_a_wrong_password(self) -> None:
        exchange = ask("socks5h://me:secret@p", "a.example")
        exchange.answer(b"\x05\x02")
        with pytest.raises(InvalidProxyReply, match="wrong user name or password") as raised:
            exchange.answer(b"\x01\x01")
        assert "secret" not in raised.value.explain()

    @pytest.mark.parametrize(
        ("proxy", "why"),
        [
            ("socks5h://p", "wants a user name and a password"),
            ("socks5h://a:b@p", "another kind of authentication"),
        ],
    )
    def test_no_method(self, proxy: str, why: str) -> None:
        with pytest.raises(InvalidProxyReply, match=why):
            ask(proxy, "a.example").answer(b"\x05\xff")

    @pytest.mark.parametrize("code", [*REPLIES_5, 9, 255])
    def test_refused(self, code: int) -> None:
        """Some servers send no address after a failure."""
        exchange = ask("socks5h://p", "a.example")
        exchange.answer(b"\x05\x00")
        why = REPLIES_5.get(code, "unknown")
        with pytest.raises(InvalidProxyReply, match=rf"{why} \(reply {code}\)"):
            exchange.answer(bytes([5, code]))

    @pytest.mark.parametrize(
        ("answers", "why"),
        [
            ([b"HTTP/1.1 400 Bad\r\n\r\n"], "does not answer in SOCKS"),
            ([b"\x04\x00"], "does not answer in SOCKS"),
            ([b"\x05\x02"], "not offered"),
            ([b"\x05\x00", b"\x04\x00"], "does not answer in SOCKS"),
            ([b"\x05\x00", b"\x05\x00\x00\x02"], "unknown type of address: 2"),
            ([b"\x05\x00", OK + b"hello"], "more than its answer"),
            ([b""], "without an answer"),
            ([b"\x05", b""], "in the middle"),
            ([b"\x05\x00", OK[:9], b""], "in the middle"),
        ],
    )
    def test_malice(self, answers: list[bytes], why: str) -> None:
        exchange = ask("socks5h://p", "a.example")
        with pytest.raises(InvalidProxyMessage, match=why):
            for answer in answers:
                exchange.answer(answer)

    def test_malice_about_the_password(self) -> None:
        exchange = ask("socks5h://a:b@p", "a.example")
        exchange.answer(b"\x05\x02")
        with pytest.raises(InvalidProxyMessage, match="does not answer in SOCKS"):
            exchange.answer(b"\x05\x00")

    def test_names_are_for_those_that_resolve(self) -> None:
        for scheme in ("socks4", "socks5"):
            exchange = None
            with pytest.raises(ValueError, match="IP addresses alone"):
                exchange = ask(f"{scheme}://p", "a.example")
                exchange.answer(b"\x05\x00")
            assert (exchange is None) is (scheme == "socks4")

    def test_a_name_that_is_too_long(self) -> None:
        exchange = ask("socks5h://p", "a" * 256)
        with pytest.raises(ProxyError, match="256 bytes"):
            exchange.answer(b"\x05\x00")
