"""What every server of the comparison shares, so that a server file is nothing but its library.

A server is run as ``python -m benchmarks.echo.servers.NAME --loop uvloop|asyncio``. It listens on
a free port of 127.0.0.1, prints that port, and stays until it is killed. ``/`` echoes every
message; on ``/broadcast`` a message is delivered to every connection that is open on that path, its
sender included. ``--tls CERTIFICATE KEY`` has it speak TLS, ``--port`` share a port with others
(``SO_REUSEPORT``). Everything else is the library's default: a default is what its users get.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable

from benchmarks.echo import loops

Serve = Callable[[socket.socket, ssl.SSLContext | None], Awaitable[object]]

_running: list[object] = []  # a server that nothing refers to may be collected


def run(serve: Serve) -> None:
    """Call `serve` with a listening socket, tell the port, and stay until killed."""
    parser = argparse.ArgumentParser()
    loops.add_option(parser)
    parser.add_argument("--tls", nargs=2)
    parser.add_argument("--port", type=int)
    given, _ = parser.parse_known_args()
    # The load leaves without a word when it is done; a traceback for each connection is no news.
    logging.disable(logging.CRITICAL)
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    tls = None
    if given.tls:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*given.tls)
    loops.run(given.loop, _serve_forever(serve, given.port, tls))


async def _serve_forever(serve: Serve, port: int | None, tls: ssl.SSLContext | None) -> None:
    address, shared = ("127.0.0.1", port or 0), port is not None
    with socket.create_server(address, backlog=1024, reuse_port=shared) as listener:
        listener.setblocking(False)
        _running.append(await serve(listener, tls))
        print(listener.getsockname()[1], flush=True)
        await asyncio.Event().wait()
