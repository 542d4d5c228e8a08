"""The process that starts workers, replaces those that end, and hears the signals.

It runs no event loop and no code of the user's, so that nothing but a signal ends it. To each
worker it has a channel, a pair of sockets, on which a byte is a word::

    worker → supervisor    R  it serves
    supervisor → worker    D  drain, as all do; S  stop; H  hand over: drain, there is a successor
                           B  a socket comes along: one more worker on the bus

Of a place's listening sockets its workers have a copy, and the supervisor until all are to leave:
once they have closed theirs the port is free, and nobody connects to where nobody accepts.

When the channel ends the other side has ended: no worker outlives its supervisor for long.

    SIGTERM  workers drain          SIGHUP  workers are replaced, one place after the other
    SIGINT   workers stop           either of the first two again: everything ends at once
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import math
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from duplexer.limits import Limits
from duplexer.workers.restarts import Restarts
from duplexer.workers.sockets import notify

__all__ = ["Supervisor", "exit_status"]

#: What a worker runs: it is given the number of its place, its channel and its own number; gives
#: its exit status. Of a place there are two while one replaces the other, of a number there is one.
Work = Callable[[int, socket.socket, int], int]


@dataclasses.dataclass(eq=False, slots=True)
class Worker:
    """One process."""

    place: int
    number: int
    pid: int
    channel: socket.socket
    started: float
    late: float  # when it is killed if it does not serve yet
    ready: bool = False
    told: bool = False  # to leave
    replaces: Worker | None = None


class Supervisor:
    """Keeps ``places`` workers running until it is told to stop."""

    def __init__(
        self,
        work: Work,
        places: int,
        limits: Limits,
        *,
        sockets: Sequence[Sequence[socket.socket]] = (),
        patience: float | None = None,
        on_ready: Callable[[], None] = lambda: None,
        on_reload: Callable[[], None] = lambda: None,
        changed: Callable[[], bool] | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        """``sockets``: of each place those that it listens on. ``patience``: seconds in which
        workers that are told to leave have left; ``None`` if nothing bounds it.

        ``on_ready`` is called when all workers serve for the first time, ``on_reload`` before they
        are replaced; ``changed`` is asked every half second whether they are to be.
        """
        self._work = work
        self._sockets = sockets
        self._patience = patience
        self._on_ready = on_ready
        self._on_reload = on_reload
        self._changed = changed
        self._logger = logger or logging.getLogger("duplexer.workers")
        self._limits = limits
        self._workers: list[Worker] = []
        self._restarts = [Restarts(limits) for _ in range(places)]
        self._due: dict[int, float] = {}  # place → when its worker is to be started
        self._rolling: list[int] = []  # places that wait for a new worker in place of the old one
        self._signals: list[int] = []
        self._was_ready = False
        self._stopping = False
        self._deadline: float | None = None
        self._status = 0
        self._selector: Any = None

    # -- running ---------------------------------------------------------------------------------

    def run(self) -> int:
        """Run until all workers have left; the exit status. To be called in the main thread."""
        self._selector = selectors.DefaultSelector()
        with self._listening_to_signals(), self._selector:
            self._start(0)  # if that one cannot, the others need not try
            while self._workers or self._due:
                self._turn()
        return self._status

    @contextlib.contextmanager
    def _listening_to_signals(self) -> Iterator[None]:
        inner, outer = socket.socketpair()
        for end in (inner, outer):
            end.setblocking(False)
        heard = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD]
        before = {number: signal.getsignal(number) for number in heard}
        woken = signal.set_wakeup_fd(outer.fileno(), warn_on_full_buffer=False)
        for number in heard:
            signal.signal(number, lambda number, _: self._signals.append(number))
        self._selector.register(inner, selectors.EVENT_READ)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            inner.close()
            outer.close()

    def _turn(self) -> None:
        wait = self._wait()
        if self._changed is not None:
            wait = 0.5 if wait is None else min(wait, 0.5)
        for key, _ in self._selector.select(wait):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    key.fileobj.recv(4096)
            else:
                self._hear(key.data)
        signals, self._signals = self._signals, []
        for number in signals:
            self._on_signal(number)
        self._reap()
        now = time.monotonic()
        for place in [place for place, due in self._due.items() if due <= now]:
            del self._due[place]
            self._start(place)
        if self._deadline is not None and now >= self._deadline:
            self._logger.error(
                "workers did not leave in time and are killed (Limits.worker_stop_timeout)"
            )
            self._kill()
            self._status = self._status or 1
            self._deadline = None
        self._kill_those_that_do_not_start()
        if self._changed is not None and not self._stopping and self._changed():
            self._reload()
        self._roll()

    def _wait(self) -> float | None:
        """Seconds until there is something to do, if nothing happens."""
        dues = [*self._due.values(), *(each.late for each in self._workers if not each.ready)]
        if self._deadline is not None:
            dues.append(self._deadline)
        soonest = min(dues, default=math.inf)
        return None if soonest == math.inf else max(0.0, soonest - time.monotonic())

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            return
        if number == signal.SIGHUP and not _terminal_is_gone():
            self._reload()
            return
        if self._stopping:
            self._status = 128 + number
            self._kill()
            return
        self._stop(b"S" if number == signal.SIGINT else b"D")

    # -- workers ---------------------------------------------------------------------------------

    def _start(self, place: int, replaces: Worker | None = None) -> None:
        try:
            with contextlib.ExitStack() as failed:
                ours, theirs = socket.socketpair()
                failed.callback(ours.close)
                failed.callback(theirs.close)
                self._fork(place, ours, theirs, replaces)
                failed.pop_all()
        except OSError as error:  # no descriptor, process or memory: there may be one in a moment
            if replaces is not None:
                self._logger.error("no new worker, the old ones go on: %s", error)
                self._rolling.clear()
                return
            delay = self._restarts[place].delay(0.0)
            self._logger.error("no worker can be started, next try in %g s: %s", delay, error)
            self._due[place] = time.monotonic() + delay

    def _fork(
        self, place: int, ours: socket.socket, theirs: socket.socket, replaces: Worker | None
    ) -> None:
        ours.setblocking(False)
        for other in self._workers:  # the new one finds its way to them when it looks
            one, two = socket.socketpair()
            if _tell(other.channel, b"B", one):
                _tell(ours, b"B", two)
            one.close()
            two.close()
        for stream in (sys.stdout, sys.stderr):  # or the worker writes what is in them again
            with contextlib.suppress(OSError):
                stream.flush()
        taken = {each.number for each in self._workers}
        number = next(number for number in itertools.count() if number not in taken)
        # What is sent to it before it hears for itself waits, in place of being taken for ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            pid = os.fork()
            if not pid:
                self._become_worker(place, theirs, number, ours)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        theirs.close()
        now = time.monotonic()
        patience = self._limits.worker_start_timeout
        late = math.inf if patience is None else now + patience
        worker = Worker(place, number, pid, ours, now, late, replaces=replaces)
        self._workers.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _become_worker(
        self, place: int, channel: socket.socket, number: int, ours: socket.socket
    ) -> None:
        status = 70
        try:
            signal.set_wakeup_fd(-1)
            for told in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(told, signal.SIG_DFL)
            for told in (signal.SIGINT, signal.SIGHUP):  # of a terminal: the supervisor's affair
                signal.signal(told, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            ours.close()
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()
            self._selector.close()
            self._close_sockets(but=place)
            status = self._work(place, channel, number)
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 1
        except BaseException:  # whatever it was, it must not go on as a second supervisor
            self._logger.exception("a worker failed")
        finally:
            with contextlib.suppress(Exception):
                logging.shutdown()  # what its handlers hold
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def _hear(self, worker: Worker) -> None:
        try:
            words = worker.channel.recv(64)
        except BlockingIOError:
            return
        except OSError:
            words = b""
        if not words:  # it ends: waitpid() is going to say so
            self._selector.unregister(worker.channel)
            worker.channel.close()
            return
        if b"R" in words:
            self._on_worker_ready(worker)

    def _on_worker_ready(self, worker: Worker) -> None:
        worker.ready = True
        if worker.replaces is not None:
            self._tell_to_leave(worker.replaces, b"H")
            worker.replaces = None
        places = {each.place for each in self._workers} | set(self._due)
        for place in range(len(self._restarts)):
            if place not in places and not self._stopping:
                self._start(place)
        if not self._was_ready and self._serving_places() == len(self._restarts):
            self._was_ready = True
            self._on_ready()
            notify("READY=1")

    def _serving_places(self) -> int:
        return len({each.place for each in self._workers if each.ready and not each.told})

    def _reap(self) -> None:
        for worker in list(self._workers):
            try:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = worker.pid, 0
            if pid:
                self._workers.remove(worker)
                if worker.channel.fileno() >= 0:
                    self._selector.unregister(worker.channel)
                    worker.channel.close()
                self._on_worker_end(worker, status)

    def _on_worker_end(self, worker: Worker, status: int) -> None:
        successor = None
        for other in self._workers:
            if other.replaces is worker:
                other.replaces = None
                successor = other
        if worker.told or self._stopping:
            return
        if worker.replaces is not None:
            self._logger.error(
                "the new worker %s before it served: the old ones go on", exit_status(status)
            )
            self._rolling.clear()
            return
        if not worker.ready and not self._was_ready and not self._serving_places():
            self._status = os.waitstatus_to_exitcode(status) or 1
            self._status = self._status if self._status > 0 else 128 - self._status
            self._stop(b"S")
            return
        if successor is not None:
            self._logger.error(
                "worker %d %s: its successor is starting already", worker.pid, exit_status(status)
            )
            return
        delay = self._restarts[worker.place].delay(time.monotonic() - worker.started)
        self._logger.error(
            "worker %d %s: it is replaced%s",
            worker.pid,
            exit_status(status),
            f" in {delay:g} s" if delay else "",
        )
        self._due[worker.place] = time.monotonic() + delay

    # -- leaving and reloading ---------------------------------------------------------------------

    def _tell_to_leave(self, worker: Worker, how: bytes) -> None:
        worker.told = True
        _tell(worker.channel, how)

    def _give_up(self, worker: Worker, how: bytes) -> None:
        """End one that was not ready; if it is by now it leaves as the others do."""
        self._tell_to_leave(worker, how)
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGTERM)

    def _kill_those_that_do_not_start(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if not worker.ready and now >= worker.late:
                worker.late = math.inf
                self._logger.error(
                    "worker %d does not serve after %g s and is killed "
                    "(Limits.worker_start_timeout)",
                    worker.pid,
                    now - worker.started,
                )
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)

    def _stop(self, how: bytes) -> None:
        notify("STOPPING=1")
        self._stopping = True
        self._due.clear()
        self._rolling.clear()
        self._close_sockets()  # first: the last of a worker's is to find it closed by us
        for worker in self._workers:
            leave = self._tell_to_leave if worker.ready else self._give_up
            leave(worker, how)
        if self._patience is not None:
            allowed = self._patience + self._limits.worker_stop_timeout
            self._deadline = time.monotonic() + allowed

    def _close_sockets(self, but: int | None = None) -> None:
        kept = () if but is None or not self._sockets else self._sockets[but]
        for place in self._sockets:
            for sock in place:
                if sock not in kept:
                    sock.close()

    def _kill(self) -> None:
        self._stopping = True
        self._due.clear()
        for worker in self._workers:
            worker.told = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)

    def _reload(self) -> None:
        if self._stopping or not self._was_ready:
            return
        try:
            self._on_reload()
        except Exception as error:  # noqa: BLE001 - the old ones go on
            self._logger.error("not reloaded: %s", error)
            return
        self._rolling = list(range(len(self._restarts)))
        for worker in self._workers:
            if worker.replaces is not None:  # by what is not the newest any more
                worker.replaces = None
                self._give_up(worker, b"H")

    def _roll(self) -> None:
        # One place after the other, so that a mistake in the new code costs nothing.
        if any(not each.ready and not each.told for each in self._workers):
            return
        while self._rolling and not self._stopping:
            place = self._rolling.pop(0)
            for worker in self._workers:
                if worker.place == place and worker.ready and not worker.told:
                    self._start(place, replaces=worker)
                    return


def _tell(channel: socket.socket, word: bytes, sock: socket.socket | None = None) -> bool:
    """Whether it could be said: the worker may have ended, or not have listened for long."""
    try:
        if sock is None:
            channel.send(word)
        else:
            socket.send_fds(channel, [word], [sock.fileno()])
    except OSError:
        return False
    return True


def exit_status(status: int) -> str:
    """A status of ``waitpid()`` in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _terminal_is_gone() -> bool:
    """Whether SIGHUP means what its name says: there was a terminal, and it was closed."""
    import termios

    try:
        fd = sys.stdin.fileno()
        termios.tcgetattr(fd)
    except (termios.error, OSError) as error:
        return bool(error.args and error.args[0] == 5)  # EIO
    except (AttributeError, ValueError):
        return False
    return False
