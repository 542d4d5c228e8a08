"""Clients of one front: ``python -m tests.soak.clients FRONT COUNT SEED SECONDS URI``.

Prints what they noted as JSON, and what was left behind.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import threading
import time

from duplexer.errors import ConnectionClosed
from tests.soak.network import descriptors
from tests.soak.script import LIMITS, PATIENCE, Script


async def asyncio_client(script: Script, uri: str) -> None:
    from duplexer.asyncio.client import connect

    async for ws in connect(uri, limits=LIMITS, retry=script.retry, proxy=None):
        script.diary.connections += 1
        try:
            while not script.is_over():
                message = script.message()
                await ws.send(message)
                script.check(message, await ws.recv())
                await asyncio.sleep(script.pause())
            return
        except ConnectionClosed as closed:
            script.diary.lost(closed)


async def run_asyncio(scripts: list[Script], uri: str) -> int:
    async with asyncio.TaskGroup() as group:
        for script in scripts:
            group.create_task(asyncio_client(script, uri))
    deadline = time.monotonic() + PATIENCE
    while len(asyncio.all_tasks()) > 1 and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # iterations that were left are closed by tasks of their own
    return len(asyncio.all_tasks()) - 1


def sync_client(script: Script, uri: str) -> None:
    from duplexer.sync.client import connect

    for ws in connect(uri, limits=LIMITS, retry=script.retry, proxy=None):
        script.diary.connections += 1
        try:
            while not script.is_over():
                message = script.message()
                ws.send(message)
                script.check(message, ws.recv())
                time.sleep(script.pause())
            return
        except ConnectionClosed as closed:
            script.diary.lost(closed)


def run_sync(scripts: list[Script], uri: str) -> int:
    threads = [threading.Thread(target=sync_client, args=(script, uri)) for script in scripts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + PATIENCE
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.05)  # the keeper ends some time after the last connection
    return threading.active_count() - 1


async def trio_client(script: Script, uri: str) -> None:
    import trio

    from duplexer.trio.client import connect

    async for ws in connect(uri, limits=LIMITS, retry=script.retry, proxy=None):
        script.diary.connections += 1
        try:
            while not script.is_over():
                message = script.message()
                await ws.send(message)
                script.check(message, await ws.recv())
                await trio.sleep(script.pause())
            return
        except ConnectionClosed as closed:
            script.diary.lost(closed)


async def run_trio(scripts: list[Script], uri: str) -> int:
    import trio

    async with trio.open_nursery() as nursery:
        for script in scripts:
            nursery.start_soon(trio_client, script, uri)
    return 0  # a nursery leaves nothing behind


def run(front: str, scripts: list[Script], uri: str) -> int:
    if front == "sync":
        return run_sync(scripts, uri)
    if front == "trio":
        import trio

        return trio.run(run_trio, scripts, uri)
    if front == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run_asyncio(scripts, uri))
    return asyncio.run(run_asyncio(scripts, uri))


def main(front: str, count: str, seed: str, seconds: str, uri: str) -> None:
    # What is opened once, and stays: the modules, a loop.
    run(front, [], uri)
    before = descriptors()
    scripts = [Script(f"{seed}/{front}/{i}", float(seconds)) for i in range(int(count))]
    left = run(front, scripts, uri)
    deadline = time.monotonic() + PATIENCE
    while descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.05)  # what belongs to nobody's connection goes when it has nothing to do
    report = {
        "clients": [dataclasses.asdict(script.diary) for script in scripts],
        "left": left,
        "descriptors": descriptors() - before,
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
