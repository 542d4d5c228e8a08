"""duplexer as uvicorn's WebSockets: ``uvicorn --ws duplexer.asgi.uvicorn:WebSocketProtocol``.

uvicorn reads the request and hands the connection over; from there on it is one of duplexer's own
servers, whose handler is the ASGI application::

    request ──► scope ──► application ──► "websocket.accept" ───────► 101, Exchange, Close
                                      ──► "websocket.close" ────────► 403
                                      ──► "websocket.http.response" ► that response
                                      ──► returns, or raises ───────► 500
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import weakref
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

from uvicorn.logging import TRACE_LOG_LEVEL
from uvicorn.protocols.utils import (
    ClientDisconnected,
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
)

from duplexer.asgi.admission import Entrance
from duplexer.asgi.denial import Denial, answer, headers_from
from duplexer.asgi.exchange import Exchange
from duplexer.asyncio.connection import Connection
from duplexer.asyncio.pump import pump_of
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.driver.observing import Observer, observer_from
from duplexer.driver.options import limits_from, server_extensions
from duplexer.driver.sockopts import set_options
from duplexer.driver.steps import Read, Write
from duplexer.errors import ConnectionClosed, HttpError, InvalidState
from duplexer.handshake.negotiate import read_subprotocols
from duplexer.handshake.server import ServerOptions, accept, refuse
from duplexer.http.h1 import RequestReader
from duplexer.http.headers import shown
from duplexer.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from duplexer.driver.steps import Steps
    from duplexer.handshake.negotiate import Agreement
    from duplexer.http.messages import Request
    from duplexer.policy.forwarded import Client

__all__ = ["Setting", "WebSocketProtocol"]

#: Headers that are the handshake's own; an application chooses of them by ``subprotocol`` alone.
_OURS = (
    "Connection",
    "Content-Length",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Protocol",
    "Transfer-Encoding",
    "Upgrade",
)


class Setting:
    """What uvicorn's configuration says, for all connections of a server."""

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        observer: Observer | None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.loop = loop
        self.pump = pump_of(loop)  # one for as long as uvicorn serves
        self.app: Any = config.loaded_app
        self.root_path = config.root_path
        self.asgi_version = config.asgi_version
        self.reset_contextvars = getattr(config, "reset_contextvars", False)
        self.observer = observer_from(observer)
        self.logger = logging.getLogger("uvicorn.error")
        self.limits = limits_from(
            limits,
            max_size=config.ws_max_size,
            max_queue=config.ws_max_queue,
            ping_interval=config.ws_ping_interval or None,  # 0 turns it off
            ping_timeout=config.ws_ping_timeout or None,
        )
        self.entrance = Entrance(config, self.limits)
        if self.observer is not None:
            self.observer.serves(self.entrance.guard)
        compression = "deflate" if config.ws_per_message_deflate else None
        self.options = ServerOptions(
            origins=None,  # whose pages may connect is up to the application, as always in ASGI
            extensions=server_extensions(None, compression, self.limits),
            server_header=None,  # among uvicorn's default headers
        )


#: By the server's state, which uvicorn has one of.
_settings: weakref.WeakKeyDictionary[ServerState, Setting] = weakref.WeakKeyDictionary()


class WebSocketProtocol(Exchange, Connection, asyncio.Protocol):
    """A WebSocket of uvicorn's: what ``--ws`` and ``Config(ws=...)`` take.

    Under asyncio's own loop it reads into a buffer of ours, uvloop it leaves its own to.
    """

    #: Bounds, of which uvicorn's settings replace those that it has.
    LIMITS: ClassVar[Limits] = DEFAULT_LIMITS

    #: Who hears of handshakes, ends and the rest, for metrics.
    OBSERVER: ClassVar[Observer | None] = None

    #: The code of the Close that is sent when the application returns without closing, and when
    #: it raises. ``None`` ends the connection without one, as uvicorn's own classes do.
    RETURNED: ClassVar[int | None] = None
    RAISED: ClassVar[int | None] = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        setting = _settings.get(server_state)
        if setting is None:
            loop = _loop or asyncio.get_event_loop()
            setting = _settings[server_state] = Setting(config, loop, self.LIMITS, self.OBSERVER)
        super().__init__(setting.loop, setting.limits, setting.logger, setting.pump)
        self.observer = setting.observer
        self.setting = setting
        self.server_state: Any = server_state
        self.app_state = app_state
        self.client: Client | None = None  # whom it is from, where there are bounds by address
        self.is_trying = False  # to come in, and the guard waits to hear how that ends
        self.scope: dict[str, Any] = {}
        self.task: asyncio.Task[None] | None = None
        self.agreement: Agreement | None = None  # what the application has to decide about
        self.verdict: bytes | None = None  # how the request is answered
        self.early = b""  # what came before the answer
        self.denial: Denial | None = None
        self.last: str | None = None  # what the application sent, after which there is no more
        self.farewell: dict[str, Any] | None = None  # what it hears of the end

    # -- asyncio's Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Part of asyncio's Protocol: uvicorn hands over the connection, then the request."""
        self.server_state.connections.add(self)
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            set_options(sock, self.limits)
        self._trace("WebSocket connection made")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Part of asyncio's Protocol."""
        super().connection_lost(exc)
        self.server_state.connections.discard(self)
        self.setting.entrance.left(self)
        if self.session is None:
            waiters, self.drain_waiters = self.drain_waiters, None
            for waiter in waiters or ():
                if not waiter.done():
                    waiter.set_result(None)  # it looks again, and sees that nobody is there
        self.serve_waiting()
        self._trace("WebSocket connection lost")

    def on_closing(self) -> None:
        """See :class:`~duplexer.asyncio.life.Life`."""
        super().on_closing()
        self.serve_next()

    def shutdown(self) -> None:
        """What uvicorn calls when it stops: close with 1012, or answer 500 if nothing is open."""
        if self.agreement is not None and self.verdict is None and self.denial is None:
            self._refuse(500, "Internal Server Error")
        elif self.session is not None and self.session.is_open:
            self.start_close(1012)
            self._say_farewell({"code": 1012})
        else:
            self.transport.close()

    def _trace(self, text: str) -> None:
        if self.logger.isEnabledFor(TRACE_LOG_LEVEL):
            client = self._client()
            self.logger.log(TRACE_LOG_LEVEL, "%s%s", f"{client} - " if client else "", text)

    def _client(self) -> str:
        address = get_remote_addr(self.transport) if self.client is None else self.client.address
        return f"{address[0]}:{address[1]}" if address else ""

    # -- the handshake ---------------------------------------------------------------------------

    def opening_steps(self) -> Steps:
        """See :class:`~duplexer.asyncio.handshaking.Handshaking`.

        It reads on while the application decides, so that it hears when the client leaves.
        """
        limits = self.limits
        reader = RequestReader(limits)
        try:
            request = None
            while request is None:
                data = yield Read(limits.open_timeout)
                if not data:
                    return None
                request = reader.feed(data)
            self.request = request
            self.setting.entrance.enter(self)
            self.agreement = accept(
                request, self.setting.options, secure=self.is_secure(), dialects=(RFC6455,)
            )
            self.scope = self._scope_of(request)
        except HttpError as error:
            self._log_refusal(error)
            yield Write(refuse(error, None).serialize())
            return None
        self.early = data[reader.stop :]
        while self.verdict is None:
            data = yield Read(None, 1)
            if not data and self.verdict is None:
                return None
            self.early += data
            if len(self.early) > limits.max_ahead:
                raise BufferError(f"more than {limits.max_ahead} bytes (max_ahead) before the 101")
        yield Write(self.verdict)
        while self.denial is not None and not self.denial.complete:
            yield Read(None, 1)
        return None if self.agreement is None else (self.agreement, self.early)

    def _log_refusal(self, error: HttpError) -> None:
        self.setting.entrance.guard.refused(error)
        path = "" if self.request is None else " " + shown(self.request.path)
        more = self._note_refusal(error.status)
        if more is not None:
            self.logger.info(
                '%s - "WebSocket%s" %d: %s%s', self._client(), path, error.status, error.text, more
            )

    def _note_refusal(self, status: int) -> str | None:
        if self.observer is not None:
            self.observer.refused(self, self.request, status)
        return self.setting.entrance.refused(self, status)

    def opening_data(self, data: bytes) -> None:
        """Bytes of the opening handshake: the application starts when they are a request."""
        super().opening_data(data)
        if self.agreement is not None and self.task is None and not self.lost:
            context = contextvars.Context() if self.setting.reset_contextvars else None
            self.task = task = self.loop.create_task(self._run(), context=context)
            self.server_state.tasks.add(task)
            task.add_done_callback(self.server_state.tasks.discard)

    def opening_failed(self, exc: BaseException) -> None:
        """The client has left, or what it sent was too much."""
        self.setting.entrance.guard.failed(exc)
        self.logger.debug("opening handshake failed: %r", exc)
        self.linger()

    def opened(self) -> None:
        """The handshake is done; the application knows, because it has accepted it."""
        self.early = b""
        self.setting.entrance.opened(self)

    def _scope_of(self, request: Request) -> dict[str, Any]:
        setting = self.setting
        raw_path, _, query = request.path.partition("?")
        root_path = setting.root_path
        offers = request.headers.get_all("Sec-WebSocket-Protocol")
        return {
            "type": "websocket",
            "asgi": {"version": setting.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if self.is_secure() else "ws",
            "server": get_local_addr(self.transport),
            "client": get_remote_addr(self.transport),
            "root_path": root_path,
            "path": root_path + unquote(raw_path),
            "raw_path": (root_path + raw_path).encode("ascii"),
            "query_string": query.encode("ascii"),
            "headers": [
                (name.lower().encode("ascii"), value.encode("latin-1"))
                for name, value in request.headers.raw_items()
            ],
            "subprotocols": read_subprotocols(offers) if offers else [],
            "state": self.app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }

    def _decide(self, verdict: bytes, status: int | None) -> None:
        # The answer leaves, and what there is to do after it is done, before this returns.
        outcome: str | None = "[accepted]"
        if status is not None:
            more = self._note_refusal(status)
            outcome = None if more is None else f"{status}{more}"
        if outcome is not None:
            self.logger.info(
                '%s - "WebSocket %s" %s',
                get_client_addr(self.scope),  # type: ignore[arg-type]
                get_path_with_query_string(self.scope),  # type: ignore[arg-type]
                outcome,
            )
        self.verdict = verdict
        if self.steps is not None:
            super().opening_data(b"")

    def _refuse(self, status: int, text: str) -> None:
        # In place of a WebSocket, unless there is an answer already.
        if self.verdict is None and not self.lost:
            self.agreement = None
            self._decide(answer(status, text, self.server_state.default_headers), status)
            self._say_farewell({"code": 1006})

    def _accept(self, event: Any) -> None:
        assert self.agreement is not None
        response = self.agreement.response
        headers = headers_from(event.get("headers") or ())
        for name in _OURS:
            if name in headers:
                cure = "; use subprotocol" if name == "Sec-WebSocket-Protocol" else ""
                raise RuntimeError(f"'websocket.accept' must not have the header {name}{cure}.")
        response.headers.update(headers_from(self.server_state.default_headers))
        response.headers.update(headers)
        subprotocol = event.get("subprotocol")
        if subprotocol:
            response.headers["Sec-WebSocket-Protocol"] = subprotocol
            self.agreement = self.agreement._replace(subprotocol=subprotocol)
        self._decide(response.serialize(), None)

    # -- the application -------------------------------------------------------------------------

    async def _run(self) -> None:
        code = self.RETURNED
        try:
            result = await self.setting.app(self.scope, self.receive_event, self.send_event)
        except ClientDisconnected:
            pass
        except asyncio.CancelledError:  # uvicorn does not want to wait any longer
            self._end(self.RAISED)
            raise
        except BaseException as exc:  # nothing that an application does may stop the server
            code = self.RAISED
            self.logger.error("Exception in ASGI application\n", exc_info=exc)
        else:
            if self.verdict is None and self.denial is None and not self.lost:
                self.logger.error("ASGI callable returned without completing handshake.")
            elif result is not None:
                self.logger.error("ASGI callable should return None, but returned '%s'.", result)
        self._end(code)

    def _end(self, code: int | None) -> None:
        # The application has come to its end: so has the connection, if it did not see to that.
        session = self.session
        if self.lost:
            return
        if session is None and self.denial is None:
            self._refuse(500, "Internal Server Error")
        elif session is None:
            self._end_denial()
        elif session.is_open and code is not None:
            self.start_close(code)
        elif session.is_open:
            self.flush()
            self.transport.close()

    def _end_denial(self) -> None:
        denial = self.denial
        if denial is None or denial.complete:
            return
        if self.verdict is None:
            self._deny(denial.body(b"", False), denial)  # all there is
        else:
            self.transport.close()  # short of what was promised: the client can tell

    def parting_event(self) -> dict[str, Any]:
        """What the application hears of the end: its own Close, the peer's, or that of an error."""
        if self.farewell is not None:
            return dict(self.farewell)
        close = None if self.session is None else self.session.close_rcvd or self.session.close_sent
        if close is None:
            return {"type": "websocket.disconnect", "code": 1006}
        return {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}

    # -- what it sends, other than messages ------------------------------------------------------

    async def send_rarely(self, event: Any) -> None:
        """See :class:`~duplexer.asgi.exchange.Exchange`."""
        kind = event["type"]
        await self._wait_for_room()
        if self.last is not None:
            raise RuntimeError(f"Unexpected ASGI message '{kind}', after sending '{self.last}'.")
        if self.lost or (self.session is None and self.verdict is not None and not self.denial):
            if kind != "websocket.close":  # of which there is nothing left to do
                raise ClientDisconnected
        elif self.session is not None:
            self._send_open(kind, event)
        elif self.denial is None:
            self._send_opening(kind, event)
        else:
            self._send_denial(kind, event, self.denial)
            await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        try:
            await self.drain()
        except (ConnectionClosed, InvalidState):
            pass  # the peer has left: what that means depends on what is sent

    def _send_opening(self, kind: str, event: Any) -> None:
        if kind == "websocket.accept":
            self._accept(event)
        elif kind == "websocket.close":
            self.last = kind
            self._refuse(403, "")
        elif kind == "websocket.http.response.start":
            denial = Denial(self.server_state.default_headers)
            denial.start(event["status"], event.get("headers") or ())
            self.denial = denial
        else:
            raise RuntimeError(
                "Expected ASGI message 'websocket.accept', 'websocket.close' or "
                f"'websocket.http.response.start' but got '{kind}'."
            )

    def _send_open(self, kind: str, event: Any) -> None:
        session = self.open_session()
        if kind == "websocket.send":
            if not session.is_open:
                raise ClientDisconnected
            self.send_event(event)
        elif kind != "websocket.close":
            raise RuntimeError(
                f"Expected ASGI message 'websocket.send' or 'websocket.close', but got '{kind}'."
            )
        elif session.is_open:
            code, reason = event.get("code") or 1000, event.get("reason") or ""
            self.start_close(code, reason)
            self.last = kind
            self._say_farewell({"code": code, "reason": reason})

    def _send_denial(self, kind: str, event: Any, denial: Denial) -> None:
        if kind != "websocket.http.response.body":
            raise RuntimeError(
                f"Expected ASGI message 'websocket.http.response.body' but got '{kind}'."
            )
        self._deny(denial.body(event.get("body", b""), event.get("more_body", False)), denial)
        if denial.complete:
            self.last = kind

    def _deny(self, data: bytes, denial: Denial) -> None:
        # The next bytes of a denial, which begins with the first of them.
        if self.verdict is None:
            self.agreement = None
            self._decide(data, denial.status)
        else:
            self.transport.write(data)
            if self.transport.is_closing():  # it takes no more: who sends waits for the end
                self.pause_writing()
            super().opening_data(b"")
        if denial.complete:
            self._say_farewell({"code": 1006})

    def _say_farewell(self, event: dict[str, Any]) -> None:
        # From now on that is what there is to receive, after the messages that have come.
        self.farewell = {"type": "websocket.disconnect", **event}
        self.parting = True
        self.serve_waiting()

    def reject_message(self, event: Any) -> None:
        """See :class:`~duplexer.asgi.exchange.Exchange`."""
        raise RuntimeError(
            "ASGI message 'websocket.send' must have 'bytes', or 'text' that is a str: "
            f"it has {', '.join(f'{key} of {type(event[key]).__name__}' for key in event)}."
        )
