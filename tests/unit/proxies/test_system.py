"""Which proxy the environment asks for."""

from __future__ import annotations

import sys

import pytest

from duplexer.http.uri import parse_uri
from duplexer.proxies.system import system_proxy

NAMES = ("ws", "wss", "socks", "http", "https", "all", "no")


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


def test_what_the_system_calls_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, socks="http://proxy:1080")
    assert system_proxy(parse_uri("ws://example.com/")) == "socks5h://proxy:1080"


@pytest.mark.parametrize(
    ("uri", "no_proxy", "bypassed"),
    [
        ("ws://example.com/", "example.com", True),
        ("ws://www.example.com/", "example.com", True),
        ("ws://www.example.com/", ".example.com", True),
        ("ws://badexample.com/", "example.com", False),
        ("ws://example.com:8080/", "example.com:8080", True),
        ("ws://example.com/", "example.com:8080", False),
        ("ws://127.0.0.1/", "localhost,127.0.0.1", True),
        ("ws://example.com/", "*", True),
        ("ws://example.com/", "", False),
    ],
)
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, uri: str, no_proxy: str, bypassed: bool) -> None:
    setting(monkeypatch, http="http://proxy", no=no_proxy)
    assert (system_proxy(parse_uri(uri)) is None) is bypassed
