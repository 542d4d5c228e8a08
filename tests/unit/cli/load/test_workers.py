"""Several processes share a load, and their results are one."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from typing import Any

import pytest

from duplexer.cli.load.workers import Workers, work
from duplexer.cli.outcome import Failure, Status
from tests.unit.cli.load.servers import PATIENCE, answering, echo, kinds, plan, serving


async def finish(workers: Workers) -> None:
    """From the open connections to the end of the processes."""
    async with asyncio.timeout(PATIENCE):
        await workers.run()
        await workers.close()


async def test_processes_share_connections_and_messages() -> None:
    begins: list[bool] = []
    async with serving(echo) as uri:
        workers = Workers(plan(uri, connections=5, processes=2, count=101))
        workers.on_measuring = begins.append
        async with asyncio.timeout(PATIENCE):
            await workers.open()
        await finish(workers)
    result = workers.outcome()
    assert kinds(workers) == {}
    assert (result.processes, result.opened, result.lasted) == (2, 5, 5)
    assert (result.received, result.latency.total, result.handshakes.total) == (101, 101, 5)
    assert (begins[0], begins[-1]) == (True, False)
    assert workers.progress().opened <= 5
    assert all(process.exitcode == 0 for process in workers._processes)


async def test_mistakes_of_all_are_counted() -> None:
    async with serving(answering(lambda _, message: [message[::-1]])) as uri:
        workers = Workers(plan(uri, processes=2))
        async with asyncio.timeout(PATIENCE):
            await workers.open()
        await finish(workers)
    assert kinds(workers) == {"wrong-bytes": 100}


async def test_stopping_stops_all() -> None:
    async with serving(echo) as uri:
        workers = Workers(plan(uri, processes=2, count=None, duration=1000.0))
        workers.on_measuring = lambda begins: workers.stop()
        async with asyncio.timeout(PATIENCE):
            await workers.open()
        await finish(workers)
    assert kinds(workers) == {}


async def test_a_process_that_dies_is_told() -> None:
    async with serving(echo) as uri:
        workers = Workers(plan(uri, processes=2, count=None, duration=1000.0))
        async with asyncio.timeout(PATIENCE):
            await workers.open()
            workers._processes[0].kill()
            with pytest.raises(Failure, match="process 1 of 2") as failure:
                await workers.run()
        assert failure.value.exit_code == Status.INTERNAL
        for process in workers._processes:
            process.join(PATIENCE)
            assert process.exitcode
        for pipe in workers._pipes:
            pipe.close()


async def test_one_part_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a process does, without one: `work` has a loop of its own, so it needs a thread.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    ours, theirs = multiprocessing.Pipe()
    async with serving(echo) as uri, asyncio.timeout(PATIENCE):
        working = asyncio.create_task(asyncio.to_thread(work, plan(uri, uvloop=False), 0, theirs))
        assert (await wait_for(ours, "open")) is None
        ours.send("run")
        assert await wait_for(ours, "measuring") is True
        assert await wait_for(ours, "measuring") is False
        await wait_for(ours, "done")
        ours.send("close")
        result = await wait_for(ours, "closed")
        ours.send("end")
        await working
    assert result.received == 100


async def test_without_a_parent_there_is_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    ours, theirs = multiprocessing.Pipe()
    async with serving(echo) as uri, asyncio.timeout(PATIENCE):
        given = plan(uri, uvloop=False, count=None, duration=1000.0)
        working = asyncio.create_task(asyncio.to_thread(work, given, 0, theirs))
        await wait_for(ours, "open")
        ours.send("run")
        await wait_for(ours, "measuring")
        ours.close()
        await working


async def wait_for(pipe: Any, wanted: str) -> Any:
    while True:
        kind, value = await asyncio.to_thread(pipe.recv)
        if kind == wanted:
            return value
