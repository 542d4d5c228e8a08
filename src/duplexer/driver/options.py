"""The arguments that ``connect`` and ``serve`` of every front understand alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexer.core.heartbeat import Heartbeat
from duplexer.core.staying import Staying
from duplexer.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from duplexer.core.extension import ClientExtensionFactory, ServerExtensionFactory

__all__ = [
    "UNSET",
    "bounds_among",
    "check_arguments",
    "check_redirects",
    "client_extensions",
    "limits_from",
    "server_extensions",
    "staying_from",
]


class _Unset:
    """Says that an argument was not given, where ``None`` means something."""

    def __repr__(self) -> str:
        return "<as in Limits>"


UNSET: Any = _Unset()

#: Name of the argument, as users of ``websockets`` know it → field of ``Limits``.
_FIELDS = {
    "open_timeout": "open_timeout",
    "ping_interval": "ping_interval",
    "ping_timeout": "ping_timeout",
    "close_timeout": "close_timeout",
    "max_size": "max_message",
    "max_queue": "queue_messages",
    "write_limit": "write_high",
}


def limits_from(limits: Limits | None, **given: Any) -> Limits:
    """``limits`` with what was given beside it; pairs are as in ``websockets``.

    ``max_size`` may be ``(message, fragment)``, ``max_queue`` and ``write_limit`` ``(high, low)``
    of which the low mark is ours to choose. Raises ``TypeError`` and ``ValueError`` as ``Limits``.
    """
    base = DEFAULT_LIMITS if limits is None else limits
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if value is UNSET:
            continue
        changes[_FIELDS[name]] = value[0] if isinstance(value, tuple) else value
        if name == "max_size" and isinstance(value, tuple):
            changes["max_frame"] = value[1]
    return base.replace(**changes) if changes else base


def bounds_among(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a function's ``arguments`` that are for :func:`limits_from`."""
    return {name: arguments[name] for name in _FIELDS}


def check_arguments(function: str, given: Iterable[str], known: frozenset[str]) -> None:
    """Raise ``TypeError`` for an argument that neither we nor the event loop know."""
    for name in given:
        if name not in known:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def check_redirects(redirects: Any) -> int:
    """How many redirects to follow; ``TypeError`` or ``ValueError`` for anything else."""
    if isinstance(redirects, bool) or not isinstance(redirects, int):
        raise TypeError(f"redirects must be an int, not {type(redirects).__name__}")
    if redirects < 0:
        raise ValueError(f"redirects must not be negative: {redirects}")
    return redirects


def _wants_deflate(compression: str | None) -> bool:
    if compression not in (None, "deflate"):
        raise ValueError(f"unsupported compression: {compression!r}; use 'deflate' or None")
    return compression == "deflate"


def server_extensions(
    extensions: Sequence[ServerExtensionFactory] | None,
    compression: str | None,
    limits: Limits,
) -> tuple[ServerExtensionFactory, ...]:
    """The extensions that a server accepts."""
    if not _wants_deflate(compression):
        return tuple(extensions or ())
    from duplexer.extensions.deflate import enable_server_permessage_deflate

    return tuple(enable_server_permessage_deflate(extensions, limits=limits))


def client_extensions(
    extensions: Sequence[ClientExtensionFactory] | None,
    compression: str | None,
    limits: Limits,
) -> tuple[ClientExtensionFactory, ...]:
    """The extensions that a client offers."""
    if not _wants_deflate(compression):
        return tuple(extensions or ())
    from duplexer.extensions.deflate import enable_client_permessage_deflate

    return tuple(enable_client_permessage_deflate(extensions, limits=limits))


def staying_from(
    heartbeat: Heartbeat | None, keep_unacknowledged: bool, lifetime: float | None = None
) -> Staying | None:
    """What connections do to stay; ``None`` for nothing out of the ordinary."""
    if heartbeat is not None and not isinstance(heartbeat, Heartbeat):
        raise TypeError(f"heartbeat must be a Heartbeat, not {type(heartbeat).__name__}")
    if heartbeat is None and not keep_unacknowledged and lifetime is None:
        return None
    return Staying(heartbeat=heartbeat, keep_unacknowledged=keep_unacknowledged, lifetime=lifetime)
