"""Who waits for what: connections, scripts, tasks and threads, in words.

For the moment when a test hangs: everything is found by looking, so that nothing has to be noted
down while it does not.
"""

from __future__ import annotations

import asyncio
import gc
import linecache
import sys
import threading
from typing import TYPE_CHECKING, Any

from duplexer.core.closing import Phase
from duplexer.driver.base import ConnectionBase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

__all__ = ["Waits", "report", "waiting_for"]

#: Frames above which nothing of the test's is: what runs tests, loops and threads.
_RUNNERS = ("/_pytest/", "/pluggy/", "/threading.py", "/concurrent/futures/")
#: A thread in one of these runs an event loop, whose tasks say more.
_LOOPS = ("/asyncio/base_events.py", "/asyncio/runners.py", "/trio/_core/_run.py")
_OWN = "/duplexer/testing/"
_MOST_FRAMES = 12


class Waits:
    """Something other than a connection that a test may hang on. A subclass says what."""

    def waiting(self) -> str | None:
        """What it waits for; ``None`` if it does not."""
        raise NotImplementedError


# -- connections ---------------------------------------------------------------------------------


def waiting_for(connection: Any) -> str:
    """What a connection and those who use it wait for, as text of a few lines.

    ``connection`` may be one of any front, at any stage of its life.
    """
    lines = [*_opening(connection)] if connection.session is None else [*_open(connection)]
    lines += _under_way(connection)
    if connection.session is not None:
        lines += [
            line
            for line in connection.explain().splitlines()
            if line.startswith(("Last frame", "Nothing was", "Cause:"))
        ]
    return "\n".join(lines)


def _opening(connection: Any) -> Iterator[str]:
    if getattr(connection, "lost", False):
        yield "The connection was lost in the opening handshake."
    elif not connection.is_server:
        yield "Opening handshake: it waits for the server's answer."
    elif connection.request is None:
        yield "Opening handshake: it waits for the client's request."
    else:
        path = connection.request.path
        yield f"Opening handshake: the request for {path} has come, and is being answered."


def _open(connection: Any) -> Iterator[str]:
    session = connection.session
    phase = session.phase
    if connection.lost or phase is Phase.GONE:
        yield "It is closed."
    elif phase is Phase.CLOSE_SENT:
        yield f"Closing handshake: it has sent {session.close_sent}, the peer no Close yet."
    elif phase is Phase.CLOSED_BOTH:
        who = "the peer has to read what is left" if connection.is_server else "the server ends TCP"
        yield f"Closing handshake: both have sent a Close; {who}."
    elif phase is Phase.FAILED:
        yield "It has failed, and waits for the peer to end TCP."
    if connection.lost:
        return
    if connection.is_receiving():
        yield "recv() waits for a message."
    count = session.inbox.count
    if count:
        yield f"{count} messages have come, and nobody calls recv()."
    if getattr(connection, "read_paused", not session.reading):
        yield "Reading is paused until more of them are received."
    buffered = getattr(connection, "buffered_amount", 0)
    if getattr(connection, "write_paused", False):
        yield f"send() waits: {buffered} bytes are buffered, and the peer does not read them."
    elif buffered:
        yield f"{buffered} bytes are buffered."
    if getattr(connection, "closed_waiters", None):
        yield "wait_closed() waits for its end."


def _under_way(connection: Any) -> Iterator[str]:
    # In memory we can see what is in the network.
    carrier = getattr(connection, "transport", None) or getattr(connection, "stream", None)
    flow = getattr(carrier, "_in", None)
    if flow is None:
        return
    if flow.faults.dropping:
        yield "The link drops what is sent to it."
    elif flow.faults.stalled:
        yield f"The link to it is stalled: {flow.size} bytes are under way."
    elif flow.size:
        yield f"{flow.size} bytes are under way to it."


# -- tasks and threads ---------------------------------------------------------------------------


def _line(path: str, number: int, name: str) -> str:
    source = linecache.getline(path, number).strip()
    return f"{path}:{number} in {name}: {source}" if source else f"{path}:{number} in {name}"


#: What stands between a coroutine and what it awaits, and does not tell.
_BETWEEN = frozenset({"async_generator_asend", "async_generator_athrow", "coroutine_wrapper"})


def _coroutine_lines(coroutine: Any) -> Iterator[str]:
    # From the outermost `await` to the innermost one.
    while coroutine is not None:
        if type(coroutine).__name__ in _BETWEEN:
            held = gc.get_referents(coroutine)
            coroutine = next((each for each in held if _frame_and_next(each)), None)
        found = _frame_and_next(coroutine)
        if found is None:
            return
        frame, coroutine = found
        yield _line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def _frame_and_next(coroutine: Any) -> tuple[FrameType, Any] | None:
    for prefix, following in (("cr", "await"), ("gi", "yieldfrom"), ("ag", "await")):
        frame = getattr(coroutine, f"{prefix}_frame", None)
        if frame is not None:
            return frame, getattr(coroutine, f"{prefix}_{following}")
    return None


def _thread_lines(frame: FrameType | None) -> list[str]:
    lines: list[str] = []
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if any(part in path for part in _LOOPS):
            return []
        if any(part in path for part in _RUNNERS):
            if lines or "/threading.py" not in path:
                break
        elif _OWN not in path:
            lines.append(_line(path, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back
    return lines[::-1]


def _tasks(objects: Iterable[Any]) -> Iterator[tuple[str, list[str]]]:
    trio_task: Any = getattr(sys.modules.get("trio.lowlevel"), "Task", None)
    for each in objects:
        if issubclass(type(each), asyncio.Task):
            if not each.done():
                yield each.get_name(), [*_coroutine_lines(each.get_coro())]
        elif trio_task is not None and type(each) is trio_task:
            lines = [*_coroutine_lines(each.coro)]
            if lines and "trio/_core/" not in lines[0].replace("\\", "/"):
                yield each.name, lines


def _threads() -> Iterator[tuple[str, list[str]]]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            lines = _thread_lines(frame)
            if lines:
                yield names.get(ident, str(ident)), lines


# -- all of it -----------------------------------------------------------------------------------


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def report() -> str:
    """What every open connection of this process waits for, its scripts, tasks and threads."""
    objects = gc.get_objects()
    parts = []
    for each in objects:
        kind = type(each)
        if issubclass(kind, ConnectionBase):
            if not getattr(each, "lost", True):
                parts.append(f"{each!r}\n{_indented(waiting_for(each).splitlines())}")
        elif issubclass(kind, Waits):
            text = each.waiting()
            if text is not None:
                parts.append(text)
    if not parts:
        parts.append("No connection is open.")
    for title, rows in (("Task", _tasks(objects)), ("Thread", _threads())):
        for name, lines in rows:
            kept = lines[-_MOST_FRAMES:]
            parts.append(f"{title} {name}\n{_indented(kept)}")
    return "\n".join(parts)
