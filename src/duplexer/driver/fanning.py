"""One message for many connections, whatever their front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexer.core.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["fan_out"]


def fan_out(
    connections: Iterable[Any],
    message: str | bytes | bytearray | memoryview | Prepared,
    raise_exceptions: bool,
    text: bool | None,
) -> None:
    """Send a message to many connections, framed and compressed once, waiting for none.

    Connections that are not open are passed over, and so are those in the middle of a fragmented
    message. One that has more than ``Limits.write_hard`` bytes to read first is failed with 1008:
    it is not allowed to hold everybody's memory. ``raise_exceptions=True`` collects such failures
    in an :exc:`ExceptionGroup`.
    """
    prepared = message if isinstance(message, Prepared) else Prepared(message, text)
    failures: list[Exception] = []
    for connection in connections:
        session = connection.session
        if session is None or not session.is_open:
            continue
        try:
            if connection.fragmenting is not None:
                raise BufferError("a fragmented message is being sent")
            connection.send_nowait(prepared)
        except BufferError as exc:
            if connection.fragmenting is None:
                session.fail(exc, 1008, "slow consumer")
                connection.abort()
            failures.append(exc)
        except Exception as exc:  # noqa: BLE001 - one connection must not keep others waiting
            failures.append(exc)
    if failures and raise_exceptions:
        raise ExceptionGroup("broadcast failed", failures)
