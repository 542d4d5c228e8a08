"""The lines that the command logs, written where they delay nobody."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from duplexer.limits import Limits

__all__ = ["LineHandler", "line_handler"]


def line_handler(stream: TextIO | None, limits: Limits) -> logging.Handler:
    """What writes lines to ``stream``: in a thread, where it is a file of the system's."""
    try:
        return LineHandler(stream, limits)  # type: ignore[arg-type]
    except (AttributeError, OSError, ValueError):  # closed from the beginning, or a program's own
        return logging.StreamHandler(stream)


class LineHandler(logging.Handler):
    """Writes to ``stream`` in a thread of its own, past its buffer.

    A pipe that nobody empties, or a terminal that is held, stops whoever writes to it: here that is
    the thread, and not the event loop. ``Limits.log_lines`` may wait meanwhile; what comes then is
    dropped, and a line says how many were when there is room again. At the end of the process they
    have ``Limits.log_flush_timeout`` to be written.
    """

    def __init__(self, stream: TextIO, limits: Limits) -> None:
        super().__init__()
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding or "utf-8"
        self._most = limits.log_lines
        self._patience = limits.log_flush_timeout
        self._start_anew()

    def _start_anew(self) -> None:
        # In each process: a fork does not take threads along, and what waits the parent writes.
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._unwritten = 0  # of these, and of those that the thread is writing
        self._dropped = 0
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """See :class:`logging.Handler`."""
        try:
            line = f"{self.format(record)}\n"
        except Exception:  # noqa: BLE001 - as all handlers do
            self.handleError(record)
            return
        if self._process != os.getpid():
            self._start_anew()
        with self._changed:
            if self._unwritten >= self._most:
                self._dropped += 1
                return
            self._unwritten += 1
            self._lines.append(line)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="log", daemon=True)
                with contextlib.suppress(RuntimeError):  # there are no more: the next line tries
                    thread.start()
                    self._thread = thread
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._dropped)
                lines, self._lines = self._lines, []
                dropped, self._dropped = self._dropped, 0
                self._unwritten += bool(dropped)  # a line says so
            if dropped:
                lines.append(f"{dropped} lines were dropped: nobody read them (Limits.log_lines)\n")
            with contextlib.suppress(OSError):  # whoever read it has gone
                for line in lines:  # one at a time, or workers would write into each other's
                    self._write(line.encode(self._encoding, "backslashreplace"))
            with self._changed:
                self._unwritten -= len(lines)
                self._changed.notify_all()

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # somebody who has it as well has made it so
                writable = select.poll()  # select() knows no descriptor above 1023
                writable.register(self._descriptor, select.POLLOUT)
                writable.poll()

    def flush(self) -> None:
        """Wait for what was logged to be written, but not for ever."""
        if self._process == os.getpid():
            with self._changed:
                self._changed.wait_for(
                    lambda: not (self._unwritten or self._dropped), self._patience
                )
