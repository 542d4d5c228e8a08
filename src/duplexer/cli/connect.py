"""``duplexer connect``: a client, by hand on a terminal, for scripts in a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import AsyncGenerator
from math import inf
from typing import Any

import click

from duplexer.cli.fronts import FRONTS, connections
from duplexer.cli.outcome import Failure, Status, connect_failure
from duplexer.cli.target import Target, target_options
from duplexer.driver.retry import Retry
from duplexer.errors import ConnectionClosed

__all__ = ["Plan", "connect", "open_connections"]

OPEN_TIMEOUT = 10.0  #: seconds to open a connection, unless --timeout says otherwise


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Target):
    """What the command line asks for. Times are in seconds, sizes in bytes."""

    compress: bool = True
    max_size: int | None = None
    timeout: float | None = None
    count: int | None = None
    linger: float | None = None
    json: bool = False
    binary: bool = False
    history: bool = True
    retry: float | None = None
    front: str = "asyncio"

    def goes_on(self, closed: ConnectionClosed) -> bool:
        """Whether to connect again: not after the server has said that it is done (1000)."""
        return self.retry is not None and (closed.rcvd is None or closed.rcvd.code != 1000)


async def open_connections(plan: Plan) -> AsyncGenerator[Any, None]:
    """The open connection, and with ``--retry`` those that follow it.

    Raises ``Failure`` with the exit status that fits.
    """
    options = plan.arguments(plan.tls())
    if plan.retry is not None:
        options["retry"] = Retry(deadline=None if plan.retry == inf else plan.retry)
    try:
        source = connections(
            plan.front,
            plan.uri,
            again=plan.retry is not None,
            compression="deflate" if plan.compress else None,
            max_size=plan.max_size,
            open_timeout=OPEN_TIMEOUT if plan.timeout is None else plan.timeout,
            **options,
        )
        async with contextlib.aclosing(source):
            async for ws in source:
                yield ws
    except ConnectionClosed as closed:
        note = " ".join(getattr(closed, "__notes__", ["The connection was lost."]))
        raise Failure(note, "give --retry more seconds", status=Status.CLOSED) from None
    except Exception as error:  # noqa: BLE001 what is not known there is raised again
        raise connect_failure(error, plan.uri) from None


@click.command(
    short_help="Talk to a server, by hand or from a script.",
    epilog="Example:  echo hello | duplexer connect -n 1 ws://localhost:8765/echo",
)
@target_options
@click.option("--compress/--no-compress", default=True, show_default=True, help="Offer deflate.")
@click.option(
    "--max-size",
    type=click.IntRange(min=0),
    default=16 << 20,
    show_default=True,
    metavar="BYTES",
    help="Largest message to take. 0: no bound.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give up after this time, counted from the start to the end; on a terminal it bounds "
    "opening only.  [default: 10 to open, then no bound]",
)
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=1),
    metavar="N",
    help="Leave after N messages were received.",
)
@click.option(
    "--linger",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="In a pipe, at the end of the input: leave once nothing has been received for this long; "
    "'inf' waits for the server to close.  [default: 1; with -n: inf]",
)
@click.option(
    "--retry",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Connect again, after growing pauses, when that fails or the connection is lost; give up "
    "when it has failed for so long. 'inf': never.",
)
@click.option(
    "--front",
    type=click.Choice(FRONTS),
    default="asyncio",
    show_default=True,
    help="The interface of duplexer that does it, to see whether it makes a difference.",
)
@click.option("--json", is_flag=True, help="In a pipe: print one JSON object for each message.")
@click.option("--binary", is_flag=True, help="In a pipe: lines are hex, and sent as binary.")
@click.option(
    "--history/--no-history",
    default=True,
    show_default=True,
    help="On a terminal: remember what was typed for the next time.",
)
def connect(uri: str, max_size: int, **options: object) -> None:
    """Talk to the WebSocket server at URI, ws://... or wss://...

    ON A TERMINAL it is interactive: what you type is sent, what comes is printed above the line
    you edit, /help lists the commands, Ctrl-D closes.

    IN A PIPE (input or output is no terminal) each line of the input is sent as a text message,
    and each message received is printed as a line: text as it is, binary in hex. At the end of the
    input the connection stays open for replies: until the server closes, -n messages have come,
    or nothing has come for --linger seconds. Then it is closed with 1000.

    With --json each message, sent or received, is an object with "direction", "time", "type"
    (text or binary), "size" (bytes) and "data" (hex where binary); the last object has the type
    "close", with "code", "reason" and "explanation".

    \b
    Exit status:
      0    closed as it should be (1000 or 1001), or we left as asked
      1    closed with an error code, or the connection was lost
      2    wrong usage: an option, the address, a line of the input
      3    could not connect: name, network, TLS
      4    refused by the server with an HTTP status
      5    --timeout struck
      6    what answered does not speak WebSocket
      130  interrupted by SIGINT; 143 by SIGTERM
    """  # noqa: D301  # click wants the character: lines of such a paragraph stay apart
    plan = Plan(uri=uri, max_size=max_size or None, **options)  # type: ignore[arg-type]
    plan.warn()
    try:
        status = asyncio.run(_run(plan))
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    raise SystemExit(status)


async def _run(plan: Plan) -> int:
    if sys.stdin.isatty() and sys.stdout.isatty():
        from duplexer.cli.interactive import interact

        return await interact(plan)
    from duplexer.cli.pipe import pipe

    return await pipe(plan)
