"""What a message costs uvicorn with our WebSockets, and with its own, without the kernel's part.

Each implementation gets the same reads on a transport in memory and serves the same application, an
echo in six lines. Counted under callgrind, so that a busy machine does not matter. What the
application costs by itself, with a ``receive`` and a ``send`` that do nothing and one turn of
asyncio's loop for each read, is counted apart and taken off: what is left is the protocol's own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from benchmarks.build import C, compiled
from benchmarks.measure import ROOT
from benchmarks.micro.pieces import REQUEST, frame, random_bytes

PROTOCOLS = {
    "duplexer": "duplexer.asgi.uvicorn:WebSocketProtocol",
    "websockets-sansio": "websockets-sansio",
    "wsproto": "wsproto",
}
#: Messages in one read.
SCENARIOS = {"ping": 1, "burst": 64}
SIZE = 32
#: Reads that are counted, after as many that are not.
READS = 60

Reading = Callable[[], Awaitable[None]]


async def application(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        event["type"] = "websocket.send"
        await send(event)


class Transport(asyncio.Transport):
    """Counts the bytes that are written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def write(self, data: Any) -> None:
        self.written += len(data)

    def writelines(self, pieces: Any) -> None:
        self.written += sum(map(len, pieces))

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@contextlib.asynccontextmanager
async def reading(name: str, messages: int) -> AsyncIterator[Reading]:
    """What serves one read of so many messages."""
    if name == "application":
        yield _alone(messages)
        return
    config = Config(application, ws=PROTOCOLS[name], log_config=None, ws_ping_interval=None)
    config.load()
    state = ServerState()
    protocol: Any = config.ws_protocol_class(  # type: ignore[misc, call-arg]
        config=config, server_state=state, app_state={}
    )
    transport = Transport()
    protocol.connection_made(transport)
    protocol.data_received(REQUEST.replace(b"Sec-WebSocket-Extensions", b"X"))
    while not transport.written:  # noqa: ASYNC110 - it says nothing when it comes true
        await asyncio.sleep(0)
    wire = frame(random_bytes(SIZE)) * messages
    back = (SIZE + 2) * messages
    loop = asyncio.get_running_loop()

    async def read() -> None:
        wanted = transport.written + back
        loop.call_soon(protocol.data_received, wire)  # as from a transport: by the loop
        await asyncio.sleep(0)
        while transport.written < wanted:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0)

    yield read
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)


def _alone(messages: int) -> Reading:
    # Futures that are done: nothing that can be awaited in Python costs less.
    loop = asyncio.get_running_loop()
    done, event, left = loop.create_future(), loop.create_future(), 0
    done.set_result(None)
    event.set_result({"type": "websocket.receive", "bytes": b""})

    def receive() -> Awaitable[Any]:
        nonlocal left
        left -= 1
        return event if left >= 0 else _pause()

    def send(sent: Any) -> Awaitable[None]:
        sent["type"] = "websocket.receive"
        return done

    running = application({}, receive, send)
    running.send(None)

    async def read() -> None:
        nonlocal left
        left = messages
        loop.call_soon(running.send, None)
        await asyncio.sleep(0)

    return read


@types.coroutine
def _pause() -> Generator[None, None, dict[str, str]]:
    yield
    return {"type": "websocket.receive"}


def names() -> Iterator[tuple[str, str]]:
    for scenario in SCENARIOS:
        for name in ("application", *PROTOCOLS):
            yield scenario, name


async def work(before: Callable[[], None], after: Callable[[str], None]) -> None:
    """Serve READS reads of each, and call ``after`` with its name when they are done."""
    for scenario, name in names():
        async with reading(name, SCENARIOS[scenario]) as read:
            for _ in range(READS):
                await read()
            before()
            for _ in range(READS):
                await read()
            after(f"{scenario} {name}")


def clocked() -> dict[str, float]:
    """Nanoseconds of a read."""
    began, took = 0, {}

    def before() -> None:
        nonlocal began
        began = time.perf_counter_ns()

    def after(name: str) -> None:
        took[name] = (time.perf_counter_ns() - began) / READS

    asyncio.run(work(before, after))
    return took


def counted() -> dict[str, float]:
    """Instructions of a read."""
    if shutil.which("valgrind") is None:
        raise SystemExit("there is no valgrind")
    library = compiled(Path(__file__).parent / "micro/requests.c", *C, "-shared", "-fPIC")
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"]
        command += [f"--callgrind-out-file={folder}/dump", sys.executable]
        command += ["-m", "benchmarks.asgi", "--worker", str(library)]
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "0"}, cwd=ROOT, check=True)
        found = {}
        for path in Path(folder).glob("dump*"):
            text = path.read_text()
            if name := re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE):
                totals = re.findall(r"^(?:totals|summary): (\d+)$", text, re.MULTILINE)
                found[name[1]] = int(totals[-1]) / READS
    return found


def serve_callgrind(library: str) -> None:
    callgrind = ctypes.CDLL(library)
    gc.disable()
    callgrind.start_counting()
    asyncio.run(
        work(callgrind.forget_counts, lambda name: callgrind.dump_counts(name.encode()) and None)
    )


def table(found: dict[str, float], unit: str) -> Iterator[str]:
    """A line for each, per message."""
    yield f"| {unit} a message | in all | of the protocol | × |"
    yield "|---|---|---|---|"
    for scenario, messages in SCENARIOS.items():
        others = found[f"{scenario} application"]
        ours = max(found[f"{scenario} duplexer"] - others, 1.0)
        for name in ("application", *PROTOCOLS):
            total = found[f"{scenario} {name}"]
            own = total - others
            ratio = f"{own / ours:.1f}" if name != "application" else ""
            yield (
                f"| {scenario}: {name} | {total / messages:,.0f} | "
                f"{own / messages if ratio else 0:,.0f} | {ratio} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asgi", description=__doc__)
    parser.add_argument("--time", action="store_true", help="nanoseconds in place of instructions")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        serve_callgrind(given.worker)
        return
    found = clocked() if given.time else counted()
    print(*table(found, "nanoseconds" if given.time else "instructions"), sep="\n")


if __name__ == "__main__":
    main()
