"""The listening sockets of a server: one for each address, or one for a path."""

from __future__ import annotations

import errno
import os
import selectors
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duplexer.driver.sockopts import set_options

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping, Sequence

    from duplexer.limits import Limits
    from duplexer.policy.guard import Guard

__all__ = ["PAUSE", "Shortage", "check_place", "listening_sockets", "those_waiting"]

#: The process or the system has run out of something that others may give back.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Seconds before accepting again after that: at once it would spin.
PAUSE = 0.5


class Shortage:
    """Accepting fails because descriptors, memory or threads are used up: it pauses meanwhile."""

    def __init__(self, guard: Guard, logger: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._guard = guard
        self._logger = logger
        self._is_known = False  # it has been logged

    def met(self, error: Exception) -> None:
        """Accepting failed: wait for ``PAUSE`` seconds. Raises an ``OSError`` of another kind."""
        if isinstance(error, OSError) and error.errno not in EXHAUSTED:
            raise error
        self._guard.strike("descriptors")
        if not self._is_known:  # it may take hours
            self._is_known = True
            self._logger.error("accepting pauses, and is tried every %s s: %s", PAUSE, error)

    def over(self) -> None:
        """A connection has been accepted."""
        self._is_known = False


def check_place(where: tuple[Any, int | None], own: Mapping[str, Any], other: str) -> None:
    """Raise ``ValueError`` unless ``host`` and ``port``, ``path`` or ``other`` is given alone."""
    given = [name for name in ("path", other) if own.get(name) is not None]
    if len(given) + (where != (None, None)) != 1:
        raise ValueError(f"serve() needs a port, or a path, or {other}: one of them")


def listening_sockets(
    host: str | Sequence[str] | None,
    port: int | None,
    limits: Limits,
    *,
    backlog: int | None = None,
    family: int = 0,
    path: str | os.PathLike[str] | None = None,
    reuse_port: bool = False,
    sock: socket.socket | None = None,
) -> list[socket.socket]:
    """Sockets that listen, and do not block. It may wait for the resolver.

    ``host=None`` stands for all interfaces, ``port=None`` for any port.
    """
    found: list[socket.socket] = []
    try:
        if sock is not None:
            found.append(sock)
        elif path is not None:
            found.append(socket.socket(socket.AF_UNIX))
            _make_way(path)
            found[0].bind(os.fspath(path))
        else:
            _bind_all(found, _addresses(host, port or 0, family), reuse_port)
        for one in found:
            one.listen(backlog or limits.backlog)
            one.setblocking(False)
            set_options(one, limits)
    except BaseException:
        for one in found:
            one.close()
        raise
    return found


def those_waiting(sock: Any, limits: Limits) -> Iterator[int]:
    """As often as somebody waits to be accepted at ``sock``, up to ``Limits.backlog`` times."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        for number in range(limits.backlog):
            if not selector.select(0):
                return
            yield number


def _addresses(host: str | Sequence[str] | None, port: int, family: int) -> list[tuple[int, Any]]:
    hosts = [host or None] if host is None or isinstance(host, str) else host
    infos = [
        (kind, address)
        for one in hosts
        for kind, _, _, _, address in socket.getaddrinfo(
            one, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    ]
    return list(dict.fromkeys(infos))


def _bind_all(
    found: list[socket.socket], addresses: list[tuple[int, Any]], reuse_port: bool
) -> None:
    unknown: OSError | None = None
    for kind, address in addresses:
        try:
            sock = socket.socket(kind, socket.SOCK_STREAM)
        except OSError as exc:
            if exc.errno != errno.EAFNOSUPPORT:
                raise
            unknown = exc  # the resolver knows of IPv6, and the kernel does not
            continue
        found.append(sock)
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where REUSEADDR lets anybody in
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if kind == socket.AF_INET6:  # IPv4 has a socket of its own
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind(address)
        except OSError as exc:
            raise OSError(exc.errno, f"cannot listen on {address}: {exc.strerror}") from exc
    if unknown is not None and not found:
        raise unknown


def _make_way(path: str | os.PathLike[str]) -> None:
    # As asyncio's: a socket that was left there, by whoever, keeps nobody from listening.
    place = Path(os.fsdecode(path))
    if place.is_socket():
        place.unlink(missing_ok=True)
