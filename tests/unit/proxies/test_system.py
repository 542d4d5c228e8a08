"""Which proxy the environment asks for."""

from __future__ import annotations

import sys

import pytest

from duplexer.http.uri import parse_uri
from duplexer.proxies.system import system_proxy

NAMES = ("ws", "wss", "socks", "http", "https", "all", "auto", "no")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)


def setting(monkeypatch: pytest.MonkeyPatch, **proxies: str) -> None:
    for name, value in proxies.items():
        monkeypatch.setenv(f"{name}_proxy", value)


def test_none() -> None:
    if sys.platform == "linux":
        assert system_proxy(parse_uri("ws://example.com/")) is None
        assert system_proxy(parse_uri("wss://example.com/")) is None


@pytest.mark.parametrize(
    ("uri", "names", "chosen"),
    [
        # RFC 6455 4.1: its own scheme, then SOCKS, then HTTPS, then HTTP.
        ("ws://example.com/", "ws socks https http", "ws"),
        ("ws://example.com/", "wss socks https http", "socks"),
        ("ws://example.com/", "wss https http", "https"),
        ("ws://example.com/", "wss http", "http"),
        ("wss://example.com/", "ws wss socks https http", "wss"),
        ("wss://example.com/", "ws socks https http", "socks"),
        ("wss://example.com/", "ws https http", "https"),
        ("wss://example.com/", "ws http", None),
        ("ws://example.com/", "all http", "http"),
        ("ws://example.com/", "all", "all"),
        ("wss://example.com/", "all http", "all"),
    ],
)
def test_order(monkeypatch: pytest.MonkeyPatch, uri: str, names: str, chosen: str | None) -> None:
    setting(monkeypatch, **{name: f"socks5h://{name}:1" for name in names.split()})
    found = system_proxy(parse_uri(uri))
    assert found == (None if chosen is None else f"socks5h://{chosen}:1")


def test_the_name_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert system_proxy(parse_uri("wss://example.com/")) == "http://proxy:3128"


def test_an_empty_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, wss="", https="http://proxy")
    assert system_proxy(parse_uri("wss://example.com/")) == "http://proxy"


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("socks", "http://proxy:1080", "socks5h://proxy:1080"),  # macOS
        ("socks", "proxy:1080", "socks5h://proxy:1080"),
        ("socks", "socks4://proxy", "socks4://proxy"),
        ("all", "socks://proxy:1080/", "socks5h://proxy:1080/"),  # GNOME
        ("http", "proxy:3128", "http://proxy:3128"),
        ("https", "user:pass@proxy", "http://user:pass@proxy"),
        ("https", "https://proxy", "https://proxy"),
    ],
)
def test_schemes(monkeypatch: pytest.MonkeyPatch, name: str, value: str, meant: str) -> None:
    setting(monkeypatch, **{name: value})
    assert system_proxy(parse_uri("ws://example.com/")) == meant


def test_a_file_that_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, auto="http://wpad/wpad.dat", all="http://proxy", no="example.org")
    assert system_proxy(parse_uri("ws://example.com/")) == "pac+http://wpad/wpad.dat"
    assert system_proxy(parse_uri("ws://example.org/")) is None
    setting(monkeypatch, auto="wpad:")
    assert system_proxy(parse_uri("ws://example.com/")) == "wpad:"


def test_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, http="http://proxy", no="10.0.0.0/8, example.com:8080")
    assert system_proxy(parse_uri("ws://10.1.2.3/")) is None
    assert system_proxy(parse_uri("ws://www.example.com:8080/")) is None
    assert system_proxy(parse_uri("ws://www.example.com/")) == "http://proxy"
