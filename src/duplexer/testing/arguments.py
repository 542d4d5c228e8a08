"""Which of a pair's arguments are for its client, and which for its server."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from duplexer.driver.connecting import ConnectBase
from duplexer.driver.serving import ServeBase

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["URI", "divided"]

#: Whom the client asks for, unless it is told otherwise.
URI = "ws://localhost/"

#: What a connection in memory has no use for.
_NETWORK = frozenset(
    {
        "proxy",
        "proxy_ssl",
        "proxy_server_hostname",
        "sock",
        "host",
        "port",
        "path",
        "family",
        "local_addr",
        "ssl",
        "server_hostname",
    }
)
#: The same name for two things: of which end is it?
_AMBIGUOUS = frozenset({"extensions", "create_connection", "logger"})


def _names(init: Any) -> frozenset[str]:
    return frozenset(inspect.signature(init).parameters) - {"self", "handler", "uri", "own"}


def divided(
    function: str,
    both: Mapping[str, Any],
    client: Mapping[str, Any] | None,
    server: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of ``connect`` and of ``serve`` among those of ``function``.

    What is in ``both`` goes to the end that knows it, or to both that do; ``client`` and
    ``server`` are for one. Raises ``TypeError`` for what nobody knows.
    """
    for_client, for_server = _names(ConnectBase.__init__), _names(ServeBase.__init__)
    for name in (*both, *(client or {}), *(server or {})):
        if name in _NETWORK:
            raise TypeError(f"{function}() is in memory: {name} has no meaning there")
    for name in both:
        if name in _AMBIGUOUS:
            raise TypeError(
                f"{function}(): {name} is of one end: give it in client={{...}} or server={{...}}"
            )
        if name not in for_client | for_server:
            raise TypeError(
                f"{function}() got an unexpected keyword argument {name!r}; "
                "it takes those of connect() and serve()"
            )
    return (
        {name: both[name] for name in both if name in for_client} | dict(client or {}),
        {name: both[name] for name in both if name in for_server} | dict(server or {}),
    )
