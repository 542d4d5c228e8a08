"""Addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.errors import InvalidURI
from duplexer.http.uri import URI, parse_uri


@pytest.mark.parametrize(
    ("text", "uri", "resource", "host"),
    [
        ("ws://a/", URI(False, "a", 80, "/", ""), "/", "a"),
        ("ws://a", URI(False, "a", 80, "", ""), "/", "a"),
        ("wss://a", URI(True, "a", 443, "", ""), "/", "a"),
        ("WSS://A.Example", URI(True, "a.example", 443, "", ""), "/", "a.example"),
        ("ws://a:80/", URI(False, "a", 80, "/", ""), "/", "a"),
        ("ws://a:443/", URI(False, "a", 443, "/", ""), "/", "a:443"),
        ("wss://a:443/", URI(True, "a", 443, "/", ""), "/", "a"),
        ("ws://a:/x", URI(False, "a", 80, "/x", ""), "/x", "a"),
        ("ws://a?b", URI(False, "a", 80, "", "b"), "/?b", "a"),
        ("ws://a/?", URI(False, "a", 80, "/", ""), "/", "a"),
        ("ws://a/b?c?d/e", URI(False, "a", 80, "/b", "c?d/e"), "/b?c?d/e", "a"),
        ("ws://a/b@c:d", URI(False, "a", 80, "/b@c:d", ""), "/b@c:d", "a"),
        ("ws://a/%23%zz", URI(False, "a", 80, "/%23%zz", ""), "/%23%zz", "a"),
        (
            "ws://a/\xe9?\u20ac",
            URI(False, "a", 80, "/%C3%A9", "%E2%82%AC"),
            "/%C3%A9?%E2%82%AC",
            "a",
        ),
        ('ws://a/"<>\\^`{|}', URI(False, "a", 80, "/%22%3C%3E%5C%5E%60%7B%7C%7D", ""), None, "a"),
        ("ws://[::1]:9", URI(False, "::1", 9, "", ""), "/", "[::1]:9"),
        ("ws://[0:0::0:1]", URI(False, "::1", 80, "", ""), "/", "[::1]"),
        ("ws://[fe80::1%25eth0]", URI(False, "fe80::1%eth0", 80, "", ""), "/", "[fe80::1]"),
        ("ws://127.0.0.1", URI(False, "127.0.0.1", 80, "", ""), "/", "127.0.0.1"),
        ("ws://b\xfccher.example", URI(False, "xn--bcher-kva.example", 80, "", ""), "/", None),
        ("ws://a.example.", URI(False, "a.example.", 80, "", ""), "/", "a.example."),
        ("ws://u:p@a", URI(False, "a", 80, "", "", "u", "p"), "/", "a"),
        ("ws://u:@a", URI(False, "a", 80, "", "", "u", ""), "/", "a"),
        ("ws://u%40:%3A%C3%A9@a", URI(False, "a", 80, "", "", "u@", ":\xe9"), "/", "a"),
    ],
)
def test_valid(text: str, uri: URI, resource: str | None, host: str | None) -> None:
    parsed = parse_uri(text)
    assert parsed == uri
    if resource is not None:
        assert parsed.resource_name == resource
    if host is not None:
        assert parsed.host_header == host
    # What is shown leads to the same place, without the credentials.
    shown = parse_uri(str(parsed))
    assert (shown.origin, shown.resource_name) == (
        parse_uri(str(shown)).origin,
        parsed.resource_name,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "scheme"),
        ("a", "scheme"),
        ("//a", "scheme"),
        ("ws:a", "scheme"),
        ("ws:/a", "scheme"),
        ("http://a", "write ws://"),
        ("https://a", "write wss://"),
        ("ftp://a", "scheme"),
        ("ws://", "hostname isn't provided"),
        ("ws:///path", "hostname isn't provided"),
        ("ws://:80", "hostname isn't provided"),
        ("ws://?x", "hostname isn't provided"),
        ("ws://a/#b", "fragment"),
        ("ws://a#", "fragment"),
        ("ws://a/b%23#", "fragment"),
        ("ws://u@a", "without password"),
        ("ws://@a", "without password"),
        ("ws://u:p@x:y@a", "%40"),
        ("ws://u%3A:p@a", "colon"),
        ("ws://u%zz:p@a", "percent-encoding"),
        ("ws://u%:p@a", "percent-encoding"),
        ("ws://u:%ff@a", "percent-encoding"),
        ("ws://a:0", "port"),
        ("ws://a:65536", "port"),
        ("ws://a:99999999999999999999", "port"),
        ("ws://a:x", "port"),
        ("ws://a:-1", "port"),
        ("ws://a:+1", "port"),
        ("ws://a:\u0661", "port"),
        ("ws://::1", "brackets"),
        ("ws://[::1", "IPv6"),
        ("ws://[::1]x", "IPv6"),
        ("ws://[]", "IPv6"),
        ("ws://[1.2.3.4]", "IPv6"),
        ("ws://[::1%]", "zone"),
        ("ws://[::1%25]", "zone"),
        ("ws://[::1%25a/b]", "IPv6"),
        ("ws://[::1%25a:b]", "zone"),
        ("ws://a\\b", "backslash"),
        ("ws://a\\@b", "backslash"),
        ("ws://a b", "U\\+0020 at 6"),
        ("ws://a%41", "characters"),
        ("ws://a,b", "characters"),
        ("ws://a..b", "label"),
        ("ws://.a", "label"),
        ("ws://" + "a" * 64, "label"),
        ("ws://" + "a." * 127 + "aa", "long"),
        ("ws://.", "label"),
        ("ws://fa\xdf.example", "xn--"),
        ("ws://a\u200db.example", "xn--"),
        ("ws://\u3002", "IDNA|label"),
        # All of these are 127.0.0.1 to some programs.
        ("ws://2130706433", "IPv4"),
        ("ws://0x7f000001", "IPv4"),
        ("ws://0x", "IPv4"),
        ("ws://127.1", "IPv4"),
        ("ws://127.0.1", "IPv4"),
        ("ws://0177.0.0.1", "IPv4"),
        ("ws://127.0.0.01", "IPv4"),
        ("ws://127.0.0.0x1", "IPv4"),
        ("ws://127.0.0.1.", "IPv4"),
        ("ws://127.0.0.256", "IPv4"),
        ("ws://a.1", "IPv4"),
        ("ws://\uff11\uff12\uff17.1", "IPv4"),
    ],
)
def test_invalid(text: str, message: str) -> None:
    with pytest.raises(InvalidURI, match=message):
        parse_uri(text)


@pytest.mark.parametrize("char", [*map(chr, range(0x21)), "\x7f", "\x80", "\x85", "\xa0", "\ud800"])
@pytest.mark.parametrize("template", ["ws://a/{}b", "ws://a?{}", "ws://{}a", "ws://a{}", "{}ws://a",
                                      "ws://u:{}@a", "ws://a:8{}0"])  # fmt: skip
def test_control_characters(template: str, char: str) -> None:
    with pytest.raises(InvalidURI):
        parse_uri(template.format(char))


def test_u010d_does_not_become_a_line_end() -> None:
    assert parse_uri("ws://a/\u010d\u010a").resource_name == "/%C4%8D%C4%8A"


def test_credentials_are_never_shown() -> None:
    uri = parse_uri("ws://user:secret@a/b")
    for text in (str(uri), repr(uri)):
        assert "secret" not in text
        assert "user" not in text
    for bad in ("ws://user:secret@a:x", "http://user:secret@a", "ws://user:secret@a/ b"):
        with pytest.raises(InvalidURI) as raised:
            parse_uri(bad)
        assert "secret" not in str(raised.value)
        assert "secret" not in repr(raised.value)


def test_userinfo() -> None:
    assert parse_uri("ws://u:p@a").userinfo == ("u", "p")
    assert parse_uri("ws://u:p@a").user_info == ("u", "p")
    assert parse_uri("ws://a").userinfo is None


@given(st.text(alphabet=st.characters()) | st.text("ws:/@[]%?#.0x1-a\xe9\\"))
def test_anything(text: str) -> None:
    for candidate in (text, f"ws://{text}", f"wss://a/{text}"):
        try:
            uri = parse_uri(candidate)
        except InvalidURI:
            continue
        assert uri.host
        assert 1 <= uri.port <= 65535
        for part in (uri.resource_name, uri.host_header):
            assert part.isascii()
            assert part.isprintable()
            assert " " not in part
            assert "#" not in part
