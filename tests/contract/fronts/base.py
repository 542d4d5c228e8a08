"""What the tests of the contract call, whatever the front."""

from __future__ import annotations

import contextlib
import inspect
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tests.contract.peers import Raw, RawListener

PATIENCE = 40.0  #: seconds for what takes milliseconds: only a failure waits so long


class Front:
    """A front under test. What the subclass adds: how it runs, waits and starts tasks."""

    #: ``connect``, ``unix_connect``, ``serve``, ``unix_serve`` and ``broadcast`` of this front.
    names: Any

    def __init__(self) -> None:
        self.server_context: ssl.SSLContext | None = None
        self.client_context: ssl.SSLContext | None = None
        self.problems: list[str] = []
        self.forgiven: list[str] = []  # beginnings of problems that a test expects
        self.servers: list[Any] = []

    @property
    def secure(self) -> bool:
        return self.server_context is not None

    def run(self, test: Callable[..., Awaitable[None]], arguments: dict[str, Any]) -> None:
        """Run ``test``; it fails for ``problems`` that are not ``forgiven``."""
        raise NotImplementedError

    def see_leftovers(self) -> None:
        """After a test: connections that its servers still have are problems."""
        for server in self.servers:
            if server.connections:
                self.problems.append(f"connections were left behind: {server.connections!r}")
            if server.opening:
                self.problems.append(f"half-open connections were left behind: {server.opening!r}")

    def judge(self) -> None:
        problems = [text for text in self.problems if not text.startswith(tuple(self.forgiven))]
        assert not problems, "\n".join(problems)

    # the subject

    @contextlib.asynccontextmanager
    async def serve(self, handler: Any, **kwargs: Any) -> AsyncIterator[Any]:
        if "path" in kwargs:
            opening = self.names.unix_serve(handler, ssl=self.server_context, **kwargs)
        else:
            kwargs.setdefault("ssl", self.server_context)
            opening = self.names.serve(handler, "127.0.0.1", 0, **kwargs)
        async with opening as server:
            self.servers.append(server)
            yield server

    def uri(self, server: Any, path: str = "/") -> str:
        """Where ``server`` is: a server of this front, or a listener of plain sockets."""
        host, port = server.sockets[0].getsockname()[:2]
        return f"{'wss' if self.secure else 'ws'}://{host}:{port}{path}"

    def connect(self, server: Any, **kwargs: Any) -> Any:
        uri = server if isinstance(server, str) else self.uri(server)
        kwargs.setdefault("ssl", self.client_context)
        kwargs.setdefault("proxy", None)
        return self.names.connect(uri, **kwargs)

    def unix_connect(self, path: str, **kwargs: Any) -> Any:
        if self.secure:
            kwargs.setdefault("server_hostname", "localhost")
        return self.names.unix_connect(path, ssl=self.client_context, **kwargs)

    @contextlib.asynccontextmanager
    async def pair(
        self, *, server: dict[str, Any] | None = None, client: dict[str, Any] | None = None
    ) -> AsyncIterator[tuple[Any, Any]]:
        """Both ends of a connection that no handler does anything with: client, server."""
        arrived: list[Any] = []

        async def handler(ws: Any) -> None:
            arrived.append(ws)
            await ws.wait_closed()

        async with self.serve(handler, **(server or {})) as running:
            async with self.connect(running, **(client or {})) as ws:
                await self.until(lambda: arrived)
                yield ws, arrived[0]

    def unsent(self, ws: Any) -> int:
        """Bytes that the kernel has not taken because the peer does not read."""
        raise NotImplementedError

    def socket_of(self, ws: Any) -> Any:
        """The socket that a connection runs on, for its options."""
        raise NotImplementedError

    def has_pong(self, waiter: Any) -> bool:
        """Whether what ``ping()`` gave back has its answer."""
        raise NotImplementedError

    # raw peers

    @contextlib.asynccontextmanager
    async def raw(self, server: Any, **kwargs: Any) -> AsyncIterator[Raw]:
        """A client made of a plain socket, past its handshake."""
        address = server.sockets[0].getsockname()[:2]
        peer = await self.thread(Raw.dial, address, self.client_context, **kwargs)
        try:
            yield peer
        finally:
            peer.close()

    @contextlib.asynccontextmanager
    async def raw_listener(self) -> AsyncIterator[RawListener]:
        """A server made of plain sockets: ``accept`` gives a peer past its handshake."""
        listener = RawListener(self.server_context)
        try:
            yield listener
        finally:
            listener.close()

    @contextlib.asynccontextmanager
    async def raw_pair(self, **client: Any) -> AsyncIterator[tuple[Any, Raw]]:
        """A client of ours, connected to a server made of a plain socket."""
        async with self.raw_listener() as listener:
            accepting = self.spawn(self.thread(listener.accept))
            ws = await self.connect(listener, **client)
            peer = await accepting
            try:
                yield ws, peer
            finally:
                peer.close()
                ws.abort()
                await ws.wait_closed()

    # what a test needs beside it

    def spawn(self, awaitable: Awaitable[Any]) -> Any:
        """Run it beside the test; await what this gives back for its result, or ``cancel()`` it."""
        raise NotImplementedError

    async def thread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call what blocks."""
        raise NotImplementedError

    def timeout(self, seconds: float = PATIENCE) -> Any:
        """An async context manager that ends what takes longer by ``TimeoutError``."""
        raise NotImplementedError

    def now(self) -> float:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        """For a test that shows that something does *not* happen; else ``until``."""
        raise NotImplementedError

    async def turns(self, n: int = 10) -> None:
        """Let everything else run that is ready to."""
        raise NotImplementedError

    async def until(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
        """Wait until ``condition()`` is true."""
        deadline = self.now() + seconds
        for _ in range(10):
            if condition():
                return
            await self.turns(1)
        while not condition():
            if self.now() > deadline:
                raise TimeoutError(f"not true within {seconds} s: {inspect.getsource(condition)}")
            await self.sleep(0.002)
