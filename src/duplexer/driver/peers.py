"""How logs and spans name who is at the other end of a connection."""

from __future__ import annotations

from typing import Any

__all__ = ["address_of", "shown_address"]


def address_of(connection: Any) -> Any:
    """The address of the one that the peer speaks for, if it is a trusted proxy; or its own."""
    client = getattr(connection, "client", None)  # only connections of a server have one
    return connection.remote_address if client is None else client.address


def shown_address(connection: Any) -> str:
    """The same as text; ``local`` where there is none, as on a Unix socket."""
    address = address_of(connection)
    if not isinstance(address, tuple) or len(address) < 2:
        return "local"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
