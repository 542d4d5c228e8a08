"""Printing above the line that is edited."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import DummyInput
from prompt_toolkit.output.vt100 import Vt100_Output

from duplexer.cli.screen import MOST_WAITING, Screen, open_terminal


@pytest.fixture
def written() -> io.StringIO:
    """What comes to the terminal."""
    return io.StringIO()


@pytest.fixture
def screen(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Screen:
    output = Vt100_Output(written, lambda: Size(rows=40, columns=100))
    monkeypatch.setattr("duplexer.cli.screen.create_output", lambda: output)
    return Screen()


def lines(written: io.StringIO) -> list[str]:
    """What a person sees, without the times."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue())
    return [line.partition(" ")[2] for line in text.split("\r\n")[:-1]]


async def test_entries_have_a_time_and_a_mark(screen: Screen, written: io.StringIO) -> None:
    screen.say("one")
    screen.say("two", mark="<")
    assert written.getvalue() == ""
    screen.flush()
    assert lines(written) == ["· one", "< two"]
    assert re.match(r".*\d\d:\d\d:\d\d\.\d{3} ", written.getvalue())


async def test_what_comes_while_it_runs_is_printed(screen: Screen, written: io.StringIO) -> None:
    with create_app_session(input=DummyInput()):
        running = asyncio.ensure_future(screen.run())
        for number in range(MOST_WAITING * 3):
            screen.say(str(number))
            await screen.room()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert len(lines(written)) >= MOST_WAITING
    screen.flush()
    assert lines(written) == [f"· {number}" for number in range(MOST_WAITING * 3)]


async def test_there_is_no_room_until_something_is_printed(screen: Screen) -> None:
    for _ in range(MOST_WAITING + 1):
        screen.say("x")
    waiting = asyncio.ensure_future(screen.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    screen.flush()
    await asyncio.wait_for(waiting, 10)


def test_the_terminal_stays_raw_while_something_is_printed() -> None:
    assert isinstance(open_terminal().cooked_mode(), contextlib.nullcontext)
