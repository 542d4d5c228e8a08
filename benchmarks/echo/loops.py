"""The event loops that servers and clients can run on."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Coroutine


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="asyncio")


def run(name: str, main: Coroutine[None, None, None]) -> None:
    """``asyncio.run(main)`` on the loop called `name`."""
    factory = asyncio.new_event_loop
    if name == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)
