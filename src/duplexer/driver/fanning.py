"""One message for many connections, whatever their front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexer.core.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["broadcast", "fan_out"]


def broadcast(
    connections: Iterable[Any],
    message: str | bytes | bytearray | memoryview | Prepared,
    raise_exceptions: bool = False,
    text: bool | None = None,
) -> None:
    """Send a message to many connections, framed and compressed once, waiting for none.

    Connections that are not open are passed over, and so are those that have yet to say who they
    are (``Bearer``), and those in the middle of a fragmented message. One that has more than
    ``Limits.write_hard`` bytes to read first is failed with 1008: it is not allowed to hold
    everybody's memory. For those with a ``send_queue`` its rules hold in place of both.
    ``raise_exceptions=True`` collects failures in an :exc:`ExceptionGroup`.
    """
    fan_out(connections, message, raise_exceptions, text)


def fan_out(
    connections: Iterable[Any],
    message: str | bytes | bytearray | memoryview | Prepared,
    raise_exceptions: bool,
    text: bool | None,
    quickly: Callable[[Iterable[Any], Prepared, list[Exception]], Iterable[Any]] | None = None,
) -> None:
    """What :func:`broadcast` does.

    ``quickly`` serves those whom it can, in a front's own way, and gives back the others.
    """
    prepared = message if isinstance(message, Prepared) else Prepared(message, text)
    failures: list[Exception] = []
    if quickly is not None:
        connections = quickly(connections, prepared, failures)
    for connection in connections:
        session = connection.session
        if session is None or not session.is_open or session.is_stranger:
            continue
        send_to(connection, prepared, failures)
    if failures and raise_exceptions:
        raise ExceptionGroup("broadcast failed", failures)


def send_to(connection: Any, prepared: Prepared, failures: list[Exception]) -> None:
    """Send to one of many, or fail it: nobody holds up the others, or holds their memory."""
    busy = connection.fragmenting is not None and connection.backlog is None
    try:
        if busy:
            raise BufferError("a fragmented message is being sent")
        connection.send_nowait(prepared)
    except BufferError as exc:
        if not busy:
            connection.session.fail(exc, 1008, "slow consumer")
            connection.abort()
        failures.append(exc)
    except Exception as exc:  # noqa: BLE001 - one connection must not keep others waiting
        failures.append(exc)
