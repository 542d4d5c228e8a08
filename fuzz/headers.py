"""Values of headers that are lists, credentials or hosts, one parser a first byte.

Oracle: a value, or the parser's own error; what was parsed and is built again parses to the same.
"""

# ruff: noqa: PT017
from __future__ import annotations

from duplexer.errors import InvalidHeader
from duplexer.http.headers import (
    Headers,
    build_authorization_basic,
    build_extension,
    build_subprotocol,
    is_token,
    is_valid_value,
    parse_authorization_basic,
    parse_connection,
    parse_extension,
    parse_subprotocol,
    parse_upgrade,
    valid_host,
)


def lists(which: int, text: str) -> None:
    parse = (parse_connection, parse_upgrade, parse_subprotocol)[which]
    items = parse(text)
    assert items and all(items)
    if which == 2:
        assert parse_subprotocol(build_subprotocol(items)) == items


def extensions(text: str) -> None:
    items = parse_extension(text)
    assert items
    for name, parameters in items:
        assert is_token(name)
        for parameter, value in parameters:
            assert is_token(parameter) and (value is None or is_token(value))
    assert parse_extension(build_extension(items)) == items


def credentials(text: str) -> None:
    pair = parse_authorization_basic(text)
    assert parse_authorization_basic(build_authorization_basic(*pair)) == pair


def target(data: bytes) -> None:
    if not data:
        return
    which, text = data[0] % 7, data[1:].decode("latin-1")
    try:
        if which < 3:
            lists(which, text)
        elif which == 3:
            extensions(text)
        elif which == 4:
            credentials(text)
        elif which == 5:
            assert valid_host(text) in (True, False)
        else:
            name, _, value = text.partition(":")
            try:
                headers = Headers([(name, value)])
            except ValueError:
                assert not is_token(name) or not is_valid_value(value.strip(" \t"))
            else:
                assert headers.serialize().count(b"\r\n") == 2
    except InvalidHeader as error:
        assert len(str(error)) < 1000 + 4 * len(text)
