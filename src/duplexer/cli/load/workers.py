"""A load from several processes: each runs its part, the results are merged."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from duplexer.cli.load.load import Load
from duplexer.cli.load.plan import Plan
from duplexer.cli.load.result import Progress, Result
from duplexer.cli.loops import loop_factory
from duplexer.cli.outcome import Failure, Status

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe
    from multiprocessing.process import BaseProcess

__all__ = ["Workers", "work"]

INTERVAL = 0.2  #: seconds between two reports of progress


class Workers:
    """The same interface as a ``Load``, in front of several in processes of their own."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.on_measuring: Callable[[bool], object] = bool
        self._context = multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        self._pipes: list[Pipe] = []
        self._progress = [Progress() for _ in range(plan.processes)]
        self._result = Result(processes=0)
        self._measuring = 0

    async def open(self) -> None:
        """Start the processes, and have each open its part of the connections."""
        for number in range(self.plan.processes):
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=work, args=(self.plan, number, theirs))
            process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)
        await self._all("open")

    async def run(self) -> None:
        """Have all send at once."""
        self._tell("run")
        await self._all("done")

    async def close(self) -> None:
        """Close the connections, and wait for the end of the processes."""
        self._tell("close")
        await self._all("closed")
        self._tell("end")
        for process in self._processes:
            await asyncio.to_thread(process.join)
        for pipe in self._pipes:
            pipe.close()

    def stop(self) -> None:
        """End early, with what there is."""
        self._tell("stop")

    def kill(self) -> None:
        """Leave no process behind, whatever happened."""
        for process in self._processes:
            if process.is_alive():
                process.kill()

    def progress(self) -> Progress:
        """How far they have got together."""
        total = Progress()
        for each in self._progress:
            total.merge(each)
        return total

    def outcome(self) -> Result:
        """What came of it."""
        return self._result

    def _tell(self, what: str) -> None:
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.send(what)

    async def _all(self, wanted: str) -> None:
        """Listen until all have said that; raises ``Failure`` where one says nothing any more."""
        listening = [self._listen(number, wanted) for number in range(len(self._pipes))]
        for failure in await asyncio.gather(*listening, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _listen(self, number: int, wanted: str) -> None:
        while True:
            try:
                kind, value = await asyncio.to_thread(self._pipes[number].recv)
            except (EOFError, OSError):
                self.kill()
                raise Failure(
                    f"process {number + 1} of {self.plan.processes} has ended unexpectedly",
                    "look above for what it said, and for memory: each process needs its own",
                    status=Status.INTERNAL,
                ) from None
            if kind == "progress":
                self._progress[number] = value
            elif kind == "measuring":
                self._count_measuring(value)
            elif kind == "closed":
                self._result.merge(value)
            if kind == wanted:
                return

    def _count_measuring(self, begins: bool) -> None:
        # From when the first begins to when the last has ended.
        before = self._measuring
        self._measuring += 1 if begins else -1
        if before == 0 or self._measuring == 0:
            self.on_measuring(begins)


def work(plan: Plan, number: int, pipe: Any) -> None:
    """Run one part of a load, as the other end of ``pipe`` says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells us too; our parent decides
    with asyncio.Runner(loop_factory=loop_factory(plan.uvloop)) as runner:
        runner.run(_work(plan, number, pipe))


async def _work(plan: Plan, number: int, pipe: Any) -> None:
    def tell(kind: str, value: object = None) -> None:
        with contextlib.suppress(OSError):  # our parent has gone, which `_obey` notices
            pipe.send((kind, value))

    async def report() -> None:
        while True:
            tell("progress", load.progress())
            await asyncio.sleep(INTERVAL)

    load = Load(plan, number)
    load.on_measuring = lambda begins: tell("measuring", begins)
    orders: asyncio.Queue[str] = asyncio.Queue()
    obeying = asyncio.create_task(_obey(load, pipe, orders))
    reporting = asyncio.create_task(report())
    await load.open()
    tell("open")
    while (order := await orders.get()) != "end":
        if order == "run":
            await load.run()
            tell("done")
        elif order == "close":
            await load.close()
            reporting.cancel()
            tell("closed", load.outcome())
    await asyncio.gather(obeying, reporting, return_exceptions=True)


async def _obey(load: Load, pipe: Any, orders: asyncio.Queue[str]) -> None:
    """Pass on what our parent says, until it says "end" or nothing any more."""
    while True:
        try:
            order = await asyncio.to_thread(pipe.recv)
        except (EOFError, OSError):
            load.stop()
            orders.put_nowait("close")
            order = "end"
        if order == "stop":
            load.stop()
        else:
            orders.put_nowait(order)
        if order == "end":
            return
