"""The way through an HTTP proxy."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from duplexer.errors import InvalidHeaderFormat, InvalidProxyMessage, InvalidProxyStatus
from duplexer.http.auth import parse_challenges
from duplexer.limits import DEFAULT_LIMITS
from duplexer.proxies.address import parse_proxy
from duplexer.proxies.connect import HttpTunnel
from tests.unit.proxies.exchange import Exchange

BASIC = b"Basic " + base64.b64encode(b"user:p@ss")


def tunnel(proxy: str = "http://proxy", **changes: Any) -> HttpTunnel:
    return HttpTunnel(parse_proxy(proxy), DEFAULT_LIMITS.replace(**changes))


def ask(proxy: str = "http://proxy", **changes: Any) -> Exchange:
    return Exchange(tunnel(proxy, **changes).open("example.com", 80))


def credentials(request: bytes) -> bytes | None:
    """The value of ``Proxy-Authorization``."""
    for line in request.split(b"\r\n"):
        name, _, value = line.partition(b": ")
        assert name != b"Authorization"
        if name == b"Proxy-Authorization":
            return value
    return None


@pytest.mark.parametrize(
    ("host", "port", "target"),
    [
        ("example.com", 80, b"example.com:80"),
        ("example.com", 443, b"example.com:443"),
        ("2001:db8::1", 8080, b"[2001:db8::1]:8080"),
        ("fe80::1%eth0", 80, b"[fe80::1]:80"),
    ],
)
def test_the_request_always_has_the_port(host: str, port: int, target: bytes) -> None:
    request = Exchange(tunnel().open(host, port)).take()
    lines = request.split(b"\r\n")
    assert lines[0] == b"CONNECT " + target + b" HTTP/1.1"
    assert b"Host: " + target in lines
    assert lines[-2:] == [b"", b""]
    assert credentials(request) is None


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n",
        b"HTTP/1.1 204 \r\n\r\n",
        b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [0, 1])
def test_let_through(response: bytes, size: int) -> None:
    exchange = ask()
    exchange.answer(response, size)
    assert exchange.result is True


@pytest.mark.parametrize(
    ("status", "hint"),
    [(403, "port 443"), (407, "password"), (502, "reach"), (503, "later"), (504, "in time")],
)
def test_refused(status: int, hint: str) -> None:
    exchange = ask("http://user:secret@proxy:3128")
    with pytest.raises(InvalidProxyStatus, match=rf"HTTP {status} .*{hint}") as raised:
        exchange.answer(b"HTTP/1.1 %d No\r\nA: b\r\nContent-Length: 2\r\n\r\nno" % status)
    error = raised.value
    assert (error.status, error.headers["A"], error.body) == (status, "b", b"no")
    assert "http://***@proxy:3128" in str(error)
    assert "secret" not in str(error) + repr(error) + error.explain()


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([b""], "without an HTTP response"),
        ([b"HTTP/1.1 200", b""], "in the middle"),
        ([b"SSH-2.0\r\n"], "not HTTP"),
        ([b"HTTP/2 200 OK\r\n\r\n"], "unsupported"),
        ([b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n"], "header name"),
        ([b"HTTP/1.1 200 OK\r\n\r\nhello"], "more than its answer"),
        ([b"HTTP/1.1 " + b"2" * 10_000], "cannot be read"),
        ([b"HTTP/1.1 200 OK\r\n", *[b"A: " + b"x" * 1000 + b"\r\n"] * 100], "header"),
    ],
)
def test_no_proxy_at_all(pieces: list[bytes], why: str) -> None:
    exchange = ask()
    with pytest.raises(InvalidProxyMessage, match=why):
        for piece in pieces:
            exchange.answer(piece)


def test_a_refusal_is_bounded() -> None:
    exchange = ask(max_error_body=10)
    with pytest.raises(InvalidProxyStatus) as raised:
        exchange.answer(b"HTTP/1.1 502 Bad Gateway\r\n\r\n" + b"x" * 1000)
    assert raised.value.body == b"x" * 10


class TestCredentials:
    def challenge(self, *values: str) -> bytes:
        lines = "".join(f"Proxy-Authenticate: {value}\r\n" for value in values)
        return f"HTTP/1.1 407 No\r\n{lines}Content-Length: 0\r\n\r\n".encode()

    def test_basic_at_once(self) -> None:
        exchange = ask("http://user:p%40ss@proxy")
        assert credentials(exchange.take()) == BASIC

    def test_none_that_were_not_given(self) -> None:
        exchange = ask()
        with pytest.raises(InvalidProxyStatus):
            exchange.answer(self.challenge("Basic realm=a"))

    def test_digest_when_it_is_asked_for(self) -> None:
        way = tunnel("http://user:p%40ss@proxy")
        first = Exchange(way.open("example.com", 80))
        first.answer(self.challenge("Digest realm=a, nonce=n, qop=auth", "Basic realm=a"))
        assert first.result is False

        second = Exchange(way.open("example.com", 80))
        value = credentials(second.take())
        assert value is not None
        [found] = parse_challenges([value.decode()])
        assert found.scheme == "digest"
        assert (found.params["uri"], found.params["nonce"]) == ("example.com:80", "n")
        second.answer(b"HTTP/1.1 200 OK\r\n\r\n")
        assert second.result is True

        # Another proxy of the chain may want the whole way to be gone again.
        third = Exchange(way.open("example.com", 80))
        assert b"nc=00000002" in (credentials(third.take()) or b"")

    def test_wrong_ones(self) -> None:
        way = tunnel("http://user:p%40ss@proxy")
        for last in (False, True):
            exchange = Exchange(way.open("example.com", 80))
            if last:
                with pytest.raises(InvalidProxyStatus, match="407"):
                    exchange.answer(self.challenge("Digest realm=a, nonce=m, Basic realm=a"))
            else:
                exchange.answer(self.challenge("Digest realm=a, nonce=n, Basic realm=a"))

    def test_a_proxy_that_is_never_content(self) -> None:
        way = tunnel("http://user:p%40ss@proxy")
        for count in range(10):
            exchange = Exchange(way.open("example.com", 80))
            try:
                exchange.answer(self.challenge(f"Digest realm=a, nonce={count}, stale=true"))
            except InvalidProxyStatus:
                break
        assert count == 3

    @pytest.mark.parametrize("values", [[], ["Negotiate"], ["Basic realm=a"]])
    def test_nothing_else_to_say(self, values: list[str]) -> None:
        exchange = ask("http://user:p%40ss@proxy")
        with pytest.raises(InvalidProxyStatus, match="407"):
            exchange.answer(self.challenge(*values))

    def test_a_malformed_challenge(self) -> None:
        exchange = ask("http://user:p%40ss@proxy")
        with pytest.raises(InvalidProxyStatus, match="407") as raised:
            exchange.answer(self.challenge('Digest realm="a'))
        assert isinstance(raised.value.__cause__, InvalidHeaderFormat)
