"""Addresses of proxies, and the way through an HTTP proxy."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from duplexer.errors import InvalidProxy, InvalidProxyStatus, ProxyError
from duplexer.http.uri import parse_uri
from duplexer.limits import DEFAULT_LIMITS, Limits
from duplexer.proxies.connect import Proxy, parse_proxy, tunnel


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy", Proxy("http", "proxy", 80)),
        ("http://proxy:3128/", Proxy("http", "proxy", 3128)),
        ("HTTPS://Proxy.Example", Proxy("https", "proxy.example", 443)),
        ("socks4://proxy", Proxy("socks4", "proxy", 1080)),
        ("socks5h://[::1]:9050", Proxy("socks5h", "::1", 9050)),
        ("http://user:p%40ss@proxy", Proxy("http", "proxy", 80, "user", "p@ss")),
        ("http://user:@proxy", Proxy("http", "proxy", 80, "user", "")),
    ],
)
def test_addresses(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "scheme"),
        ("proxy:3128", "scheme"),
        ("ftp://proxy", "scheme"),
        ("http://", "no host"),
        ("http://:3128", "no host"),
        ("http://proxy/path", "more than"),
        ("http://proxy/?query", "more than"),
        ("http://proxy/#fragment", "more than"),
        ("http://user@proxy", "needs a password"),
        ("http://proxy:port", "port"),
        ("http://proxy:0", "port"),
        ("http://proxy:65536", "port"),
        ("http://[::1", "malformed"),
        ("http://a%3Ab:secret@proxy", "colon"),
        ("http://pro xy", "characters"),
        ("http://proxy\n", "characters"),
        ("http://proxy\x00", "characters"),
    ],
)
def test_what_is_none(text: str, why: str) -> None:
    with pytest.raises(InvalidProxy, match=why):
        parse_proxy(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://user:secret@proxy/path",
        "http://user:secret@proxy:x",
        "http://user:secret@[::1",
        "http://user:secret@ℂproxy℀",
        "ftp://user:secret@proxy",
        "user:secret@proxy",
    ],
)
def test_no_error_shows_a_password(text: str) -> None:
    with pytest.raises(InvalidProxy) as raised:
        parse_proxy(text)
    assert "secret" not in str(raised.value) + repr(raised.value) + raised.value.explain()
    assert raised.value.__cause__ is None


def test_an_empty_password_leaves_the_address_readable() -> None:
    with pytest.raises(InvalidProxy, match=r"http://\*\*\*@proxy/path"):
        parse_proxy("http://user:@proxy/path")


def test_repr_hides_the_password() -> None:
    assert "secret" not in repr(parse_proxy("http://user:secret@proxy"))


# -- CONNECT -------------------------------------------------------------------------------------


def ask(proxy: str = "http://proxy", uri: str = "ws://example.com/", **changes: Any) -> Any:
    """The tunnel after its request, which is given as well."""
    limits = DEFAULT_LIMITS.replace(**changes)
    steps = tunnel(parse_proxy(proxy), parse_uri(uri), limits)
    request = next(steps)
    assert next(steps) is None
    return steps, request


def answer(steps: Any, *pieces: bytes) -> None:
    with pytest.raises(StopIteration):
        for piece in pieces:
            assert steps.send(piece) is None


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("ws://example.com/chat", b"example.com:80"),
        ("wss://example.com/chat", b"example.com:443"),
        ("ws://[2001:db8::1]:8080/", b"[2001:db8::1]:8080"),
    ],
)
def test_the_request_always_has_the_port(uri: str, target: bytes) -> None:
    _, request = ask(uri=uri)
    lines = request.split(b"\r\n")
    assert lines[0] == b"CONNECT " + target + b" HTTP/1.1"
    assert b"Host: " + target in lines
    assert lines[-2:] == [b"", b""]
    assert b"chat" not in request


def test_credentials_are_for_the_proxy_alone() -> None:
    _, request = ask("http://user:p%40ss@proxy", "ws://other:secret@example.com/")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:p@ss") in request
    assert b"\r\nAuthorization" not in request
    assert base64.b64encode(b"other:secret") not in request
    _, request = ask()
    assert b"Authorization" not in request


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nProxy-Agent: x\r\n\r\n",
        b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_let_through(response: bytes) -> None:
    steps, _ = ask()
    answer(steps, response)
    steps, _ = ask()
    answer(steps, *[response[i : i + 1] for i in range(len(response))])


def test_refused() -> None:
    steps, _ = ask()
    with pytest.raises(InvalidProxyStatus, match=r"407 .*password") as raised:
        steps.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno")
    assert raised.value.response.body == b"no"


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([b""], "cannot be read"),
        ([b"HTTP/1.1 200", b""], "cannot be read"),
        ([b"SSH-2.0\r\n"], "cannot be read"),
        ([b"HTTP/1.1 200 OK\r\n\r\nhello"], "more than its answer"),
        ([b"HTTP/1.1 " + b"2" * 10_000], "cannot be read"),
    ],
)
def test_no_proxy_at_all(pieces: list[bytes], why: str) -> None:
    steps, _ = ask()
    with pytest.raises(ProxyError, match=why):
        for piece in pieces:
            steps.send(piece)


def test_a_refusal_is_bounded() -> None:
    limits = Limits(max_error_body=10)
    steps, _ = ask(max_error_body=limits.max_error_body)
    with pytest.raises(InvalidProxyStatus) as raised:
        steps.send(b"HTTP/1.1 502 Bad Gateway\r\n\r\n" + b"x" * 1000)
    assert raised.value.response.body == b"x" * 10
