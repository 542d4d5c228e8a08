"""Connections that are finished between two messages: what is decided when.

What comes of that on every front is in tests/contract/test_leaving.py; beside the decisions there
is here what only asyncio has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.asyncio.connection import Listener
from duplexer.driver.finishing import Finishing
from duplexer.errors import ConnectionClosed
from duplexer.limits import Limits
from tests.unit.asyncio.conftest import Serving

PATIENCE = 20.0
QUICK = Limits(handler_timeout=0.05, close_timeout=0.05)


class Connection(Finishing):
    """A connection that writes down what it is told."""

    def __init__(self, *, waiting: int = 0, serial: int = 1, opcode: int = 0) -> None:
        assembler = SimpleNamespace(serial=serial, opcode=opcode, deaf=False)
        inbox = SimpleNamespace(count=waiting)
        self.session: Any = SimpleNamespace(is_open=True, assembler=assembler, inbox=inbox)
        self.streaming: Any = None
        self.receives = False
        self.told: list[Any] = []

    def is_receiving(self) -> bool:
        return self.receives

    def take_no_more(self) -> None:
        self.told.append("take no more")

    def start_close(self, *close: Any) -> None:
        self.session.is_open = False
        self.told.append(close)


def test_who_waits_for_a_message_is_closed_at_once() -> None:
    ws = Connection()
    ws.receives = True
    ws.finish()
    assert ws.told == [(1012, "")] and ws.session.assembler.deaf


def test_who_has_never_had_a_message_is_closed_at_once() -> None:
    ws = Connection(serial=0)
    ws.finish(1001, "bye")
    assert ws.told == [(1001, "bye")]


def test_who_is_at_work_is_closed_when_it_asks_for_more() -> None:
    ws = Connection()
    assert not ws.finish_between()  # nobody wants that
    ws.finish()
    assert ws.told == ["take no more"]
    assert ws.finish_between()
    assert ws.told == ["take no more", (1012, "")]
    assert not ws.finish_between()


def test_what_waits_is_handled_first() -> None:
    ws = Connection(waiting=1)
    ws.receives = True  # and has not taken it yet
    ws.finish()
    assert ws.told == ["take no more"]


def test_several_at_work() -> None:
    ws = Connection()
    ws.receives, ws.at_work = True, 2
    ws.finish()
    assert not ws.finish_between()
    ws.at_work = 0
    ws.finish(1012, "")  # as Lanes does
    assert ws.told == ["take no more", (1012, "")]


def test_a_message_in_pieces_is_waited_for() -> None:
    ws = Connection(opcode=1)
    ws.streaming = object()
    ws.receives = True
    ws.finish()
    assert ws.told == []
    ws.streaming, ws.session.assembler.opcode, ws.receives = None, 0, False
    ws.look_again()  # as Pieces do
    assert ws.told == ["take no more"]


def test_what_is_no_connection_is_closed_as_ever() -> None:
    ws = Connection()
    ws.session.is_open = False
    ws.finish()
    assert ws.told == [(1012, "")]
    with pytest.raises(ValueError, match="must not be sent"):
        ws.finish(1006)


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - nothing tells of these
            await asyncio.sleep(0)


async def until_closed(ws: Any) -> Any:
    try:
        while True:
            yield await asyncio.wait_for(ws.recv(), PATIENCE)
    except ConnectionClosed:
        return


async def test_a_listener(serving: Serving) -> None:
    heard = []

    class Echo(Listener):
        def on_message(self, ws: Any, message: Any) -> None:
            heard.append(message)
            ws.send_nowait(message)

    async with serving(Echo) as (server, uri), connect(uri, proxy=None) as ws:
        await ws.send("1")
        assert await ws.recv() == "1"
        (connection,) = server.connections
        connection.finish(1012, "")
        await ws.send("2")  # it has not read our Close yet
        assert [message async for message in until_closed(ws)] == []
        assert ws.close_code == 1012
        assert heard == ["1"]


async def test_a_handler_that_does_not_end_is_cancelled(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    cancelled = []

    async def stubborn(ws: Any) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(ws)
            raise

    for leave in ("close", "drain"):
        async with serving(stubborn, limits=QUICK) as (server, uri):
            ws = await connect(uri, proxy=None)
            if leave == "close":
                server.close()
                await asyncio.wait_for(server.wait_closed(), PATIENCE)
            else:
                await asyncio.wait_for(server.drain(0.0), PATIENCE)
            await ws.wait_closed()
    assert len(cancelled) == 2
    assert "Limits.handler_timeout" in caplog.text


async def test_nor_is_one_waited_for_that_does_not_take_that(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    release = asyncio.Event()

    async def defiant(ws: Any) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with serving(defiant, limits=QUICK) as (server, uri):
        ws = await connect(uri, proxy=None)
        server.close()
        await asyncio.wait_for(server.wait_closed(), PATIENCE)
        assert "handlers have not finished: <ServerConnection" in caplog.text
        release.set()
        await ws.wait_closed()
        await until(lambda: not server.connections)


async def test_serve_forever_ends(serving: Serving) -> None:
    async with serving() as (server, _):
        forever = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        await asyncio.wait_for(server.drain(), PATIENCE)
        await asyncio.wait_for(forever, PATIENCE)
