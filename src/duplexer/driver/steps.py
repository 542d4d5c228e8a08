"""The steps of opening a connection: what a front must do next.

Dialling, accepting and proxies are generators that yield steps and are sent their outcome. A front
is a loop over them; how it reads, writes or calls is its own business.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

__all__ = [
    "Call",
    "Connect",
    "Disconnect",
    "Overdue",
    "Read",
    "Resolve",
    "Route",
    "RouteStep",
    "Shake",
    "StartTls",
    "Step",
    "Steps",
    "Write",
]


class Read:
    """Wants the next bytes of the peer; ``b""`` says that there will be none.

    They may take ``timeout`` seconds from when ``stage`` was first seen, all reads of that stage
    together; then ``TimeoutError`` is thrown in. ``None`` leaves the time to whoever dials. With a
    ``size`` no more bytes than that are taken: what follows is not for who asks. ``idle`` says that
    nothing has begun: the peer may never send more, and nobody need wait for it.
    """

    def __init__(
        self,
        timeout: float | None = None,
        stage: int = 0,
        *,
        size: int | None = None,
        idle: bool = False,
    ) -> None:
        self.timeout = timeout
        self.stage = stage
        self.size = size
        self.idle = idle


class Write:
    """Wants ``data`` to be written, and nothing back."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Call:
    """Wants a function of the user's to be called, and what it gives back.

    A front that must not block calls a ``blocking`` function in a thread; one that can await awaits
    what it gave, there as here. What it raises is thrown in. If it has to end ``in_time`` that is
    the time for the ``Read`` before it; then :exc:`Overdue` is thrown in, and what can be cancelled
    is.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        blocking: bool = False,
        *,
        in_time: bool = False,
    ) -> None:
        self.function = function
        self.args = args
        self.blocking = blocking
        self.in_time = in_time


class Overdue(Exception):
    """A ``Call`` has not ended in time."""


class Connect:
    """Wants a byte stream to ``where`` (see :class:`~duplexer.driver.connecting.Where`).

    That has a ``sock``, a ``path``, or both ``host`` and ``port``. A failure is thrown in as
    :exc:`OSError`. Every address that is tried takes a turn of its own (see
    :class:`~duplexer.driver.opening.Opening`), or with ``turn_at`` all of them take that one.
    """

    def __init__(self, where: Any, turn_at: Any = None) -> None:
        self.where = where
        self.turn_at = turn_at


class Resolve:
    """Wants what ``getaddrinfo`` gives for ``host``, of stream sockets."""

    def __init__(self, host: str, port: int, family: int = 0) -> None:
        self.host = host
        self.port = port
        self.family = family


class StartTls:
    """Wants TLS from here on, as a client; what came before may have been TLS as well.

    ``server_hostname`` is the name to ask for and to check. ``final`` says that the byte stream
    then goes to the server: nothing but the WebSocket follows.
    """

    def __init__(self, context: Any, server_hostname: str, final: bool) -> None:
        self.context = context
        self.server_hostname = server_hostname
        self.final = final


class Disconnect:
    """Wants the byte stream to be closed: another ``Connect`` is going to follow."""


class Shake:
    """Wants a connection on the byte stream, and its opening handshake: the open connection."""

    def __init__(self, handshake: Any) -> None:
        self.handshake = handshake


#: The steps of a handshake, on a byte stream that is there ...
Step = Read | Write | Call
#: ... in a generator that gives back ``Any`` at its end.
Steps = Generator[Step, Any, Any]

#: The steps of a client's way to that byte stream ...
RouteStep = Step | Resolve | Connect | StartTls | Disconnect
#: ... in a generator that ends when it is there.
Route = Generator[RouteStep, Any, None]
