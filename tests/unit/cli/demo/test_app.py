"""The demo without its page; as a process it is in ``integration/test_cli_serve.py``."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from duplexer.cli.demo.app import MAX_NAME, MAX_SAID, Demo, compact, page, parse_said, policy
from duplexer.http.headers import Headers
from duplexer.http.messages import Request


def upgrade(path: str) -> Request:
    """A request for a WebSocket."""
    headers = Headers({"Host": "x", "Upgrade": "websocket", "Connection": "Upgrade"})
    return Request(path, headers)


def test_the_policy_allows_our_script_and_style_by_hash_only() -> None:
    found = policy(page(), "localhost:8765")
    script = re.search(r"<script>(.*?)</script>", page(), re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in found
    assert "unsafe" not in found
    assert "connect-src 'self' ws://localhost:8765 wss://localhost:8765" in found


@pytest.mark.parametrize("host", [None, "", "x; script-src *", "a b", "a,b", "[::1", "'self'"])
def test_a_strange_host_adds_nothing_to_the_policy(host: str | None) -> None:
    assert "connect-src 'self';" in policy(page(), host)


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1:80", "[::1]:8765"])
def test_a_host_is_named_in_the_policy(host: str) -> None:
    assert f"connect-src 'self' ws://{host} wss://{host};" in policy(page(), host)


class Outside(HTMLParser):
    """Collects what a page would fetch, and what a strict policy would refuse to run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            fetched = name in {"src", "href"} and not (value or "").startswith(("data:", "#"))
            if fetched or name == "style" or name.startswith("on"):
                self.found.append(f"{tag} {name}={value}")


def test_the_page_needs_nothing_from_outside_and_makes_no_html_of_text() -> None:
    outside = Outside()
    outside.feed(page())
    assert outside.found == []
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert forbidden not in page()


def test_routes_and_paths() -> None:
    demo = Demo()
    answer = demo.get_page(Request("/", Headers({"Host": "localhost"})))
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b'"status"' in demo.get_health(Request("/healthz", Headers())).body
    nobody: object = None
    for path in ("/echo", "/chat?x=1", "/clock"):
        assert demo.check_path(nobody, upgrade(path)) is None  # type: ignore[arg-type]
    refused = demo.check_path(nobody, upgrade("/"))  # type: ignore[arg-type]
    assert refused is not None
    assert refused.status_code == 404
    assert set(demo.routes()) == {"/", "/healthz"}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("hello", {"type": "say", "text": "hello"}),
        ("  7 ", {"type": "say", "text": "7"}),
        ('{"type": "say", "text": " hi "}', {"type": "say", "text": "hi"}),
        ('{"type": "name", "name": " a \\n b "}', {"type": "name", "name": "a b"}),
        ("[" * 100_000, None),
    ],
)
def test_what_is_said(message: str, said: dict[str, str] | None) -> None:
    if said is None:
        assert "error" in parse_said(message)
    else:
        assert parse_said(message) == said


@pytest.mark.parametrize(
    "message",
    [
        b"bytes",
        "",
        "   ",
        "{}",
        '{"type": {}}',
        '{"type": "say", "text": 7}',
        '{"type": "name", "name": "%s"}' % ("x" * (MAX_NAME + 1)),
        "x" * (MAX_SAID + 1),
    ],
)
def test_what_cannot_be_said(message: str | bytes) -> None:
    assert parse_said(message)["error"]


def test_json_is_compact_and_not_escaped() -> None:
    assert compact({"a": ["ü", 1]}) == '{"a":["ü",1]}'
