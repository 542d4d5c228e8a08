"""Closing between two messages: what is at work is finished, what has not begun is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from duplexer.core.session import check_close

if TYPE_CHECKING:
    from duplexer.core.session import Session

__all__ = ["Finishing"]

#: Seconds until ``finish()`` looks again whether a message that is read in pieces has ended.
_LOOK_AGAIN = 0.05


class Finishing:
    """Gives a connection ``finish()``."""

    __slots__ = ()

    if TYPE_CHECKING:
        session: Session | None
        streaming: Any
        listener: Any
        receiver: Any
        start_close: Callable[..., None]
        stop_reading: Callable[[], None]  #: until the connection closes
        call_later: Callable[[float, Callable[[], None]], None]

    #: code and reason of the Close that ``finish()`` was called for
    finishing: tuple[int | None, str] | None = None
    #: messages that ``dispatch()`` has begun to handle; with the last of them it looks again
    at_work: int = 0

    def finish(self, code: int | None = 1012, reason: str = "") -> None:
        """Close between two messages: who handles one finishes it first, its answer included.

        The Close is sent when the handler asks for the next message, and at once if it is waiting
        for one. What the peer sent and the handler was not given by then is not looked at, so that
        a peer who waits for answers knows: what was answered was handled, all else was not. A
        handler that never asks for a message again has to be closed by ``close()``.
        """
        check_close(code, reason)
        session = self.session
        if session is None or not session.is_open:
            self.start_close(code, reason)
            return
        self.finishing = (code, reason)  # type: ignore[misc]  # front: has a __dict__
        if self.streaming is not None:  # within a message: its rest is needed
            self.call_later(_LOOK_AGAIN, self._look_again)
        elif self._is_between_messages(session):
            self.finish_between()
        else:
            self.stop_reading()

    def finish_between(self) -> bool:
        """The handler asks for a message, and there is none: close if that was waited for."""
        session = self.session
        if self.finishing is None or session is None or not session.is_open or self.at_work:
            return False
        session.assembler.deaf = True  # to what the peer says before it has read our Close
        self.start_close(*self.finishing)
        return True

    def _is_between_messages(self, session: Session) -> bool:
        # As far as can be told: a handler says nothing until it asks for the next one.
        if session.inbox.count or self.at_work:
            return False
        never = not session.assembler.serial  # no message has ever come
        return never or self.listener is not None or self.receiver is not None

    def _look_again(self) -> None:
        if self.finishing is not None and self.session is not None and self.session.is_open:
            self.finish(*self.finishing)
