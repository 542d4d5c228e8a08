"""The lock of a connection: see mutex.pyx, which does it in C.

Like ``core/bytesops`` this is a leaf with two bodies; both pass the same tests. Nobody waits while
holding it, so that waiting for it need not be interrupted, and is not: what Ctrl-C interrupts is
the wait for the peer, and who comes back from that holds the lock again, whatever happens.
"""

from __future__ import annotations

import _thread
from threading import get_ident
from typing import TYPE_CHECKING, Any

from duplexer.errors import ConcurrencyError

__all__ = ["WITHIN", "Mutex"]

WITHIN = (
    "the connection is called in the middle of another call of the same thread, by a "
    "signal handler, a log handler or the like: leave it to another thread"
)


class Mutex(_thread.RLock):  # type: ignore[misc]  # it is not final
    """A lock whose owner gets an error, and does not wait for itself.

    It would where a call is interrupted by a signal handler, or calls the user's code, and that
    calls the connection.
    """

    if TYPE_CHECKING:

        def _is_owned(self) -> bool: ...
        def _acquire_restore(self, state: Any) -> None: ...

    def __enter__(self) -> bool:  # type: ignore[override]  # nobody gives it arguments
        if self._is_owned():
            raise ConcurrencyError(WITHIN)
        try:
            return self.acquire()
        except BaseException:  # Ctrl-C, and nobody would release it
            if self._is_owned():
                self.release()
            raise

    def regain(self) -> None:
        """Take it, if it is not held: no signal ends this."""
        if not self._is_owned():
            self._acquire_restore((1, get_ident()))
