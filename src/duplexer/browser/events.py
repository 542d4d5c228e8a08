"""Events and their targets, as in the DOM standard: order, ``once``, ``signal``, handlers.

A target has no parents here: an event is only ever "at target".
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable, Coroutine, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from duplexer.browser.exceptions import DOMException
from duplexer.browser.idl import members

if TYPE_CHECKING:
    from duplexer.browser.abort import AbortSignal

__all__ = ["CloseEvent", "ErrorEvent", "Event", "EventHandler", "EventTarget", "MessageEvent"]

_logger = logging.getLogger("duplexer.browser")
_began = monotonic()


class Event:
    """Something that has happened to ``target``.

    ``init`` is a mapping of ``bubbles``, ``cancelable`` and ``composed``, and of what the class
    adds; keywords will do as well. ``timeStamp`` is in milliseconds.
    """

    NONE = 0
    CAPTURING_PHASE = 1
    AT_TARGET = 2
    BUBBLING_PHASE = 3

    #: What ``init`` may have, and what is there if it has not.
    MEMBERS: ClassVar[dict[str, Any]] = {"bubbles": False, "cancelable": False, "composed": False}

    bubbles: bool
    cancelable: bool
    composed: bool

    def __init__(self, type: str, init: Mapping[str, Any] | None = None, **keywords: Any) -> None:  # noqa: A002 - the standard's name
        unknown = keywords.keys() - self.MEMBERS.keys()
        if unknown:
            raise TypeError(f"{self.__class__.__name__} has no member {min(unknown)!r}")
        self.type = type
        self.__dict__.update(members(init, {**self.MEMBERS, **keywords}, "init"))
        self.target: EventTarget | None = None
        self.currentTarget: EventTarget | None = None
        self.eventPhase = self.NONE
        self.isTrusted = False
        self.timeStamp = (monotonic() - _began) * 1000.0
        self.defaultPrevented = False
        self._stopped = False
        self._stopped_at_once = False
        self._dispatching = False
        self._passive = False

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._own_members())
        return f"{self.__class__.__name__}({self.type!r}{', ' if shown else ''}{shown})"

    def _own_members(self) -> list[str]:
        return [name for name in self.MEMBERS if name not in Event.MEMBERS]

    def preventDefault(self) -> None:
        """Set ``defaultPrevented``, if it is cancelable and the listener is not passive."""
        if self.cancelable and not self._passive:
            self.defaultPrevented = True

    def stopPropagation(self) -> None:
        """Go no further than to the listeners of this phase."""
        self._stopped = True

    def stopImmediatePropagation(self) -> None:
        """Call no listener any more."""
        self._stopped = self._stopped_at_once = True

    def composedPath(self) -> list[EventTarget]:
        """The targets that it goes to: one, while it is dispatched."""
        return [] if self.currentTarget is None else [self.currentTarget]


class MessageEvent(Event):
    """A message has come: ``data`` is ``str``, ``bytes`` or a ``Blob``."""

    MEMBERS: ClassVar[dict[str, Any]] = {
        **Event.MEMBERS, "data": None, "origin": "", "lastEventId": "", "source": None, "ports": ()
    }  # fmt: skip

    data: Any
    origin: str
    lastEventId: str
    source: Any
    ports: tuple[Any, ...]


class CloseEvent(Event):
    """The connection is closed: properly (``wasClean``) or not, with the peer's code and reason."""

    MEMBERS: ClassVar[dict[str, Any]] = {
        **Event.MEMBERS, "wasClean": False, "code": 0, "reason": ""
    }  # fmt: skip

    wasClean: bool
    code: int
    reason: str


class ErrorEvent(Event):
    """The connection has failed: ``error`` is the exception, ``message`` its text.

    Pages are given a plain ``Event`` here, so that they cannot find out about their user's network.
    """

    MEMBERS: ClassVar[dict[str, Any]] = {**Event.MEMBERS, "message": "", "error": None}

    message: str
    error: BaseException | None


class _Listener:
    """An entry of the list of listeners."""

    __slots__ = (
        "__weakref__",
        "callback",
        "capture",
        "once",
        "passive",
        "removed",
        "signal",
        "type",
    )

    def __init__(self, type: str, callback: Any, capture: bool = False) -> None:  # noqa: A002
        self.type = type
        self.callback = callback
        self.capture = capture
        self.once = False
        self.passive = False
        self.removed = False
        self.signal: AbortSignal | None = None


class EventTarget:
    """What events happen to, and listeners listen to.

    A listener is a function, a coroutine function (it is run as a task), or an object with
    ``handleEvent``. What it raises is reported to the event loop's exception handler and keeps no
    other from being called.
    """

    def __init__(self) -> None:
        self._listeners: list[_Listener] = []
        self._handlers: dict[str, _Handler] = {}

    # -- listening -------------------------------------------------------------------------------

    def addEventListener(
        self,
        type: str,  # noqa: A002
        callback: Any,
        options: Mapping[str, Any] | bool | None = None,
        **keywords: Any,
    ) -> None:
        """Have ``callback`` called with each event of ``type``; the same one twice counts once.

        ``options``, or keywords: ``once`` (the first time only), ``signal`` (until that
        :class:`AbortSignal` is aborted), ``passive`` and ``capture`` (before those without).
        ``True`` for all of it means ``capture``.
        """
        flags = _flags(options, keywords)
        signal = flags["signal"]
        if callback is None or (signal is not None and signal.aborted):
            return
        if not callable(callback) and not hasattr(callback, "handleEvent"):
            raise TypeError(f"a listener must be callable, not {callback.__class__.__name__}")
        if self._find(type, callback, flags["capture"]) is not None:
            return
        listener = _Listener(type, callback, flags["capture"])
        listener.once, listener.passive, listener.signal = flags["once"], flags["passive"], signal
        self._listeners.append(listener)
        if signal is not None:
            signal.follow(self, listener)
        self._listeners_changed()

    def removeEventListener(
        self,
        type: str,  # noqa: A002
        callback: Any,
        options: Mapping[str, Any] | bool | None = None,
        **keywords: Any,
    ) -> None:
        """Undo ``addEventListener``; of its options, ``capture`` has to be the same."""
        listener = self._find(type, callback, _flags(options, keywords)["capture"])
        if listener is not None:
            self._remove(listener)

    def _find(self, kind: str, callback: Any, capture: bool) -> _Listener | None:
        # By ==, not by `is`: a method of an object is a new object whenever it is asked for.
        for listener in self._listeners:
            if (
                listener.type == kind
                and listener.capture is capture
                and listener.callback == callback
            ):
                return listener
        return None

    def _remove(self, listener: _Listener) -> None:
        if listener.removed:
            return
        listener.removed = True
        self._listeners.remove(listener)
        if listener.signal is not None:
            listener.signal.unfollow(listener)
        self._listeners_changed()

    def _listeners_changed(self) -> None:
        """For those who live as long as somebody listens."""

    def _listens_to(self, *kinds: str) -> bool:
        return any(listener.type in kinds for listener in self._listeners)

    # -- dispatching -----------------------------------------------------------------------------

    def dispatchEvent(self, event: Event) -> bool:
        """Call the listeners now; ``False`` if one of them has prevented the default.

        Raises "InvalidStateError" if ``event`` is being dispatched already.
        """
        if event._dispatching:
            raise DOMException("the event is being dispatched already", "InvalidStateError")
        event.isTrusted = False
        self._dispatch(event)
        return not event.defaultPrevented

    def _fire(self, event: Event) -> None:
        event.isTrusted = True
        self._dispatch(event)

    def _dispatch(self, event: Event) -> None:
        event._dispatching = True
        event.target = event.currentTarget = self
        event.eventPhase = Event.AT_TARGET
        for capture in (True, False):
            if not event._stopped:
                self._invoke(event, capture)
        event.eventPhase = Event.NONE
        event.currentTarget = None
        event._dispatching = event._stopped = event._stopped_at_once = False

    def _invoke(self, event: Event, capture: bool) -> None:
        for listener in list(self._listeners):  # those that are added now come with the next event
            if listener.removed or listener.type != event.type or listener.capture is not capture:
                continue
            if listener.once:
                self._remove(listener)
            event._passive = listener.passive
            try:
                self._call(listener, event)
            except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - the user's code
                report(exc, event)
            event._passive = False
            if event._stopped_at_once:
                return

    def _call(self, listener: _Listener, event: Event) -> None:
        callback = listener.callback
        result = callback(event) if callable(callback) else callback.handleEvent(event)
        if inspect.iscoroutine(result):
            self._run(result, event)
        elif result is False and isinstance(callback, _Handler):
            event.preventDefault()

    def _run(self, coroutine: Coroutine[Any, Any, Any], event: Event) -> asyncio.Task[Any]:
        """Run what a coroutine function gave back as a task of its own."""
        try:
            task = asyncio.get_running_loop().create_task(coroutine)
        except RuntimeError:
            coroutine.close()
            raise
        _running.add(task)
        task.add_done_callback(lambda task: _ended(task, event))
        return task


#: Tasks of listeners; the loop itself would not keep them.
_running: set[asyncio.Task[Any]] = set()


def _ended(task: asyncio.Task[Any], event: Event) -> None:
    _running.discard(task)
    if not task.cancelled():
        exc = task.exception()
        if exc is not None:
            report(exc, event)


def report(exc: BaseException, event: Event) -> None:
    """Report what a listener has raised: to the event loop, or to the log if there is none."""
    message = f"exception in a listener for {event.type!r}"
    with contextlib.suppress(RuntimeError):
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": message, "exception": exc, "event": event})
        return
    _logger.error(message, exc_info=exc)


def _flags(options: Mapping[str, Any] | bool | None, keywords: dict[str, Any]) -> dict[str, Any]:
    if isinstance(options, bool):
        options = {"capture": options}
    defaults = {"capture": False, "once": False, "passive": False, "signal": None}
    unknown = keywords.keys() - defaults.keys()
    if unknown:
        raise TypeError(f"there is no option {min(unknown)!r} of listeners")
    flags = members(options, {**defaults, **keywords}, "options")
    signal = flags.pop("signal")
    if signal is not None and not hasattr(signal, "aborted"):
        raise TypeError(f"signal must be an AbortSignal, not {type(signal).__name__}")
    return {**{name: bool(flag) for name, flag in flags.items()}, "signal": signal}


class _Handler:
    """The listener behind a handler attribute. It keeps its place when the handler is replaced."""

    __slots__ = ("function", "listener")

    def __init__(self, function: Callable[[Event], Any]) -> None:
        self.function = function
        self.listener: _Listener | None = None

    def __call__(self, event: Event) -> Any:
        return self.function(event)


class EventHandler:
    """An attribute ``on...``: the event handler of the type that its name ends in (HTML 8.1.8.1).

    What is not callable counts as ``None``.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._type = name.removeprefix("on")
        self.__doc__ = f"Called with each event ``{self._type}``: a function, or ``None``."

    def __get__(self, target: EventTarget | None, owner: type) -> Any:
        if target is None:
            return self
        handler = target._handlers.get(self._type)
        return None if handler is None else handler.function

    def __set__(self, target: EventTarget, value: Any) -> None:
        handler = target._handlers.get(self._type)
        if not callable(value):
            if handler is not None:
                del target._handlers[self._type]
                assert handler.listener is not None
                target._remove(handler.listener)
        elif handler is not None:
            handler.function = value
        else:
            handler = target._handlers[self._type] = _Handler(value)
            handler.listener = _Listener(self._type, handler)
            target._listeners.append(handler.listener)
            target._listeners_changed()
