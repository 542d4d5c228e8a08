"""``run``: a server from its start to its end, in one process or in several."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duplexer.workers.sockets import bind, bind_unix, inherited, notify, unlink
from duplexer.workers.working import Leaving, work

if TYPE_CHECKING:
    from duplexer.asyncio.server import Server, serve

__all__ = ["run"]


def run(
    serving: serve,
    *,
    workers: int | None = None,
    over: float | None = None,
    notice: float = 0.0,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    on_ready: Callable[[Server], Any] | None = None,
) -> None:
    """Run a server until it is told to stop, in ``workers`` processes if that is given::

        run(serve(handler, "0.0.0.0", 8765), workers=4)

    SIGTERM drains it (see ``Server.drain()`` for ``over`` and ``notice``), SIGINT closes it, a
    second one ends everything at once. SIGHUP reads certificates anew (those of a
    :class:`~duplexer.workers.certificates.Certificates`) and replaces the workers, one by one.

    Sockets that systemd has bound (``LISTEN_FDS``) are taken in place of the address. Limits hold
    for each worker. ``on_ready(server)`` is called in each process when it serves. Leaves by
    ``SystemExit`` when that was not by request, or workers had to be killed. Call it in the main
    thread, with no loop running; raises ``ValueError`` for numbers of workers that are none,
    ``OSError`` when it cannot listen.
    """
    leaving = Leaving(over=over, notice=notice)
    given = inherited()
    if workers is not None:
        check_workers(workers)
        sockets, path = ([given] * workers, None) if given else sockets_for(serving, workers)
        shared = bool(given) or serving.own.get("sock") is not None

        def one(place: int, channel: socket.socket, number: int) -> int:
            told = work(
                lambda: serving,
                leaving,
                sockets=sockets[place],
                shared=shared,
                channel=channel,
                number=number,
                on_ready=on_ready,
            )
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(told)
            return 0

        supervise(one, sockets, serving, leaving, path)
        return

    def ready(server: Server) -> Any:
        notify("READY=1")
        return None if on_ready is None else on_ready(server)

    shared = bool(given)
    path = None
    if not given and serving.own.get("path") is not None:  # asyncio would take it from who has it
        (given,), path = sockets_for(serving, 1)
    told = work(
        lambda: serving,
        leaving,
        sockets=given or None,
        shared=shared,
        reload=getattr(serving.context, "reload", None),
        on_ready=ready,
    )
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(told)
    finally:
        if path is not None:
            unlink(*path)


def check_workers(workers: int) -> None:
    """Raises ``ValueError`` for a number of workers that there cannot be."""
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be a number of processes from 1 on, not {workers!r}")
    if not hasattr(os, "fork"):
        raise ValueError("this system does not fork processes: leave workers out")


def supervise(
    one: Callable[[int, socket.socket, int], int],
    sockets: list[list[socket.socket]],
    serving: serve,
    leaving: Leaving,
    path: tuple[str, int] | None,
) -> None:
    """Keep a process for each of ``sockets`` that runs ``one``; then remove the one at ``path``."""
    from duplexer.workers.supervisor import Supervisor  # not where there is no fork

    supervisor = Supervisor(
        one,
        len(sockets),
        serving.limits,
        sockets=sockets,
        patience=leaving.patience(serving.limits),
        on_reload=getattr(serving.context, "reload", lambda: None),
    )
    try:
        status = supervisor.run()
    finally:
        if path is not None:
            unlink(*path)
    if status:
        raise SystemExit(status)


def sockets_for(
    serving: serve, places: int, *, share: bool = False
) -> tuple[list[list[socket.socket]], tuple[str, int] | None]:
    """The sockets of each place, bound as ``serve`` was told; the Unix socket's path and inode."""
    own = serving.own
    if own.get("sock") is not None:
        return [[own["sock"]]] * places, None
    if own.get("_unix"):
        path = os.fsdecode(own["path"])
        sock = bind_unix(path)
        if path.startswith("\0"):  # a name that Linux keeps, and no file
            return [[sock]] * places, None
        return [[sock]] * places, (path, Path(path).stat().st_ino)
    host, port = serving.where
    return bind(host, port, places, share=share or bool(own.get("reuse_port"))), None
