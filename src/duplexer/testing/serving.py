"""Servers in a thread, for tests that have no event loop, or another one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from duplexer.asyncio.server import Server, serve
from duplexer.testing.background import Background

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from duplexer.asyncio.connection import Listener
    from duplexer.asyncio.server import ServerConnection

__all__ = ["Servers"]


class _Errors(logging.Handler):
    """Keeps what handlers of connections failed by."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.found.append(record.exc_info[1])


class Servers:
    """Serves until the end of a ``with`` block, which raises what handlers failed by."""

    def __init__(self) -> None:
        self._background = Background("duplexer-servers")
        self._servers: list[Server] = []
        self._errors = _Errors()
        self._running = False

    def serve(
        self,
        handler: Callable[[ServerConnection], Awaitable[None]] | Listener | type[Listener],
        **kwargs: Any,
    ) -> str:
        """Serve ``handler``, with the arguments of ``duplexer.serve``; gives back its URI."""
        if not self._running:
            self._background.start()
            self._running = True
            logging.getLogger("duplexer.server").addHandler(self._errors)
        server: Server = self._background.call(self._start(handler, kwargs))
        self._servers.append(server)
        port = server.sockets[0].getsockname()[1]
        return f"{'wss' if kwargs.get('ssl') else 'ws'}://localhost:{port}/"

    async def _start(self, handler: Any, kwargs: dict[str, Any]) -> Server:
        return await serve(handler, "127.0.0.1", 0, **kwargs)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for server in self._servers:
            await server.wait_closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: object, exc: BaseException | None, tb: object) -> None:
        if not self._running:
            return
        try:
            self._background.call(self._close())
        finally:
            self._background.stop()
            logging.getLogger("duplexer.server").removeHandler(self._errors)
        if self._errors.found and exc is None:
            raise ExceptionGroup("handlers failed", self._only_exceptions())

    def _only_exceptions(self) -> list[Exception]:
        return [each for each in self._errors.found if isinstance(each, Exception)]
