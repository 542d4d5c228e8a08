"""URLs as browsers read them: any text, relative to any other.

Oracle: what ada reads, which is in Node.js, as far as it is about WebSockets; or a "SyntaxError".
``http.uri`` finds the same host and port in it, or refuses it.
"""

# ruff: noqa: PT017
from __future__ import annotations

import ada_url

from duplexer.browser.exceptions import DOMException
from duplexer.browser.url import websocket_url
from duplexer.errors import InvalidURI
from duplexer.http.uri import parse_uri

SCHEMES = ("ws:", "wss:", "http:", "https:")


def as_ada_reads(text: str, base: str | None) -> str | None:
    """The URL of a WebSocket, or ``None`` if there is none."""
    try:
        if base is not None and ada_url.URL(base).protocol not in SCHEMES:
            return None
        href = str((ada_url.URL(text) if base is None else ada_url.URL(text, base)).href)
    except ValueError:
        return None
    if not href.startswith(SCHEMES) or "#" in href:
        return None
    return href.replace("http", "ws", 1) if href.startswith("http") else href


def target(data: bytes) -> None:
    text, nul, after = data.decode("utf-8", "replace").partition("\x00")
    base = after if nul else None
    try:
        record = websocket_url(text, base)
    except DOMException as error:
        assert error.name == "SyntaxError" and error.message
        assert as_ada_reads(text, base) is None
        return
    assert as_ada_reads(text, base) == record.href
    assert websocket_url(record.href) == record
    try:
        uri = parse_uri(record.address)
    except InvalidURI:
        return
    assert uri.host == record.host.strip("[]")
    assert uri.port == (record.port or (443 if record.scheme == "wss" else 80))
