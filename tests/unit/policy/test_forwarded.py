"""Whose word on a client is taken: RFC 7239, and the X-Forwarded headers."""

from __future__ import annotations

from typing import Any

import pytest

from duplexer.http.headers import Headers
from duplexer.policy.forwarded import Client, TrustedProxies

PROXY = ("10.0.0.1", 4711)
EVERYTHING = ("for", "proto", "host")


def told(headers: list[tuple[str, str]], peer: Any = PROXY, **options: Any) -> Client:
    return TrustedProxies(["10.0.0.0/8", "fd00::/8"], **options).client(peer, Headers(headers))


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ([], PROXY),
        (["192.0.2.1"], ("192.0.2.1", 0)),
        (["192.0.2.1:80"], ("192.0.2.1", 80)),
        (["2001:DB8::1"], ("2001:db8::1", 0)),
        (["[2001:db8::1]"], ("2001:db8::1", 0)),
        (["[2001:db8::1]:80"], ("2001:db8::1", 80)),
        (["::ffff:192.0.2.1"], ("192.0.2.1", 0)),
        # What the client wrote itself comes first, and is not looked at.
        (["198.51.100.7, 192.0.2.1"], ("192.0.2.1", 0)),
        (["198.51.100.7", "192.0.2.1"], ("192.0.2.1", 0)),
        # A second proxy of ours in front of the first.
        (["198.51.100.7, 192.0.2.1, 10.0.0.2"], ("192.0.2.1", 0)),
        (["192.0.2.1,fd00::2,10.0.0.2"], ("192.0.2.1", 0)),
        # Called from within: the first proxy's word is all there is.
        (["10.0.0.3, 10.0.0.2"], ("10.0.0.3", 0)),
        # Who cannot be named is not, and what is behind is not believed.
        (["192.0.2.1, unknown"], PROXY),
        (["192.0.2.1, unknown, 10.0.0.2"], ("10.0.0.2", 0)),
        (["192.0.2.1, "], PROXY),
        (["192.0.2.1:"], PROXY),
        (["192.0.2.1:http"], PROXY),
        (["192.0.2.1:65536"], PROXY),
        (["[192.0.2.1]80"], PROXY),
        (["example.com"], PROXY),
        (["a" * 5000], PROXY),
    ],
)
def test_the_list_is_read_from_its_end(lines: list[str], address: Any) -> None:
    client = told([("X-Forwarded-For", line) for line in lines])
    assert client == Client(address)


def test_a_stranger_is_who_he_is() -> None:
    stranger = ("203.0.113.9", 1)
    headers = [("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Proto", "https")]
    assert told(headers, stranger, believes=EVERYTHING) == Client(stranger)
    assert told(headers, "") == Client("")  # on a Unix socket


def test_unix_sockets_may_be_trusted() -> None:
    trusted = TrustedProxies(["unix"])
    assert trusted.client("", Headers([("X-Forwarded-For", "192.0.2.1")])).address[0] == "192.0.2.1"
    assert trusted.client(PROXY, Headers([("X-Forwarded-For", "192.0.2.1")])).address == PROXY


def test_only_what_the_proxies_set_is_believed() -> None:
    headers = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "example.com"),
    ]
    assert told(headers) == Client(("192.0.2.1", 0), None, None)
    assert told(headers, believes=["proto"]) == Client(PROXY, True, None)
    assert told(headers, believes=EVERYTHING) == Client(("192.0.2.1", 0), True, "example.com")
    assert told(headers[:1], believes=EVERYTHING) == Client(("192.0.2.1", 0), None, None)


@pytest.mark.parametrize(
    ("scheme", "secure"), [("https", True), ("WSS", True), ("http", False), ("ws", False)]
)
def test_schemes(scheme: str, secure: bool) -> None:
    assert told([("X-Forwarded-Proto", scheme)], believes=["proto"]).secure is secure


def test_each_hop_has_its_own() -> None:
    headers = [
        ("X-Forwarded-For", "192.0.2.1, 10.0.0.2"),
        ("X-Forwarded-Proto", "https, http"),
        ("X-Forwarded-Host", "example.com, inner"),
    ]
    assert told(headers, believes=EVERYTHING) == Client(("192.0.2.1", 0), True, "example.com")
    forged = [(name, f"evil, {value}") for name, value in headers]
    assert told(forged, believes=EVERYTHING) == Client(("192.0.2.1", 0), True, "example.com")


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["for=192.0.2.1"], Client(("192.0.2.1", 0))),
        (['For="[2001:db8::1]:80"'], Client(("2001:db8::1", 80))),
        (
            ["for=192.0.2.1;proto=https;host=example.com"],
            Client(("192.0.2.1", 0), True, "example.com"),
        ),
        (['for=192.0.2.1; host="a,b;c"'], Client(("192.0.2.1", 0), None, "a,b;c")),
        (["for=198.51.100.7, for=192.0.2.1"], Client(("192.0.2.1", 0))),
        (["for=192.0.2.1;proto=https", "for=10.0.0.2;proto=http"], Client(("192.0.2.1", 0), True)),
        (["for=_hidden"], Client(PROXY)),
        (["for=192.0.2.1:_obscured"], Client(("192.0.2.1", 0))),
        (["for=192.0.2.1, for=192.0.2.2;for=192.0.2.3"], Client(PROXY)),
        (['for="192.0.2.1'], Client(PROXY)),
        (['for="192.0.2.1" ; host="a\\"\\\\"'], Client(("192.0.2.1", 0), None, 'a"\\')),
        (["for=192.0.2.1;;proto=http;"], Client(("192.0.2.1", 0), False)),
        (["proto=https"], Client(PROXY, True)),
        (["", ",,", ";=;"], Client(PROXY)),
    ],
)
def test_forwarded(lines: list[str], client: Client) -> None:
    headers = [("Forwarded", line) for line in lines]
    assert told(headers, header="Forwarded", believes=EVERYTHING) == client
    assert told(headers, believes=EVERYTHING) == Client(PROXY)  # the other family is not asked


@pytest.mark.parametrize(
    ("networks", "options", "error"),
    [
        ("10.0.0.0/8", {}, "not the string"),
        (["10.0.0.1/8"], {}, "10.0.0.1/8"),
        (["proxy.example.com"], {}, "'unix'"),
        ([], {"header": "X-Real-IP"}, "X-Real-IP"),
        ([], {"believes": "for"}, "collection"),
        ([], {"believes": ["port"]}, "'host'"),
    ],
)
def test_what_makes_no_sense_is_refused(networks: Any, options: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        TrustedProxies(networks, **options)


@pytest.mark.parametrize(
    "forged", ['for=198.51.100.7;x="', 'for=198.51.100.7;x="\\', 'x="a"b', '"']
)
def test_an_open_quote_does_not_take_in_what_the_proxy_says(forged: str) -> None:
    for said in ("for=192.0.2.1", 'for="[2001:db8::1]:80";proto=https'):
        headers = [("Forwarded", f"{forged}, {said}")]
        assert told(headers, header="Forwarded", believes=EVERYTHING) == Client(PROXY)
        headers = [("Forwarded", forged), ("Forwarded", said)]
        address, _, _ = told(headers, header="Forwarded", believes=EVERYTHING)
        assert address[0] in ("192.0.2.1", "2001:db8::1")
