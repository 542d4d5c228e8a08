"""URLs as browsers read them; ada, which Node.js has, is asked whether that is true."""

from __future__ import annotations

import sys

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from duplexer.browser.exceptions import DOMException
from duplexer.browser.url import parse_url, websocket_url

BASES = [None, "http://h:81/a/b?q#f", "ws://x/", "wss://u:p@[::1]/d/e/f/", "https://h/?"]
PIECES = st.one_of(
    st.sampled_from(list("/\\?#@:[].%~^|{}`<>'\" \t\n&=+-_0123456789abxXfF.é")),
    st.sampled_from(
        [
            "ws",
            "http",
            "//",
            "..",
            "%2e",
            ".%2E",
            "localhost",
            "127.0.0.1",
            "[::1]",
            "ü",
            "0x",
            "::",
        ]
    ),
    st.text(max_size=2),
)
STARTS = st.sampled_from(
    [
        "",
        "ws://",
        "http:",
        "ws:/",
        "wss:\\",
        "HTTPS://",
        " ws://a",
        "http://[",
        "ws://1.",
        "ws://u@",
    ]
)


def theirs(text: str, base: str | None) -> str | None:
    try:
        url = ada_url.URL(text, base) if base else ada_url.URL(text)
    except ValueError:
        return None
    known = url.protocol in ("http:", "https:", "ws:", "wss:")
    href: str = url.href
    return href if known else None


def ours(text: str, base: str | None) -> str | None:
    try:
        return parse_url(text, parse_url(base) if base else None).href
    except ValueError:
        return None


@given(
    STARTS,
    st.lists(PIECES, max_size=9).map("".join),
    st.sampled_from(BASES),
)
@example("", "ws:foo", "ws://x/a/b")
@example("", "ws:/foo", "wss://x/")
@example("", "?x", "http://h/a?b#c")
@example("", "#x", "http://h/a?b#c")
@example("", "\\\\h\\p", "http://h/a")
@example("ws://", "1.2.3.4.", None)
@example("ws://", "0xffffffff", None)
@example("ws://", "a.b.09", None)
@example("ws://", "h:00000000000080/", None)
@example("ws://", "h:65536/", None)
@example("ws://", "a@b:c@h/", None)
def test_as_ada_does(start: str, rest: str, base: str | None) -> None:
    text = start + rest
    if not any("\ud800" <= char <= "\udfff" for char in text):  # ada takes UTF-8
        assert ours(text, base) == theirs(text, base)


@given(
    st.lists(st.sampled_from(["0", "0", "1", "ab", "0DB8", "", "1.2.3.4"]), min_size=1, max_size=9)
)
def test_ipv6_as_ada_does(pieces: list[str]) -> None:
    text = f"ws://[{':'.join(pieces)}]/"
    assert ours(text, None) == theirs(text, None)


@pytest.mark.parametrize(
    ("url", "base", "wanted"),
    [
        ("ws://Example.com", None, "ws://example.com/"),
        ("http://h:80/a/../b?c", None, "ws://h/b?c"),
        ("https://h:443", None, "wss://h/"),
        ("wss://h:80/", None, "wss://h:80/"),
        ("/socket", "https://h:8443/app/?x#y", "wss://h:8443/socket"),
        ("socket?x=1", "http://h/app/page", "ws://h/app/socket?x=1"),
        ("//other/x", "https://h/", "wss://other/x"),
        ("", "http://h/page?q#f", "ws://h/page?q"),
        ("ws://h/a b/ü?'\ud800'", None, "ws://h/a%20b/%C3%BC?%27%EF%BF%BD%27"),
        ("ws://u:p%40@h/", None, "ws://u:p%40@h/"),
        ("ws://[0:0:0:0:0:0:0:1]:80", None, "ws://[::1]/"),
    ],
)
def test_websocket_urls(url: str, base: str | None, wanted: str) -> None:
    assert websocket_url(url, base).href == wanted


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no base_url"),
        ("socket", "no base_url"),
        ("ftp://h/", "its scheme is ftp"),
        ("ws://", "no host"),
        ("ws://h/#", "fragment"),
        ("ws://h/#part", "#part"),
        ("ws://h:x/", "port is no number"),
        ("ws://h:99999/", "above 65535"),
        ("ws://[::1/", "not closed"),
        ("ws://[::1%25eth0]/", "IPv6 address is none"),
        ("ws://a^b/", r"'\^'"),
        ("ws://a%00b/", "x00"),
        ("ws://[::1]x/", "between"),
        ("ws://256.1.1.1/", "too big"),
        ("ws://1.2.3.4.5/", "no IPv4"),
        ("ws://" + "9" * 5000, "is no URL"),
        ("ws://user:secret@h:x/", r"\*\*\*@h"),
    ],
)
def test_what_is_no_websocket_url(url: str, words: str) -> None:
    with pytest.raises(DOMException, match=words) as caught:
        websocket_url(url)
    assert caught.value.name == "SyntaxError"
    assert "secret" not in str(caught.value)


def test_a_base_that_is_none() -> None:
    with pytest.raises(DOMException, match="is no URL"):
        websocket_url("/x", "/y")


def test_parts() -> None:
    record = websocket_url("wss://u:p@h:8080/a?b")
    assert record.origin == "wss://h:8080"
    assert record.address == "wss://h:8080/a?b"
    assert "'p'" not in repr(record)


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("bücher.example", "xn--bcher-kva.example"), ("Ü.example", "xn--tda.example")],
)
def test_hosts_in_other_alphabets(host: str, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert websocket_url(f"ws://{host}/").host == wanted
    monkeypatch.setitem(sys.modules, "ada_url", None)  # the extra is not installed
    assert websocket_url(f"ws://{host}/").host == wanted


def test_hosts_that_need_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert websocket_url("ws://faß.de/").host == "xn--fa-hia.de"
    monkeypatch.setitem(sys.modules, "ada_url", None)
    with pytest.raises(DOMException, match=r"duplexer\[browser\]"):
        websocket_url("ws://faß.de/")
    with pytest.raises(DOMException, match="IDNA"):
        websocket_url(f"ws://{'ü' * 70}.de/")
