"""What the constructors share."""

from __future__ import annotations

from typing import Any

import pytest

from duplexer import Limits
from duplexer.browser.exceptions import DOMException
from duplexer.browser.opening import BROWSER_LIMITS, Opening, extensions_of
from duplexer.errors import InvalidURI, NegotiationError
from tests.browser.peers import echo, serving


def opening(url: str = "ws://localhost/", protocols: Any = (), **options: Any) -> Opening:
    return Opening(url, protocols, options, "WebSocket")


def test_any_iterable_of_protocols() -> None:
    assert opening(protocols="a").protocols == ["a"]
    assert opening(protocols=("a", "b")).protocols == ["a", "b"]
    assert opening(protocols=iter("ab")).protocols == ["a", "b"]


def test_limits() -> None:
    assert opening()._connect.limits is BROWSER_LIMITS
    assert opening(max_size=5)._connect.limits == BROWSER_LIMITS.replace(max_message=5)
    limits = Limits(write_hard=5)
    assert opening(limits=limits)._connect.limits is limits


def test_an_address_can_be_any_object() -> None:
    class Address:
        def __str__(self) -> str:
            return "ws://h/"

    assert opening(Address()).url.host == "h"  # type: ignore[arg-type]


def test_a_user_name_with_a_colon() -> None:
    with pytest.raises(DOMException, match="colon"):
        opening("ws://a%3Ab:c@h/")


async def test_connect() -> None:
    async with serving(echo) as url:
        connection = await opening(url).connect()
        assert extensions_of(connection).startswith("permessage-deflate")
        await connection.close()
        connection = await opening(url, compression=None).connect()
        assert extensions_of(connection) == ""
        await connection.close()


async def test_the_server_has_to_choose() -> None:
    async with serving(echo) as url:
        with pytest.raises(NegotiationError, match="none of the protocols a, b"):
            await opening(url, ["a", "b"]).connect()


async def test_an_address_that_nobody_can_have() -> None:
    with pytest.raises(InvalidURI):
        await opening("ws://h:0/").connect()


@pytest.mark.parametrize("found", ["127.0.0.1", None])
async def test_resolver_as_a_function(found: str | None) -> None:
    asked: list[Any] = []

    def resolver(host: str, port: int) -> str | None:
        asked.append((host, port))
        return found

    async with serving(echo) as url:
        connection = await opening(url, resolver=resolver).connect()
        await connection.close()
        assert asked == [("127.0.0.1", int(url[:-1].rpartition(":")[2]))]
