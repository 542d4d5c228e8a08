"""Which event loop a command runs on: uvloop where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import click

from duplexer.cli.outcome import Failure, Status

__all__ = ["loop_factory", "loop_option"]

#: Gives a command the argument ``uvloop`` for ``loop_factory``.
loop_option = click.option(
    "--uvloop/--no-uvloop",
    default=None,
    help="Event loop.  [default: uvloop where it is installed]",
)


def loop_factory(wanted: bool | None) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop; ``None`` stands for asyncio's own. Raises ``Failure`` without uvloop."""
    if wanted is False:
        return None
    try:
        import uvloop
    except ImportError:
        if wanted:
            raise Failure(
                "uvloop is not installed here", "pip install uvloop", status=Status.USAGE
            ) from None
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
