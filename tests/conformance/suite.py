"""Runs the Autobahn cases against one of our roles, as a process of its own::

    python -m tests.conformance.suite server|client FRONT COUNT CASE...

``COUNT`` is how many messages each case of sections 12 and 13 sends (Autobahn: 1000), a ``CASE`` is
a name or a pattern. Prints one JSON object for each case. The cases come from the package
``kosoku``, which changes parts of the standard library to load them: hence the process.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import Any

from kosoku import FailureError, run_fuzzingclient, run_fuzzingserver
from kosoku._caseindex import initialize_shims


@asynccontextmanager
async def process(module: str, *arguments: str) -> Any:
    """One of ours, in whatever build the environment says; its standard error is our own."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"tests.conformance.{module}",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield running
        assert running.stdin is not None
        running.stdin.close()
        status = await asyncio.wait_for(running.wait(), 20)
        if status:
            sys.exit(f"{module} ended with {status}")
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def against_server(front: str, cases: list[str]) -> Any:
    async with process("echo_server", front) as server:
        port = int(await server.stdout.readline())
        return await run_fuzzingclient(f"ws://127.0.0.1:{port}", cases, concurrency=4)


async def against_client(front: str, cases: list[str]) -> Any:
    async with run_fuzzingserver(cases, None, host="127.0.0.1", port=0) as suite:
        async with process("echo_client", front, f"ws://127.0.0.1:{suite.port}"):
            return await suite.get_result()


async def run(role: str, front: str, cases: list[str]) -> Any:
    try:
        return await (against_server if role == "server" else against_client)(front, cases)
    except FailureError as failure:
        return failure.results


def shorten(count: int) -> None:
    """Have sections 12 and 13 send fewer messages."""
    initialize_shims()
    import case12_x_x

    for case in case12_x_x.Case12_X_X + case12_x_x.Case13_X_X:
        case.COUNT = min(case.COUNT, count)


def main(role: str, front: str, count: str, *cases: str) -> None:
    shorten(int(count))
    for result in asyncio.run(run(role, front, list(cases))):
        row = {
            "case": result.case_id,
            "behavior": result.behavior.value,
            "close": result.behavior_close.value,
            "says": f"{result.result} {result.result_close}",
            "duration": result.duration,
        }
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
