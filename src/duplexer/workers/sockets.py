"""The sockets that workers listen on: bound once, before there are any, by who outlives them all.

On Linux each place has sockets of its own on the same port (``SO_REUSEPORT``): the kernel spreads
connections over them by a hash of their addresses, evenly, and what waits in the socket of a worker
that crashes waits for its successor, because the supervisor holds that socket too. Elsewhere, and
with sockets that somebody else has bound, all workers share them: then who wakes first gets more.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["bind", "bind_unix", "inherited", "notify", "unlink"]

#: The first descriptor of systemd's (sd_listen_fds(3)).
_FIRST = 3

#: Whether the kernel spreads connections over the sockets of one port.
BALANCES = sys.platform.startswith("linux")


def bind(
    host: str | Sequence[str] | None, port: int | None, places: int = 1, *, share: bool = False
) -> list[list[socket.socket]]:
    """For each of ``places`` the sockets bound to all addresses of ``host``; not listening yet.

    ``share``: other programs of ours may be bound to the same port, as in a rolling restart;
    without it that is an error (``OSError``), though Linux would allow it.
    """
    addresses = _addresses(host, port)
    reuse = BALANCES and (places > 1 or share)
    bound: list[list[socket.socket]] = []
    with contextlib.ExitStack() as undo:
        for place in range(places if reuse else 1):
            sockets = []
            for number, (family, address) in enumerate(tuple(addresses)):
                family, address = addresses[number]
                if place == 0 and reuse and not share:
                    _bind(family, address, reuse=False).close()  # to hear whether it is taken
                sock = _bind(family, address, reuse=reuse)
                undo.callback(sock.close)
                sockets.append(sock)
                # Port 0 is chosen once: the same for all addresses and places.
                addresses[number] = family, sock.getsockname()
                if not number and not address[1]:
                    chosen = sock.getsockname()[1]
                    addresses[1:] = [(f, (a[0], chosen, *a[2:])) for f, a in addresses[1:]]
            bound.append(sockets)
        undo.pop_all()
    return bound if reuse else bound * places


def _addresses(
    host: str | Sequence[str] | None, port: int | None
) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    hosts = [host] if host is None or isinstance(host, str) else host
    found = [
        (family, address)
        for one in hosts
        for family, _, _, _, address in socket.getaddrinfo(
            one or None, port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    ]
    unique: list[Any] = list(dict.fromkeys(found))
    # A name may have an address of IPv6 where this machine has none.
    return [one for one in unique if _is_here(*one)] or unique


def _is_here(family: socket.AddressFamily, address: tuple[Any, ...]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except OSError:
        return False
    return True


def _bind(family: socket.AddressFamily, address: tuple[str, int], *, reuse: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"{error.strerror}: {address[0]} port {address[1]}") from None
    return sock


def bind_unix(path: str) -> socket.socket:
    """A Unix socket bound to ``path``; a socket that nobody listens on is taken away first."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_abandoned(path):
            Path(path).unlink()
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    return sock


def _is_abandoned(path: str) -> bool:
    with contextlib.suppress(OSError, ValueError):  # ValueError: a name that begins with "\0"
        if stat.S_ISSOCK(Path(path).stat().st_mode):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    return True
    return False


def unlink(path: str, inode: int) -> None:
    """Remove the Unix socket at ``path``, unless a successor has put its own there."""
    with contextlib.suppress(OSError):
        if Path(path).stat().st_ino == inode:
            Path(path).unlink()


def inherited(
    environ: Mapping[str, str] | None = None, pid: int | None = None
) -> list[socket.socket]:
    """The listening sockets that systemd, or another parent, has given us (sd_listen_fds(3)).

    None if there are not any. Raises ``ValueError`` for what is no stream socket.
    """
    environ = os.environ if environ is None else environ
    if environ.get("LISTEN_PID") != str(os.getpid() if pid is None else pid):
        return []
    count = environ.get("LISTEN_FDS", "")
    if not count.isdecimal():
        return []
    sockets = []
    for fd in range(_FIRST, _FIRST + int(count)):
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f"descriptor {fd} is no stream socket: {sock!r}")
        sockets.append(sock)
    return sockets


def notify(state: str, environ: Mapping[str, str] | None = None) -> None:
    """Tell systemd (sd_notify(3)): ``READY=1``, ``STOPPING=1``, ... If it is not there: nothing."""
    address = (os.environ if environ is None else environ).get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(state.encode(), address.replace("@", "\0", 1))
