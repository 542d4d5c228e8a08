"""Scripts in memory: a player as an asyncio protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from duplexer.driver.steps import Read, Write
from duplexer.testing.player import Break, Pause, Player

if TYPE_CHECKING:
    from duplexer.testing.memory import MemoryTransport

__all__ = ["ScriptProtocol"]


class ScriptProtocol(asyncio.Protocol):
    """Plays ``player`` on the transport that it is given; ``done`` is set when that is over."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.done = asyncio.Event()
        self._steps = player.steps()
        self._transport: MemoryTransport
        self._data: list[bytes] = []  # what came and was not asked for yet; b"" is the end
        self._reads = False

    def connection_made(self, transport: Any) -> None:
        """Part of asyncio's Protocol."""
        self._transport = transport
        self._advance(None)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's Protocol."""
        self._data.append(data)
        if self._reads:
            self._reads = False
            self._advance(self._data.pop(0))

    def eof_received(self) -> bool:
        """Part of asyncio's Protocol."""
        self.data_received(b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio's Protocol."""
        self.data_received(b"")
        self._over()

    def _advance(self, value: bytes | None) -> None:
        try:
            while True:
                step = self._steps.send(value)
                value = None
                if isinstance(step, Read):
                    if not self._data:
                        self._reads = True
                        return
                    value = self._data.pop(0)
                elif isinstance(step, Write):
                    self._transport.write(step.data)
                elif isinstance(step, Pause):
                    self._pause(step.seconds)
                    return
                elif isinstance(step, Break):
                    self._transport.reset()
                else:
                    self._transport.write_eof()
        except StopIteration:
            if not self.player.is_stalled:
                self._transport.close()
            self._over()

    def _pause(self, seconds: float | None) -> None:
        if seconds is None:
            self._transport.pause_reading()
            self._advance(None)  # nothing follows in the script either
        else:
            asyncio.get_running_loop().call_later(seconds, self._advance, None)

    def _over(self) -> None:
        self.done.set()

    def stop(self) -> None:
        """The test is over: whoever is not finished yet has missed something."""
        player = self.player
        if not player.finished and player.mismatch is None:
            player.fail("the test is over, and this has not happened")
        self._transport.abort()
