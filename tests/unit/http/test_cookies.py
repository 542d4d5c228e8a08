"""Cookies from a jar, and into it."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy

from duplexer.http.cookies import cookie_header, store_cookies
from duplexer.http.headers import Headers
from duplexer.http.uri import parse_uri


def stored(uri: str, *values: str, jar: CookieJar | None = None) -> CookieJar:
    jar = CookieJar() if jar is None else jar
    store_cookies(jar, parse_uri(uri), Headers([("Set-Cookie", value) for value in values]))
    return jar


def sent(jar: CookieJar, uri: str) -> set[str]:
    header = cookie_header(jar, parse_uri(uri))
    return set() if header is None else set(header.split("; "))


def test_there_and_back() -> None:
    jar = stored("ws://example.com/a/b", "x=1; Path=/", "y=2; Path=/a", "z=3; Path=/b; HttpOnly")
    assert sent(jar, "ws://example.com/a/c") == {"x=1", "y=2"}
    assert sent(jar, "ws://example.com/b") == {"x=1", "z=3"}
    assert sent(jar, "ws://example.com:8080/") == {"x=1"}  # ports do not matter (RFC 6265 8.5)
    assert cookie_header(CookieJar(), parse_uri("ws://example.com/")) is None


def test_other_hosts_get_nothing() -> None:
    jar = stored("ws://www.example.com/", "host=1", "domain=2; Domain=example.com")
    assert sent(jar, "ws://www.example.com/") == {"host=1", "domain=2"}
    assert sent(jar, "ws://chat.example.com/") == {"domain=2"}
    assert sent(jar, "ws://example.org/") == set()
    assert (
        sent(stored("ws://example.com/", "x=1; Domain=example.org"), "ws://example.org/") == set()
    )


def test_secure_goes_over_tls_alone() -> None:
    jar = stored("wss://example.com/", "secret=1; Secure", "plain=2")
    assert sent(jar, "wss://example.com/") == {"secret=1", "plain=2"}
    assert sent(jar, "ws://example.com/") == {"plain=2"}


def test_they_expire_and_are_deleted() -> None:
    jar = stored("ws://example.com/", "x=1", "y=2; Max-Age=0")
    assert sent(jar, "ws://example.com/") == {"x=1"}
    stored("ws://example.com/", "x=; Max-Age=0", jar=jar)
    assert sent(jar, "ws://example.com/") == set()


def test_the_policy_decides() -> None:
    jar = CookieJar(DefaultCookiePolicy(blocked_domains=["example.com"]))
    assert sent(stored("ws://example.com/", "x=1", jar=jar), "ws://example.com/") == set()


def test_an_answer_without_cookies() -> None:
    jar = CookieJar()
    store_cookies(jar, parse_uri("ws://example.com/"), Headers({"Server": "x"}))
    assert len(jar) == 0
