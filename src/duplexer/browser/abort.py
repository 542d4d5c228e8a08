"""``AbortController`` and ``AbortSignal``, as in the DOM standard."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from duplexer.browser.events import Event, EventHandler, EventTarget
from duplexer.browser.exceptions import DOMException

if TYPE_CHECKING:
    from duplexer.browser.events import _Listener

__all__ = ["AbortController", "AbortSignal"]


class AbortSignal(EventTarget):
    """Tells those it was given to that they are to stop: ``aborted``, ``reason``, event ``abort``.

    Made by an :class:`AbortController`, or by ``abort()``, ``timeout()`` and ``any()``.
    """

    onabort = EventHandler()

    def __init__(self) -> None:
        super().__init__()
        self._aborted = False
        self._reason: BaseException | Any = None
        self._actions: list[Callable[[], None]] = []
        # Those who listen to something else, and the signals of any(): a signal of the whole
        # program keeps none of them alive, but for signals that somebody waits for.
        self._followers: weakref.WeakKeyDictionary[_Listener, weakref.ref[EventTarget]]
        self._followers = weakref.WeakKeyDictionary()
        self._sources: list[AbortSignal] = []
        self._dependents: weakref.WeakKeyDictionary[AbortSignal, None]
        self._dependents = weakref.WeakKeyDictionary()
        self._awaited: set[AbortSignal] = set()  # of the dependents

    @property
    def aborted(self) -> bool:
        """Whether it has been aborted."""
        return self._aborted

    @property
    def reason(self) -> Any:
        """Why: an "AbortError" unless something else was given. ``None`` while not aborted."""
        return self._reason

    def throwIfAborted(self) -> None:
        """Raise ``reason`` if it has been aborted."""
        if self._aborted:
            raise as_exception(self._reason)

    @classmethod
    def abort(cls, reason: Any = None) -> AbortSignal:
        """A signal that is aborted already."""
        signal = cls()
        signal._abort(reason)
        return signal

    @classmethod
    def timeout(cls, milliseconds: float) -> AbortSignal:
        """A signal that is aborted after so many milliseconds, with a "TimeoutError"."""
        if milliseconds < 0:
            raise TypeError(f"milliseconds must not be negative: {milliseconds}")
        signal = cls()
        reason = DOMException("the signal's time is over", "TimeoutError")
        asyncio.get_running_loop().call_later(milliseconds / 1000, signal._abort, reason)
        return signal

    @classmethod
    def any(cls, signals: Iterable[AbortSignal]) -> AbortSignal:
        """A signal that is aborted as soon as one of ``signals`` is, with its reason."""
        sources = list(signals)
        for source in sources:
            if source.aborted:
                return cls.abort(source.reason)
        signal = cls()
        for source in sources:
            signal._sources += source._sources or [source]
        for source in signal._sources:
            source._dependents[signal] = None
        return signal

    def _listeners_changed(self) -> None:
        for source in self._sources:
            if self._listeners or self._actions:
                source._awaited.add(self)
            else:
                source._awaited.discard(self)

    # -- for those it was given to ---------------------------------------------------------------

    def on_abort(self, action: Callable[[], None]) -> Callable[[], None]:
        """Have ``action`` called before listeners hear of it; call what is returned to undo it."""
        self._actions.append(action)
        self._listeners_changed()

        def undo() -> None:
            if action in self._actions:
                self._actions.remove(action)
                self._listeners_changed()

        return undo

    def follow(self, target: EventTarget, listener: _Listener) -> None:
        """Remove ``listener`` from ``target`` when it is aborted."""
        self._followers[listener] = weakref.ref(target)

    def unfollow(self, listener: _Listener) -> None:
        """``listener`` has been removed."""
        self._followers.pop(listener, None)

    def _abort(self, reason: Any = None) -> None:
        if self._aborted:
            return
        if reason is None:
            reason = DOMException("the signal was aborted", "AbortError")
        aborted = [self, *[signal for signal in self._dependents if not signal._aborted]]
        for signal in aborted:
            signal._aborted, signal._reason = True, reason
        for signal in aborted:
            signal._run_abort_steps()

    def _run_abort_steps(self) -> None:
        for listener, reference in list(self._followers.items()):
            target = reference()
            if target is not None:
                target._remove(listener)
        actions, self._actions = self._actions, []
        for action in actions:
            action()
        self._fire(Event("abort"))
        sources, self._sources = self._sources, []
        for source in sources:
            source._awaited.discard(self)


class AbortController:
    """Aborts its ``signal``."""

    def __init__(self) -> None:
        self.signal = AbortSignal()

    def abort(self, reason: Any = None) -> None:
        """Abort ``signal``, by ``reason``: by default an "AbortError". Once is enough."""
        self.signal._abort(reason)


def as_exception(reason: Any) -> BaseException:
    """``reason`` as something that can be raised: JavaScript throws anything."""
    if isinstance(reason, BaseException):
        return reason
    return DOMException(str(reason), "AbortError")
