"""What every client of the comparison shares.

A client is run as ``python -m benchmarks.echo.clients.NAME --size N --port PORT``. It opens one
connection, sends a message, waits for its echo, and again, for as long as its stopwatch says; then
prints one JSON object. ``--tls CERTIFICATE`` has it speak TLS, and trust that authority. Everything
else is the library's default.
"""

from __future__ import annotations

import argparse
import inspect
import json
import random
import ssl
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.echo import loops


class Stopwatch:
    """Times the turns of a ``for`` loop: ``for _ in stopwatch:`` sees each turn begin and end."""

    def __init__(self, warm_up: float, seconds: float) -> None:
        self._warm_up = warm_up
        self._seconds = seconds
        self.taken: list[float] = []
        self.cpu = 0.0

    def __iter__(self) -> Iterator[None]:
        clock = time.perf_counter
        until = clock() + self._warm_up
        while clock() < until:
            yield
        cpu = time.process_time()
        began = clock()
        until = began + self._seconds
        while began < until:
            yield
            ended = clock()
            self.taken.append(ended - began)
            began = ended
        self.cpu = time.process_time() - cpu


Tls = ssl.SSLContext | None
Dial = Callable[[str, Tls, bytes, Stopwatch], Any]


def run(dial: Dial) -> None:
    """Run ``dial(uri, tls, message, stopwatch)``, async or not; it gives back the last echo."""
    parser = argparse.ArgumentParser()
    loops.add_option(parser)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--warm-up", type=float, default=0.5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--tls")
    parser.add_argument("--port", type=int, required=True)
    given, _ = parser.parse_known_args()
    message = random.Random(1).randbytes(given.size)
    stopwatch = Stopwatch(given.warm_up, given.seconds)
    tls = ssl.create_default_context(cafile=given.tls) if given.tls else None
    uri = f"{'wss' if tls else 'ws'}://127.0.0.1:{given.port}/"

    def check(echo: object) -> None:
        if echo != message:
            raise SystemExit("the echo differs from the message")

    async def main() -> None:
        check(await dial(uri, tls, message, stopwatch))

    if inspect.iscoroutinefunction(dial):
        loops.run(given.loop, main())
    else:
        check(dial(uri, tls, message, stopwatch))
    taken = stopwatch.taken
    figures = {
        "units": len(taken),
        "round_trip_us": statistics.median(taken) * 1e6,
        "p99_us": statistics.quantiles(taken, n=100)[98] * 1e6,
        "client_cpu_us_each": stopwatch.cpu * 1e6 / len(taken),
    }
    print(json.dumps(figures))
