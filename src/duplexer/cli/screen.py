"""What is printed above the line that the user edits, in their terminal."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from typing import TYPE_CHECKING

from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import create_input
from prompt_toolkit.output import create_output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

if TYPE_CHECKING:
    from prompt_toolkit.input import Input

__all__ = ["MARGIN", "STYLE", "Screen", "open_terminal"]

#: Where the text of an entry begins: after the time and the mark.
MARGIN = " " * 15
MOST_WAITING = 500  #: entries; whoever can wait does so beyond

STYLE = Style.from_dict(
    {
        "time": "ansibrightblack",
        "in": "ansigreen bold",
        "out": "ansicyan bold",
        "note": "ansibrightblack",
        "good": "ansigreen",
        "bad": "ansired",
        "prompt": "ansicyan bold",
        "bottom-toolbar": "noreverse ansibrightblack",
        "auto-suggestion": "ansibrightblack",
    }
)


def open_terminal() -> Input:
    """The terminal's input, which stays in raw mode while something is printed above the line.

    Otherwise a key that is pressed at that moment would be the terminal driver's: Ctrl-D would be
    lost and Ctrl-C would be a signal.
    """
    terminal = create_input()
    terminal.cooked_mode = contextlib.nullcontext  # type: ignore[method-assign]
    return terminal


class Screen:
    """Prints entries in the order in which they come, those that came together in one go.

    The line that is edited is drawn anew after each printing, which is slow: a peer may send
    faster. So messages wait for ``room``, and with them, in the end, the peer.
    """

    def __init__(self) -> None:
        self._output = create_output()
        self._waiting: list[tuple[str, str]] = []
        self._some = asyncio.Event()
        self._room = asyncio.Event()

    def say(self, text: str, style: str = "", mark: str = "·", mark_style: str = "") -> None:
        """Add an entry: time, mark and ``text``, which has to be safe to print."""
        clock = dt.datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
        entry = [("class:time", f"{clock} "), (mark_style, f"{mark} "), (style, f"{text}\n")]
        self._waiting += entry
        self._some.set()

    async def room(self) -> None:
        """Wait while too much has not been printed yet."""
        while len(self._waiting) > MOST_WAITING * 3:
            self._room.clear()
            await self._room.wait()

    async def run(self) -> None:
        """Print what there is to print, until cancelled."""
        while True:
            await self._some.wait()
            await run_in_terminal(self.flush)

    def flush(self) -> None:
        """Print what waits, now; only while no line is edited, or from ``run``."""
        waiting, self._waiting = self._waiting, []
        self._some.clear()
        self._room.set()
        print_formatted_text(self._output, FormattedText(waiting), STYLE)
