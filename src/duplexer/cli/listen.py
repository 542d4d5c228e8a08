"""What ``serve`` and ``echo`` share: where to listen, TLS, the event loop, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from duplexer.asyncio.server import ServerConnection, serve, unix_serve
from duplexer.cli.loops import loop_factory, loop_option
from duplexer.cli.outcome import Failure, Status, bind_failure
from duplexer.cli.signals import on_signals
from duplexer.workers.certificates import Certificates

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator

    from duplexer.asyncio.server import Server

__all__ = ["Handler", "Listen", "gathering", "listen_failure", "listen_options", "run_server"]

Handler = Callable[[ServerConnection], Awaitable[None]]

_OPTIONS = (
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=8765,
        show_default=True,
        help="Port to listen on; 0 lets the system choose a free one.",
    ),
    click.option(
        "--unix", type=click.Path(), metavar="PATH", help="Listen on this Unix socket instead."
    ),
    click.option(
        "--certfile",
        type=click.Path(exists=True, dir_okay=False),
        help="Certificate chain (PEM): serve wss:// in place of ws://.",
    ),
    click.option(
        "--keyfile",
        type=click.Path(exists=True, dir_okay=False),
        help="Private key (PEM), unless it is in the certificate's file.",
    ),
    loop_option,
    click.option(
        "--grace",
        type=click.FloatRange(min=0),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="On SIGINT or SIGTERM, how long handlers may take to finish.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where and how a server listens, from the command line."""

    host: str
    port: int
    unix: str | None
    certfile: str | None
    keyfile: str | None
    uvloop: bool | None
    grace: float

    @property
    def scheme(self) -> str:
        """``ws`` or ``wss``."""
        return "wss" if self.certfile else "ws"

    def tls(self) -> Certificates | None:
        """The TLS settings, ``None`` without a certificate."""
        if self.certfile is None:
            if self.keyfile is not None:
                raise Failure(
                    "--keyfile is given without --certfile",
                    "give both, or neither for ws://",
                    status=Status.USAGE,
                )
            return None
        try:
            return Certificates(self.certfile, self.keyfile)
        except (ssl.SSLError, OSError) as error:
            raise Failure(
                f"{self.certfile} with {self.keyfile or 'the key in it'} is not usable for TLS: "
                f"{getattr(error, 'reason', None) or error}",
                "both files must be PEM, without a password, and belong together",
                status=Status.USAGE,
            ) from None


def gathering(name: str, kind: type[Any], options: tuple[Any, ...]) -> Callable[[Any], Any]:
    """A decorator: the command gets ``options``, and is called with a ``kind`` made of them.

    ``kind`` is a dataclass with a field for each of them; ``name`` is that of the argument.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def wrapper(**given: Any) -> None:
            gathered = {field.name: given.pop(field.name) for field in dataclasses.fields(kind)}
            function(**{name: kind(**gathered)}, **given)

        for option in reversed(options):
            wrapper = option(wrapper)
        return wrapper

    return decorate


#: Gives a command the options of ``Listen``, and the ``Listen`` made of them as ``listen``.
listen_options = gathering("listen", Listen, _OPTIONS)


def run_server(
    listen: Listen, handler: Handler, *, notes: Callable[[str], str] | None = None, **options: Any
) -> None:
    """Serve until SIGINT or SIGTERM; ``options`` go to ``serve``.

    ``notes`` is given the first address and returns a line to print below it.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    context = listen.tls()
    with asyncio.Runner(loop_factory=loop_factory(listen.uvloop)) as runner:
        runner.run(_serve(listen, handler, context, notes, options))


async def _serve(
    listen: Listen,
    handler: Handler,
    context: ssl.SSLContext | None,
    notes: Callable[[str], str] | None,
    options: dict[str, Any],
) -> None:
    stop = asyncio.Event()

    def on_signal(_number: signal.Signals) -> None:
        if stop.is_set():  # the second one: at once
            os._exit(Status.INTERRUPTED)
        stop.set()

    with on_signals(on_signal), _unlinked(listen.unix):
        server = await _start(listen, handler, ssl=context, **options)
        addresses = list(_addresses(listen, server))
        for address in addresses:
            click.echo(f"listening on {address}")
        if notes is not None:
            click.echo(notes(addresses[0]))
        sys.stdout.flush()
        await stop.wait()
        await _stop(server, listen.grace)


async def _start(listen: Listen, handler: Handler, **options: Any) -> Server:
    try:
        server: Server
        if listen.unix is not None:
            server = await unix_serve(handler, listen.unix, **options)
        else:
            server = await serve(handler, listen.host, listen.port, **options)
    except OSError as error:
        raise listen_failure(listen, error) from None
    return server


def listen_failure(listen: Listen, error: OSError) -> Failure:
    """Why nothing can listen there, and what to do about it."""
    if listen.unix is not None:
        return Failure(
            f"cannot listen on {listen.unix}: {error.strerror or error}",
            "does its folder exist, may you write there, and is no server using it?",
        )
    return bind_failure(error, listen.host, listen.port)


def _addresses(listen: Listen, server: Server) -> Iterator[str]:
    if listen.unix is not None:
        yield f"{listen.scheme}+unix://{Path(listen.unix).absolute()}"
        return
    for sock in server.sockets:
        host, port = sock.getsockname()[:2]
        yield f"{listen.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


async def _stop(server: Server, grace: float) -> None:
    """Stop accepting, close every connection with 1001, wait for the handlers."""
    server.close()
    try:
        async with asyncio.timeout(grace):
            await server.wait_closed()
    except TimeoutError:
        click.echo(
            f"handlers still running after {grace:g} s are cancelled (--grace SECONDS)", err=True
        )


@contextlib.contextmanager
def _unlinked(path: str | None) -> Iterator[None]:
    """Remove the Unix socket at the end, which asyncio does from Python 3.13 on only."""
    try:
        yield
    finally:
        if path is not None:
            with contextlib.suppress(OSError):
                Path(path).unlink()
