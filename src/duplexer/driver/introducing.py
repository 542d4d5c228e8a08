"""The steps of hearing from a proxy for whom it speaks, before TLS and the handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexer.carriers.preamble import Preamble
from duplexer.driver.steps import Read

if TYPE_CHECKING:
    from duplexer.driver.steps import Steps
    from duplexer.policy.networks import Networks

__all__ = ["introduce"]


def introduce(connection: Any, introducers: Networks | None) -> Steps:
    """Read the PROXY header of ``connection`` if its peer is one of ``introducers``; else nothing.

    Raises :exc:`~duplexer.errors.InvalidMessage` if there is none, and what ``introduce`` of
    :class:`~duplexer.driver.roster.RosterEntry` does.
    """
    if introducers is None or connection.remote_address not in introducers:
        return
    preamble = Preamble(connection.limits.max_preamble)
    while not preamble.done:
        try:
            data = yield Read(size=preamble.wants)
        except TimeoutError as exc:
            raise TimeoutError("no PROXY header came in time (open_timeout)") from exc
        preamble.feed(data)
    connection.introduce(preamble.source)
