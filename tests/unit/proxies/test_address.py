"""Addresses of proxies."""

from __future__ import annotations

import pytest

from duplexer.errors import InvalidProxy
from duplexer.proxies.address import Proxy, parse_proxy, redacted


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy", Proxy("http", "proxy", 80)),
        ("http://proxy:3128/", Proxy("http", "proxy", 3128)),
        ("HTTPS://Proxy.Example", Proxy("https", "proxy.example", 443)),
        ("socks4://proxy", Proxy("socks4", "proxy", 1080)),
        ("socks4a://proxy", Proxy("socks4a", "proxy", 1080)),
        ("socks4://user@proxy", Proxy("socks4", "proxy", 1080, "user", "")),
        ("socks5://proxy", Proxy("socks5", "proxy", 1080)),
        ("socks5h://[::1]:9050", Proxy("socks5h", "::1", 9050)),
        ("socks5h://a%3Ab:c:d@proxy", Proxy("socks5h", "proxy", 1080, "a:b", "c:d")),
        ("http://user:p%40ss@proxy", Proxy("http", "proxy", 80, "user", "p@ss")),
        ("http://user:a%20b@proxy", Proxy("http", "proxy", 80, "user", "a b")),
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
        ("socks://proxy", "scheme"),
        ("http://", "no host"),
        ("http://:3128", "no host"),
        ("http://proxy/path", "more than"),
        ("http://proxy/?query", "more than"),
        ("http://proxy/#fragment", "more than"),
        ("http://user@proxy", "needs a password"),
        ("socks5://user@proxy", "needs a password"),
        ("socks4://user:secret@proxy", "no passwords"),
        ("socks5://:secret@proxy", "1 to 255"),
        ("socks5://user:" + "x" * 256 + "@proxy", "up to 255"),
        ("http://proxy:port", "port"),
        ("http://proxy:0", "port"),
        ("http://proxy:65536", "port"),
        ("http://[::1", "malformed"),
        ("http://a%3Ab:secret@proxy", "colon"),
        ("http://a%0d%0aX:secret@proxy", "control characters"),
        ("socks4://a%00b@proxy", "control characters"),
        ("http://pro xy", "characters"),
        ("http://proxy\n", "characters"),
        ("http://proxy\x00", "characters"),
    ],
)
def test_what_is_none(text: str, why: str) -> None:
    with pytest.raises(InvalidProxy, match=why) as raised:
        parse_proxy(text)
    assert "secret" not in str(raised.value)


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


@pytest.mark.parametrize("host", ["a..b", "a%0d%0ab", "a\\b", "a,b", "127.1", "[::1%]", "a" * 300])
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(InvalidProxy):
        parse_proxy(f"http://{host}:80")


def test_a_host_is_what_other_proxies_can_be_told() -> None:
    assert parse_proxy("http://B\u00fccher.example").host == "xn--bcher-kva.example"
    assert parse_proxy("http://[fe80::1%25eth0]").host == "fe80::1%eth0"


def test_an_empty_password_leaves_the_address_readable() -> None:
    with pytest.raises(InvalidProxy, match=r"http://\*\*\*@proxy/path"):
        parse_proxy("http://user:@proxy/path")


def test_what_is_shown() -> None:
    proxy = parse_proxy("http://user:secret@[::1]:8080")
    assert "secret" not in repr(proxy)
    assert str(proxy) == "http://***@[::1]:8080"
    assert str(parse_proxy("socks5h://proxy")) == "socks5h://proxy:1080"
    assert redacted("http://proxy") == "http://proxy"


@pytest.mark.parametrize(
    "text", ["http://user:se//cret@proxy", "user:se//cret@proxy", "//user:se//cret@proxy"]
)
def test_slashes_in_a_password_show_none_of_it(text: str) -> None:
    with pytest.raises(InvalidProxy, match=r"\*\*\*@proxy") as raised:
        parse_proxy(text)
    assert "se" not in redacted(text)
    assert "user:se" not in str(raised.value)


@pytest.mark.parametrize(
    ("scheme", "resolves", "secure"),
    [
        ("http", True, False),
        ("https", True, True),
        ("socks4", False, False),
        ("socks4a", True, False),
        ("socks5", False, False),
        ("socks5h", True, False),
    ],
)
def test_kinds(scheme: str, resolves: bool, secure: bool) -> None:
    proxy = parse_proxy(f"{scheme}://proxy")
    assert (proxy.resolves, proxy.secure) == (resolves, secure)
