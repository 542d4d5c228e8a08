"""Addresses of any text: of servers and of proxies.

Oracle: an address that can be sent, or InvalidURI (InvalidProxy); parsing what it says of itself
gives the same address.
"""

# ruff: noqa: PT017
from __future__ import annotations

from duplexer.errors import InvalidProxy, InvalidURI
from duplexer.http.uri import parse_uri
from duplexer.proxies.address import parse_proxy


def server(text: str) -> None:
    try:
        uri = parse_uri(text)
    except InvalidURI as error:
        assert str(error)
        return
    assert uri.host and uri.host.isascii() and 1 <= uri.port <= 65535
    assert uri.resource_name.isascii() and uri.resource_name.startswith("/")
    assert not set(uri.resource_name) & set(" #\r\n\t")
    again = parse_uri(str(uri))
    assert (again.secure, again.port, again.resource_name) == (
        uri.secure,
        uri.port,
        uri.resource_name,
    )
    assert again.host == uri.host.partition("%")[0]  # a zone is not for others


def proxy(text: str) -> None:
    try:
        address = parse_proxy(text)
    except InvalidProxy as error:
        assert str(error)
        return
    assert address.host and 1 <= address.port <= 65535
    assert (address.username is None) is (address.password is None)


def target(data: bytes) -> None:
    if not data:
        return
    text = data[1:].decode("utf-8", "surrogateescape")
    (proxy if data[0] & 1 else server)(text)
