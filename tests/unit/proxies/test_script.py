"""PAC files are run by PyPAC; here, in this process."""

from __future__ import annotations

import pytest

from duplexer.proxies import script


@pytest.fixture(autouse=True)
def no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process may use as much memory as it did."""
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "setrlimit", lambda *args: None)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ("return 'PROXY a:1; DIRECT'", "PROXY a:1; DIRECT"),
        ("return null", "DIRECT"),
        ("return ''", "DIRECT"),
        ("return url + ' ' + host", "wss://www.example.com/ www.example.com"),
        ("return dnsDomainIs(host, '.example.com') ? 'SOCKS b:2' : 'DIRECT'", "SOCKS b:2"),
        ("return shExpMatch(host, 'www.*') ? 'HTTPS c:3' : 'DIRECT'", "HTTPS c:3"),
        ("return isInNet('10.1.2.3', '10.0.0.0', '255.0.0.0') ? 'SOCKS5 d:4' : ''", "SOCKS5 d:4"),
        ("return Array(5000).join('x')", "x" * script.MAX_ANSWER),
    ],
)
def test_answers(body: str, answer: str) -> None:
    text = f"function FindProxyForURL(url, host) {{ {body}; }}"
    assert script.answer(text, "wss://www.example.com/", "www.example.com") == answer


@pytest.mark.parametrize("text", ["", "function", "function FindProxyForURL() { undefined_(); }"])
def test_errors(text: str) -> None:
    with pytest.raises(Exception, match=r".+"):
        script.answer(text, "wss://www.example.com/", "www.example.com")
