"""Closing between two messages: what is at work is finished, what has not begun is left alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from duplexer.core.session import check_close

if TYPE_CHECKING:
    from duplexer.core.session import Session

__all__ = ["Finishing"]


class Finishing:
    """Gives a connection ``finish()``."""

    __slots__ = ()

    if TYPE_CHECKING:
        session: Session | None
        streaming: Any
        start_close: Callable[..., None]
        is_receiving: Callable[[], Any]
        #: let no more messages come to the handler; who asks when there is none is told to
        #: ``finish_between()``
        take_no_more: Callable[[], None]

    #: who is called with messages, in place of one who asks for them
    listener: Any = None
    #: code and reason of the Close that ``finish()`` was called for
    finishing: tuple[int | None, str] | None = None
    #: messages that ``dispatch()`` has begun to handle; with the last of them it looks again
    at_work: int = 0
    #: held while the connection is changed, where there are threads
    mutex: Any = contextlib.nullcontext()

    def finish(self, code: int | None = 1012, reason: str = "") -> None:
        """Close between two messages: who handles one finishes it first, its answer included.

        The Close is sent when the handler asks for the next message, and at once if it is waiting
        for one. What the peer sent and the handler was not given by then is not looked at, so that
        a peer who waits for answers knows: what was answered was handled, all else was not. A
        handler that never asks for a message again has to be closed by ``close()``.
        """
        check_close(code, reason)
        with self.mutex:
            self.finishing = (code, reason)  # type: ignore[misc]  # front: has a __dict__
            self.look_again()

    def look_again(self) -> None:
        """It is to finish, and something has changed; the mutex is held."""
        session = self.session
        if session is None or not session.is_open:
            assert self.finishing is not None
            self.begin_close(*self.finishing)
        elif self.streaming is not None and session.assembler.opcode:
            pass  # the rest of the message is needed: who takes the last of it looks again
        elif self._is_between_messages(session):
            self.finish_between()
        else:
            self.take_no_more()

    def finish_between(self) -> bool:
        """The handler asks for a message, and there is none: close if that was waited for."""
        session = self.session
        if self.finishing is None or session is None or not session.is_open or self.at_work:
            return False
        session.assembler.deaf = True  # to what the peer says before it has read our Close
        self.begin_close(*self.finishing)
        return True

    def begin_close(self, code: int | None, reason: str) -> None:
        """``start_close()``, for who holds the mutex."""
        self.start_close(code, reason)

    def _is_between_messages(self, session: Session) -> bool:
        # As far as can be told: a handler says nothing until it asks for the next one.
        if session.inbox.count or self.at_work:
            return False
        never = not session.assembler.serial  # no message has ever come
        return never or self.listener is not None or bool(self.is_receiving())
