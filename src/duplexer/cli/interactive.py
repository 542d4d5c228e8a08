"""``duplexer connect`` on a terminal: a line to edit, and what comes is printed above it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.shortcuts import CompleteStyle

from duplexer.cli.connect import open_connections
from duplexer.cli.outcome import Status
from duplexer.cli.render import duration, escape, hexdump, indent, parse_hex, preview, size
from duplexer.cli.screen import MARGIN, STYLE, Screen, open_terminal
from duplexer.errors import ConnectionClosed, ConnectionClosedOK, close_code_is_sendable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyPressEvent

    from duplexer.cli.connect import Plan

__all__ = ["Conversation", "interact"]

TEXT_SHOWN = 10_000  #: characters of a message
PINGS = 3  #: the least counts: drawing the screen is slower than the network may be
PING_FIRST = 0.5  #: seconds that the first prompt waits for the first pongs
PING_TIMEOUT = 10.0  #: seconds until a missing pong is told
REASON_BYTES = 123  #: RFC 6455 5.5: a control frame has 125 bytes, two are the code

HELP = """\
what you type is sent as a text message; //text sends /text
/binary HEX              send bytes, as in /binary 48 65 6c 6c 6f
/ping                    measure the time to the server and back
/close [CODE [REASON]]   close, with 1000 unless you say otherwise
/info                    address, subprotocol, extensions, counts
/help                    this
Ctrl-D                   close and leave; up and down recall what you typed"""


@dataclasses.dataclass(slots=True)
class Counts:
    """What went over the connection so far."""

    sent: int = 0
    received: int = 0
    since: float = dataclasses.field(default_factory=time.monotonic)


class CommandCompleter(Completer):
    """Completes the name of a command with the tab key."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted(names)

    def get_completions(
        self, document: Document, _complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Names that begin with what is typed, when that begins with a slash."""
        typed = document.text_before_cursor
        if typed.startswith("/"):
            for name in self._names:
                if name.startswith(typed):
                    yield Completion(name, start_position=-len(typed))


def message_lines(message: str | bytes) -> str:
    """How a message is shown; safe to print."""
    if isinstance(message, str):
        return indent(preview(message, TEXT_SHOWN), MARGIN) or "(empty text)"
    rows = [f"binary, {size(len(message))}", *hexdump(message)]
    return f"\n{MARGIN}".join(rows)


def parse_close(argument: str) -> tuple[int, str]:
    """``CODE REASON`` of ``/close``; raises ``ValueError`` that says what is wrong."""
    code_text, _, reason = argument.strip().partition(" ")
    code_text = code_text or "1000"
    if not code_text.isascii() or not code_text.isdigit():
        raise ValueError(f"'{escape(code_text)}' is not a number: /close CODE REASON")
    code = int(code_text)
    if not close_code_is_sendable(code):
        raise ValueError(
            f"{code} cannot be sent: 1000 to 1003, 1007 to 1014 and 3000 to 4999 can (RFC 6455 7.4)"
        )
    reason = reason.strip()
    if len(reason.encode()) > REASON_BYTES:
        raise ValueError(f"the reason takes {len(reason.encode())} bytes, {REASON_BYTES} at most")
    return code, reason


def history_of(plan: Plan) -> History:
    """The history: a file of the user's own, readable by nobody else, or memory only."""
    if not plan.history:
        return InMemoryHistory()
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(base) / "duplexer" / "history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


class Conversation:
    """One interactive run."""

    def __init__(self, plan: Plan, ws: Any, others: AsyncGenerator[Any, None]) -> None:
        self._plan = plan
        self._ws = ws
        self._others = others  # those that follow when it is lost, with --retry
        self._counts = Counts()
        self._closed_by_user = False
        self._screen = Screen()
        self._latency = 0.0
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._pings: set[asyncio.Future[None]] = set()
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "/binary": self._binary,
            "/close": self._close,
            "/help": self._help,
            "/info": self._info,
            "/ping": self._ping,
        }

    async def run(self) -> int:
        """Talk until one side closes; the exit status."""
        self._screen.say(f"connected to {escape(self._plan.uri)}; /help for help", "class:good")
        receiving = asyncio.ensure_future(self._receive())
        # Measured before the screen is drawn for the first time, unless it takes long.
        await asyncio.wait({self._start_ping()}, timeout=PING_FIRST)
        printing = asyncio.ensure_future(self._screen.run())
        typing = asyncio.ensure_future(self._type())
        working = asyncio.ensure_future(self._work())
        tasks: set[asyncio.Future[Any]] = {receiving, typing, working, printing}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if not receiving.done():  # the user leaves
                self._closed_by_user = True
                working.cancel()
                await self._ws.close()
            closed = await receiving
        finally:
            tasks |= self._pings
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._screen.flush()
        return self._tell_end(closed)

    # -- the server's side -----------------------------------------------------------------------

    async def _receive(self) -> ConnectionClosed:
        while True:
            closed = await self._receive_from_one()
            if self._closed_by_user or not self._plan.goes_on(closed):
                return closed
            self._screen.say(indent(self._ws.explain(), MARGIN), "class:bad")
            self._screen.say("connecting again", "class:note")
            self._ws = await anext(self._others)
            self._counts.since = time.monotonic()
            self._screen.say(f"connected to {escape(self._plan.uri)}", "class:good")

    async def _receive_from_one(self) -> ConnectionClosed:
        try:
            while True:
                message = await self._ws.recv()
                self._counts.received += 1
                if not self._closed_by_user:
                    self._screen.say(message_lines(message), mark="<", mark_style="class:in")
                    await self._screen.room()
        except ConnectionClosed as closed:
            return closed

    def _tell_end(self, closed: ConnectionClosed) -> int:
        proper = isinstance(closed, ConnectionClosedOK) or self._closed_by_user
        style = "class:good" if proper else "class:bad"
        self._screen.say(indent(self._ws.explain(), MARGIN), style)
        self._screen.flush()
        return Status.OK if proper else Status.CLOSED

    # -- the user's side -------------------------------------------------------------------------

    def _session(self) -> PromptSession[str]:
        return PromptSession(
            FormattedText([("class:prompt", "> ")]),
            history=history_of(self._plan),
            auto_suggest=AutoSuggestFromHistory(),
            completer=CommandCompleter(self._commands),
            complete_style=CompleteStyle.READLINE_LIKE,
            complete_while_typing=False,
            bottom_toolbar=self._toolbar,
            refresh_interval=1.0,
            key_bindings=self._keys(),
            style=STYLE,
            input=open_terminal(),
        )

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _(event: KeyPressEvent) -> None:
            """Take the line and go on: a prompt that ended here would miss keys until the next."""
            buffer = event.current_buffer
            self._lines.put_nowait(buffer.text)
            buffer.append_to_history()
            buffer.reset()

        @keys.add("c-c")
        def _(event: KeyPressEvent) -> None:
            """Clear the line; on an empty one leave, as Ctrl-D does."""
            if event.current_buffer.text:
                event.current_buffer.reset()
            else:
                event.app.exit(exception=EOFError)

        return keys

    def _toolbar(self) -> FormattedText:
        parts = [
            escape(self._plan.uri),
            f"latency {duration(self._latency) if self._latency else '…'}",
            f"sent {self._counts.sent}, received {self._counts.received}",
            f"open {duration(time.monotonic() - self._counts.since)}",
        ]
        return FormattedText([("class:bottom-toolbar", " · ".join(parts))])

    async def _type(self) -> None:
        """Let the user edit lines until they leave."""
        with contextlib.suppress(EOFError):
            await self._session().prompt_async()

    async def _work(self) -> None:
        """Do what the lines say, one after the other."""
        while True:
            try:
                await self._do(await self._lines.get())
            except ConnectionClosed:  # the receiving side tells
                if self._plan.retry is not None and not self._closed_by_user:
                    self._screen.say("not sent: the connection is lost", "class:bad")

    async def _do(self, line: str) -> None:
        if not line:
            return
        if line.startswith("/") and not line.startswith("//"):
            name, _, argument = line.partition(" ")
            command = self._commands.get(name)
            if command is None:
                self._screen.say(
                    f"there is no command {escape(name)}; /help lists them, "
                    f"and /{escape(name)} sends it as a message",
                    "class:bad",
                )
            else:
                await command(argument)
            return
        await self._send(line.removeprefix("/") if line.startswith("//") else line)

    async def _send(self, message: str | bytes) -> None:
        await self._ws.send(message)
        self._counts.sent += 1
        self._screen.say(message_lines(message), mark=">", mark_style="class:out")

    # -- commands --------------------------------------------------------------------------------

    async def _binary(self, argument: str) -> None:
        try:
            data = parse_hex(argument)
        except ValueError as error:
            self._screen.say(f"{error}; nothing is sent", "class:bad")
            return
        await self._send(data)

    async def _close(self, argument: str) -> None:
        try:
            code, reason = parse_close(argument)
        except ValueError as error:
            self._screen.say(str(error), "class:bad")
            return
        self._closed_by_user = True
        await self._ws.close(code, reason)

    async def _help(self, _argument: str) -> None:
        self._screen.say(indent(HELP, MARGIN))

    async def _info(self, _argument: str) -> None:
        names = ", ".join(extension.name for extension in self._ws.extensions) or "none"
        peer = self._ws.remote_address
        lines = (
            f"address       {self._plan.uri}",
            f"peer          {' port '.join(map(str, peer[:2])) if peer else 'gone'}",
            f"subprotocol   {self._ws.subprotocol or 'none'}",
            f"extensions    {names}",
            f"messages      {self._counts.sent} sent, {self._counts.received} received",
        )
        self._screen.say(indent("\n".join(lines), MARGIN))

    async def _ping(self, _argument: str) -> None:
        self._start_ping()

    def _start_ping(self) -> asyncio.Future[None]:
        task = asyncio.ensure_future(self._measure())
        self._pings.add(task)
        task.add_done_callback(self._pings.discard)
        return task

    async def _measure(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            try:
                async with asyncio.timeout(PING_TIMEOUT):
                    times = [await (await self._ws.ping()) for _ in range(PINGS)]
            except TimeoutError:
                self._screen.say(f"no pong after {PING_TIMEOUT:g} s", "class:bad")
            else:
                self._latency = min(times)
                self._screen.say(
                    f"pong after {duration(self._latency)}, least of {PINGS}", "class:note"
                )


async def interact(plan: Plan) -> int:
    """Run ``duplexer connect`` on a terminal; the exit status."""
    source = open_connections(plan)
    async with contextlib.aclosing(source):
        ws = await anext(source)
        with patch_stdout():
            return await Conversation(plan, ws, source).run()
