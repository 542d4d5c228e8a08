"""``duplexer echo``: the echo server that tests and benchmarks are run against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from duplexer.cli.listen import listen_options, run_server

if TYPE_CHECKING:
    from duplexer.asyncio.server import ServerConnection
    from duplexer.cli.listen import Listen

__all__ = ["echo", "handle"]


async def handle(ws: ServerConnection) -> None:
    """Send every message back as it came: text as text, binary as binary."""
    async for message in ws:
        await ws.send(message)


@click.command(short_help="Run an echo server, for tests.")
@listen_options
@click.option("--deflate/--no-deflate", default=True, show_default=True, help="permessage-deflate.")
@click.option(
    "--max-size",
    type=click.IntRange(min=0),
    default=1 << 20,
    show_default=True,
    metavar="BYTES",
    help="Largest message; longer ones close the connection with 1009. 0: no bound.",
)
def echo(listen: Listen, deflate: bool, max_size: int) -> None:
    """Run an echo server.

    Prints `listening on ws://ADDRESS:PORT` once it accepts connections, so that a script can wait
    for that line. SIGINT and SIGTERM close every connection with 1001, and the exit status is 0.
    """
    run_server(
        listen,
        handle,
        compression="deflate" if deflate else None,
        max_size=max_size or None,
    )
