"""Scripts in memory: as servers for a client, as clients for a handler."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from duplexer.errors import ConnectionClosed, ConnectionClosedError, InvalidMessage, InvalidStatus
from duplexer.testing.clock import virtual_clock
from duplexer.testing.links import Link
from duplexer.testing.pairs import connect_to, play
from duplexer.testing.script import (
    ScriptMismatch,
    accept,
    answer,
    close,
    drop,
    expect,
    expect_close,
    expect_pong,
    expect_status,
    ping,
    refuse,
    reset,
    send,
    send_bytes,
    stall,
    wait,
)
from duplexer.testing.waiting import report
from tests.unit.testing.conftest import turns


async def shout(ws: Any) -> None:
    async for message in ws:
        await ws.send(message.upper())


async def test_a_server() -> None:
    script = [expect("hello"), send("world"), ping(b"?"), expect_pong(b"?"), close(4000, "bye")]
    async with connect_to([accept("chat"), *script], subprotocols=["chat"]) as ws:
        assert ws.subprotocol == "chat"
        await ws.send("hello")
        assert await ws.recv() == "world"
        with pytest.raises(ConnectionClosed):
            await ws.recv()
    assert (ws.close_code, ws.close_reason) == (4000, "bye")


async def test_a_client_that_says_something_else() -> None:
    with pytest.raises(ScriptMismatch, match=r"at step 2 of 3: text 'hullo' came") as caught:
        async with connect_to([expect("hello"), send("world")]) as ws:
            await ws.send("hullo")
            await ws.recv()
    assert isinstance(caught.value.__cause__, ConnectionClosedError)
    assert "step 2" in ws.close_reason  # so that the client knows too


async def test_a_client_that_says_nothing() -> None:
    with pytest.raises(ScriptMismatch, match="a Close, 1000 came"):
        async with connect_to([expect("hello")]):
            pass


async def test_an_error_of_the_test_is_its_own() -> None:
    with pytest.raises(ZeroDivisionError):
        async with connect_to([expect_close(1011)]):
            raise ZeroDivisionError


@pytest.mark.parametrize(
    ("step", "cause"), [(reset(), ConnectionResetError), (drop(), type(None))], ids=repr
)
async def test_ends(step: Any, cause: type) -> None:
    async with connect_to([send("last words"), step]) as ws:
        assert await ws.recv() == "last words"
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        assert isinstance(caught.value.__cause__, cause)


async def test_a_server_that_stalls() -> None:
    with virtual_clock() as clock:
        async with connect_to([stall()], ping_interval=20, ping_timeout=20) as ws:
            with pytest.raises(ConnectionClosedError):
                await ws.recv()
            assert 36 <= clock.elapsed <= 41
        async with connect_to([stall()], close_timeout=None):
            pass


async def test_a_server_that_takes_its_time() -> None:
    with virtual_clock() as clock:
        async with connect_to([wait(5), send("at last")]) as ws:
            assert await ws.recv() == "at last"
            assert clock.elapsed == pytest.approx(5)


async def test_a_server_that_refuses() -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connect_to([refuse(503, {"Retry-After": "7"}, "closed")]):
            pass
    response = caught.value.response
    assert (response.status_code, response.headers["Retry-After"]) == (503, "7")
    assert response.body == b"closed"


async def test_a_server_of_something_else() -> None:
    with pytest.raises((InvalidMessage, ScriptMismatch)):
        async with connect_to([answer(b"SSH-2.0-OpenSSH\r\n\r\n"), drop()]):
            pass


async def test_a_script_that_waits_is_part_of_the_report() -> None:
    with contextlib.suppress(ScriptMismatch):
        async with connect_to([expect("hello")]):
            await turns()
            assert "the scripted server is here, waiting:" in report()
            assert "  > expect('hello')" in report()


@pytest.mark.parametrize("split", [None, 1])
async def test_a_client(split: int | None) -> None:
    script = [send("hello"), expect("HELLO"), send_bytes(b"\x81\x80\0\0\0\0"), expect(""), close()]
    await play(script, shout, "/room", link=Link(split=split))


async def test_a_client_that_is_disappointed() -> None:
    with pytest.raises(ScriptMismatch, match="text 'HELLO' came"):
        await play([send("hello"), expect("hello")], shout)


async def test_a_client_that_breaks_the_rules() -> None:
    await play([send_bytes(b"\x81\x01x"), expect_close(1002)], shout)


async def test_hooks_of_the_server_and_headers_of_the_client() -> None:
    def hook(connection: Any, request: Any) -> Any:
        return None if request.headers.get("Authorization") else connection.respond(401, "who?")

    await play([expect_status(401), drop()], shout, process_request=hook)
    await play([close()], shout, process_request=hook, headers={"Authorization": "me"})


async def test_play_ends_when_it_is_cancelled() -> None:
    task = asyncio.create_task(play([expect("never")], shout))
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
