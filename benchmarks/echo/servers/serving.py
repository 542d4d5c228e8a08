"""What every server of the comparison shares, so that a server file is nothing but its library.

A server is run as ``python -m benchmarks.echo.servers.NAME --loop uvloop|asyncio``. It listens on
a free port of 127.0.0.1, prints that port, and stays until it is killed. ``/`` echoes every
message; on ``/broadcast`` a message is delivered to every connection that is open on that path, its
sender included. Everything else is the library's default: a default is what its users get.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import socket
from collections.abc import Awaitable, Callable

from benchmarks.echo import loops

Serve = Callable[[socket.socket], Awaitable[object]]

_running: list[object] = []  # a server that nothing refers to may be collected


def run(serve: Serve) -> None:
    """Call `serve` with a listening socket, tell the port, and stay until killed."""
    parser = argparse.ArgumentParser()
    loops.add_option(parser)
    given, _ = parser.parse_known_args()
    # The load leaves without a word when it is done; a traceback for each connection is no news.
    logging.disable(logging.CRITICAL)
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    loops.run(given.loop, _serve_forever(serve))


async def _serve_forever(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.setblocking(False)
        _running.append(await serve(listener))
        print(listener.getsockname()[1], flush=True)
        await asyncio.Event().wait()
