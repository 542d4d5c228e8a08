"""Blocks that hang are ended, wherever they hang, and say why."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
import socket
import sys
import threading
from typing import Any

import pytest

from duplexer.testing import hangs
from duplexer.testing.hangs import Hang, guard
from duplexer.testing.links import Link
from duplexer.testing.pairs import connect_to, pair

SOON = 0.05  #: seconds; the blocks below would never end


async def listen(ws: Any) -> None:
    async for _ in ws:
        pass


def test_nothing_happens_to_what_ends() -> None:
    before = signal.getsignal(signal.SIGINT)
    with guard(60) as guarded:
        pass
    assert guarded.hang is None
    with pytest.raises(ZeroDivisionError), guard(60):
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before
    assert not [t for t in threading.enumerate() if t.name == "duplexer-guard"]


def test_asyncio(reporting: Any) -> None:
    reporting("in run: await ws.recv()", "in listen: async for _ in ws:")
    ended = []

    async def run() -> None:
        try:
            async with connect_to(listen) as ws:
                await ws.recv()
        finally:
            ended.append(True)

    with pytest.raises(Hang) as caught, guard(SOON, "the test"):
        asyncio.run(run())
    text = str(caught.value)
    assert text.startswith("the test has not finished within 0.05 s.")
    assert text.count("recv() waits for a message.") == 2
    assert "in run: await ws.recv()" in text and "in listen: async for _ in ws:" in text
    assert ended == [True]


def test_uvloop(reporting: Any) -> None:
    reporting("recv() waits")
    uvloop: Any = pytest.importorskip("uvloop", reason="needs uvloop")

    async def run() -> None:
        async with pair() as (client, _):
            await client.recv()

    with pytest.raises(Hang, match="recv\\(\\) waits"), guard(SOON):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())


def test_trio(reporting: Any) -> None:
    reporting("in wait_here: await trio.sleep_forever")
    trio: Any = pytest.importorskip("trio", reason="needs trio")

    async def wait_here() -> None:
        await trio.sleep_forever()

    with pytest.raises(Hang, match=r"in wait_here: await trio\.sleep_forever"), guard(SOON):
        trio.run(wait_here)


def test_blocking_calls(reporting: Any) -> None:
    reporting("ours.recv")
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(Hang, match=r"ours\.recv"), guard(SOON):
        ours.recv(1)


def test_an_error_on_the_way_out_is_its_cause(reporting: Any) -> None:
    reporting("create_future()")

    async def run() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise ZeroDivisionError from None

    with pytest.raises(Hang) as caught, guard(SOON):
        asyncio.run(run())
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_state_of_the_link_is_part_of_it(reporting: Any) -> None:
    reporting("in run: await server.recv()")

    async def run() -> None:
        link = Link()
        async with pair(link=link) as (client, server):
            link.stall()
            await client.send("x")
            await server.recv()

    with pytest.raises(Hang, match="stalled: 7 bytes"), guard(SOON):
        asyncio.run(run())


def test_it_ends_though_nothing_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hangs, "report", lambda: 1 / 0)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(Hang, match="ZeroDivisionError"), guard(SOON):
        ours.recv(1)


def test_ctrl_c_is_still_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), guard(60):
        signal.raise_signal(signal.SIGINT)


def test_where_ctrl_c_is_ignored(reporting: Any) -> None:
    """As in a process that a shell has started in the background."""
    reporting("ours.recv")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(Hang), guard(SOON):
            ours.recv(1)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_is_not_interrupted_but_told_of(
    monkeypatch: pytest.MonkeyPatch, reporting: Any
) -> None:
    reporting("in work: release.wait()")
    said: list[str] = []
    release = threading.Event()
    caught: list[Hang] = []

    def say(text: str) -> None:
        said.append(text)
        release.set()

    def work() -> None:
        try:
            with guard(SOON, "the work"):
                release.wait()
        except Hang as exc:
            caught.append(exc)

    monkeypatch.setattr(hangs, "_say", say)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == [str(caught[0])] and "in work: release.wait()" in said[0]


def test_what_is_said_goes_where_nobody_captures_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", stream)
    hangs._say("what it was")
    monkeypatch.setattr(sys, "__stderr__", None)
    hangs._say("there is nowhere to say it")
    assert stream.getvalue() == "what it was\n"


def test_who_does_not_let_go_is_interrupted_again(
    monkeypatch: pytest.MonkeyPatch, reporting: Any
) -> None:
    reporting("ours.recv")
    monkeypatch.setattr(hangs, "PATIENCE", 0.05)
    said: list[str] = []
    monkeypatch.setattr(hangs, "_say", said.append)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(Hang), guard(SOON):
        with contextlib.suppress(KeyboardInterrupt):
            ours.recv(1)
        ours.recv(1)
    assert "ours.recv" in said[0]


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="positive"):
        guard(0)
