"""The opening of a connection under asyncio: the steps of its handshake, and their deadlines."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from time import monotonic  # uvloop's own clock counts milliseconds: too few for a latency
from typing import TYPE_CHECKING, Any

from duplexer.asyncio.pump import Outlet, Wire
from duplexer.driver.following import call
from duplexer.driver.steps import Call, Overdue, Read, Write

if TYPE_CHECKING:
    from duplexer.asyncio.pump import Pump
    from duplexer.driver.accept import Opener
    from duplexer.driver.steps import Steps
    from duplexer.handshake.negotiate import Agreement
    from duplexer.limits import Limits

__all__ = ["Handshaking"]


class Handshaking(Wire):
    """A connection up to the end of its opening handshake, and its timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, pump: Pump | None) -> None:
        super().__init__(loop, pump)
        self.limits = limits
        self.steps: Steps | None = None
        self.opener: Opener | None = None  # what may make the steps unnecessary
        self._call_task: asyncio.Future[Any] | None = None
        self._call_in_time = False  # whether that has to end with the time for the handshake
        self._early: list[bytes] | None = None
        self._open_due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._stage = -1
        self._parked = False  # requests that were read wait for their answers

    def connection_made(self, transport: Any) -> None:
        """Part of asyncio's Protocol."""
        self.transport = transport
        if isinstance(transport, Outlet):
            self.outlet = transport
        else:
            self.write = getattr(transport, "write_nocheck", None) or transport.write
        transport.set_write_buffer_limits(self.limits.write_high)
        if self.opener is None:
            self._begin()
        else:
            self._stage = 0
            self._expect_until(self.limits.open_timeout)

    def _begin(self) -> int:
        # The steps, up to where they read.
        self.opener = None
        self.steps = self.opening_steps()
        self._advance(None, None)
        return 0

    def opening_steps(self) -> Steps:
        """The steps of the opening handshake; they end in an agreement and what was read beyond."""
        raise NotImplementedError

    def opening_data(self, data: bytes) -> None:
        """Bytes of the opening handshake."""
        if self.opener is not None:
            opened = self.opener.open(self, data, self.is_secure())
            if opened is not None:
                self.opener = None
                self.transport.write(opened[0].response.serialize())
                self._opened(opened)
                return
            self._begin()
        if self._is_answering():
            if self._early is None:
                self._early = []
            self._early.append(data)
            self.transport.pause_reading()  # no more than that is kept
        elif self.steps is not None:
            self._advance(data, None)

    def _is_answering(self) -> bool:
        # What comes has to wait: for what a step called, or for others or the peer (see _park).
        return self._call_task is not None or self._parked

    def _advance(self, value: Any, error: BaseException | None) -> int:
        steps = self.steps
        assert steps is not None
        answers = 0
        try:
            while True:
                step = steps.send(value) if error is None else steps.throw(error)
                value = error = None
                if isinstance(step, Write):
                    self.transport.write(step.data)
                    answers += 1
                    if self.write_paused or answers >= self.limits.frames_per_turn:
                        self._park()
                        return 0
                elif isinstance(step, Read):
                    if not self._early:
                        self._time_limit(step)
                        return 0
                    value = self._early.pop(0)
                else:
                    value = self._call(step)
                    if isawaitable(value):
                        self._await(value, step.in_time)
                        return 0
        except StopIteration as stop:
            outcome = stop.value
        except Exception as exc:  # noqa: BLE001 - whatever it is, the connection is told
            self.steps = None
            self.opening_failed(exc)
            return 0
        self.steps = None
        self._opened(outcome)
        return 0

    def _park(self) -> int:
        # So many answers at once, or more than the peer has read: it and the others first.
        self._parked = True
        self.transport.pause_reading()
        if not self.write_paused:
            self.loop.call_soon(self.go_on)
        return 0

    def go_on(self) -> None:
        """Answer the requests that are left, if the peer has read the answers so far."""
        if self._parked and not self.write_paused and not self.lost:
            self._parked = False
            self.transport.resume_reading()
            self._advance(None, None)

    def count_from(self, since: float) -> None:
        """The time for the first request runs since then, and not since TLS was done."""
        if self.session is None and self._stage == 0 and self.limits.open_timeout is not None:
            self._expect_until(self.limits.open_timeout - (monotonic() - since))

    def _time_limit(self, step: Read) -> int:
        if step.stage == self._stage:
            return 0
        self._stage = step.stage
        self._expect_until(step.timeout)
        return 0

    def _expect_until(self, timeout: float | None) -> int:
        self._open_due = None
        if timeout is not None:
            now = monotonic()
            self._open_due = now + timeout
            self._wake_at(self._open_due, now)
        return 0

    def _call(self, step: Call) -> Any:
        try:
            return call(step, asyncio.to_thread) if step.blocking else step.function(*step.args)
        except Exception as exc:  # noqa: BLE001 - thrown in where it belongs
            return _failed(exc)

    def _await(self, value: Any, in_time: bool) -> int:
        self._call_in_time = in_time
        if not in_time:  # else we read on to hear of a peer that leaves: nobody waits for a 101
            self.transport.pause_reading()
        self._call_task = task = asyncio.ensure_future(value, loop=self.loop)
        task.add_done_callback(self.call_finished)
        return 0

    def call_finished(self, task: asyncio.Future[Any]) -> None:
        """What the opening handshake called and had to await has finished."""
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if task is not self._call_task:
            return  # it was too late, and is not waited for
        self._call_task = None
        if self.steps is None or self.lost:
            return
        self.transport.resume_reading()
        if error is None:
            self._advance(task.result(), None)
        else:
            self._advance(
                None, error if isinstance(error, Exception) else RuntimeError(repr(error))
            )

    def _expire_opening(self, now: float) -> int:
        due = self._open_due
        if due is None:
            return 0
        if now < due:
            self._wake_at(due, now)
            return 0
        if self.opener is not None:
            self._begin()
        if self.steps is None:
            self.transport.abort()
        elif not self._is_answering():
            self._open_due = None
            self._advance(None, TimeoutError("timed out during opening handshake"))
        elif self._call_task is not None and self._call_in_time:
            self._open_due = None
            task, self._call_task = self._call_task, None
            task.cancel()
            self.transport.resume_reading()
            self._advance(None, Overdue())
        return 0

    def _eof_while_opening(self) -> int:
        if self.opener is not None:
            self._begin()
        if self.steps is not None and not self._is_answering():
            self._advance(b"", None)
        return 0

    def _lost_while_opening(self, exc: BaseException | None) -> int:
        steps, self.steps = self.steps, None
        if self._call_task is not None:
            self._call_task.cancel()
        if steps is not None:
            steps.close()
        if steps is not None or self.opener is not None:
            error = exc or ConnectionResetError("the connection was closed during the handshake")
            self.opening_failed(error)
        return 0

    def is_secure(self) -> bool:
        """Whether it goes over TLS."""
        return self.outlet is None and self.transport.get_extra_info("sslcontext") is not None

    def _wake_at(self, due: float, now: float) -> int:
        # One timer for everything: what comes later is looked at when what comes first has come.
        if self._timer is not None:
            if self._timer_due <= due:
                return 0
            self._timer.cancel()
        self._timer_due = due
        self._timer = self.loop.call_later(due - now, self.on_timer, context=self.pump.context)
        return 0

    # -- what the connection defines -------------------------------------------------------------

    def _opened(self, outcome: tuple[Agreement, bytes] | None) -> int:
        raise NotImplementedError

    def opening_failed(self, exc: BaseException) -> None:
        """The handshake has failed by ``exc``."""
        raise NotImplementedError

    def on_timer(self) -> None:
        """A deadline has come, or has been put off."""
        raise NotImplementedError


async def _failed(exc: Exception) -> None:
    raise exc
