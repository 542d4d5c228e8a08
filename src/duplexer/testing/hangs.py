"""A test that hangs is ended, and says what everybody was waiting for.

The end is that of Ctrl-C, which asyncio, trio and plain code all know how to take: tasks are
cancelled, ``finally`` runs, and the test fails with the report in place of a KeyboardInterrupt.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from typing import Self

from duplexer.testing.waiting import report

__all__ = ["Guard", "Hang", "guard"]

#: Seconds between one attempt to end a hanging test and the next.
PATIENCE = 10.0  # more than a close_timeout
#: After so many it is left to hang: the report has been written.
ATTEMPTS = 3


class Hang(TimeoutError):
    """It took too long; the message says who waited for what."""


class Guard:
    """See :func:`guard`. ``hang`` is the report, once there was reason for one."""

    def __init__(self, seconds: float, what: str) -> None:
        if not seconds > 0:
            raise ValueError(f"seconds must be positive, not {seconds}")
        self._seconds = seconds
        self._what = what
        self.hang: str | None = None
        self._finished = threading.Event()
        self._lock = threading.Lock()
        self._target: int | None = None
        self._handler: object = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._target = threading.get_ident()
            if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL, None):
                # As for a process in the background, which need not listen to Ctrl-C.
                self._handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        self._thread = threading.Thread(target=self._watch, name="duplexer-guard", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, exc_type: object, exc: BaseException | None, tb: object) -> None:
        self._leave()
        if self.hang is not None:
            raise Hang(self.hang) from (exc if isinstance(exc, Exception) else None)

    def _leave(self) -> None:
        while True:
            try:
                with self._lock:
                    self._finished.set()
                self._thread.join()
                time.sleep(0)  # an interrupt that is on its way comes now
                break
            except KeyboardInterrupt:
                if self.hang is None:
                    raise
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)  # type: ignore[arg-type]

    def _watch(self) -> None:
        if self._finished.wait(self._seconds):
            return
        try:
            told = report()
        except Exception as exc:  # noqa: BLE001 - whatever it is, the hang must end
            told = f"Who waits for what cannot be told: {exc!r}"
        text = f"{self._what} has not finished within {self._seconds:g} s.\n{told}"
        for attempt in range(ATTEMPTS):
            with self._lock:
                if self._finished.is_set():
                    return
                self.hang = text
                if attempt or self._target is None:
                    _say(text)
                if self._target is not None:
                    _interrupt(self._target)
            if self._finished.wait(PATIENCE):
                return


def _interrupt(thread: int) -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, signal.SIGINT)  # ends a system call that blocks
    else:
        signal.raise_signal(signal.SIGINT)


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.__stderr__, flush=True)


def guard(seconds: float, what: str = "the block") -> Guard:
    """End a ``with`` block that takes longer than ``seconds``: it raises :exc:`Hang`.

    The message of that says what every open connection, task and thread was waiting for. In the
    main thread the block is interrupted as by Ctrl-C: under asyncio and trio, put the guard around
    ``asyncio.run`` or ``trio.run``. In other threads nothing can be interrupted; there the report
    is written to the standard error as soon as the time is up.
    """
    return Guard(seconds, what)
