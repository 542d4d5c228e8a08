"""What ``proxy=`` means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from duplexer.errors import InvalidProxy
from duplexer.http.uri import parse_uri
from duplexer.limits import DEFAULT_LIMITS
from duplexer.proxies.address import Proxy
from duplexer.proxies.routes import Routes, find_routes, may_block

URI = parse_uri("wss://example.com/")


def find(proxy: Any) -> Routes:
    # A busy machine may need some time to start a Python for a PAC file.
    return find_routes(proxy, URI, DEFAULT_LIMITS.replace(open_timeout=50))


@pytest.mark.parametrize("proxy", [None, False])
def test_none(proxy: bool | None) -> None:
    assert find(proxy) == [()]
    assert not may_block(proxy, URI)


def test_one() -> None:
    assert find("socks5h://proxy") == [(Proxy("socks5h", "proxy", 1080),)]
    assert not may_block("socks5h://proxy", URI)


def test_several_in_a_row() -> None:
    chain = (Proxy("socks5h", "a", 1080), Proxy("https", "b", 443, "u", "p"))
    assert find(["socks5h://a", "https://u:p@b"]) == [chain]
    assert find(("socks5h://a", "https://u:p@b")) == [chain]
    assert not may_block(["socks5h://a"], URI)


def test_the_system_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("wss", "socks", "https", "all", "auto", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert find(True) == [(Proxy("http", "proxy", 3128),)]
    assert not may_block(True, URI)
    monkeypatch.setenv("no_proxy", "example.com")
    assert find(True) == [()]
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("auto_proxy", f"file://{tmp_path}/proxy.pac")
    assert may_block(True, URI)


def test_a_file_that_chooses(tmp_path: Path) -> None:
    path = tmp_path / "proxy.pac"
    path.write_text("function FindProxyForURL(url, host) { return 'HTTPS ' + host + ':8443'; }")
    assert find(f"pac+file://{path}") == [(Proxy("https", "example.com", 8443),)]
    assert may_block(f"pac+file://{path}", URI)


@pytest.mark.parametrize("proxy", [1, b"http://proxy", [b"http://proxy"], {"http": "http://proxy"}])
def test_what_it_cannot_be(proxy: Any) -> None:
    with pytest.raises((TypeError, InvalidProxy)):
        find(proxy)


def test_an_empty_list() -> None:
    with pytest.raises(ValueError, match="proxy=None"):
        find([])


def test_a_list_with_a_file_that_chooses() -> None:
    with pytest.raises(InvalidProxy, match="scheme"):
        find(["http://proxy", "pac+file:///proxy.pac"])
