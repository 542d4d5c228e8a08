"""Cookies of a client's handshake (RFC 6265), kept in a jar of :mod:`http.cookiejar`.

The jar's policy decides. For it ``ws`` is ``http`` and ``wss`` is ``https``, so that cookies of a
web page and of its WebSocket are the same, and what is ``Secure`` goes over TLS alone.
"""

from __future__ import annotations

import email.message
import urllib.request
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

    from duplexer.http.headers import Headers
    from duplexer.http.uri import URI

__all__ = ["cookie_header", "store_cookies"]


class _Answer:
    """As much of ``http.client.HTTPResponse`` as a jar looks at."""

    def __init__(self, headers: Headers) -> None:
        self._message = email.message.Message()
        for name in ("Set-Cookie", "Set-Cookie2"):
            for value in headers.get_all(name):
                self._message[name] = value

    def info(self) -> email.message.Message:
        return self._message


def _request(uri: URI) -> urllib.request.Request:
    scheme = "https" if uri.secure else "http"
    # Never opened: it is how a jar wants to be told what is asked for.
    return urllib.request.Request(  # noqa: S310
        f"{scheme}://{uri.host_header}{uri.resource_name}"
    )


def cookie_header(jar: CookieJar, uri: URI) -> str | None:
    """The value of ``Cookie`` for a request to ``uri``; ``None`` if the jar has none for it."""
    request = _request(uri)
    jar.add_cookie_header(request)
    return request.get_header("Cookie")


def store_cookies(jar: CookieJar, uri: URI, headers: Headers) -> None:
    """Put into ``jar`` what the answer to a request to ``uri`` sets."""
    if "Set-Cookie" in headers or "Set-Cookie2" in headers:
        jar.extract_cookies(cast("Any", _Answer(headers)), _request(uri))
