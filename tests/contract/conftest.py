"""What every front must do: one suite, written against ``front``, run over all of them.

``front`` has ``serve`` and ``connect`` under the names that every front gives them, and the few
things that a test needs beside them: tasks, time, threads. A further front is a class below and a
parameter in ``FRONTS``; the tests do not change. Tests that are about asyncio itself have the names
``test_asyncio_*`` and import it.

After every test nothing may be left: no task, no socket, no open connection, no error in a
callback.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import os
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import duplexer
from tests.contract.peers import Raw, RawListener

PATIENCE = 10.0  #: seconds for what takes milliseconds: only a failure waits so long


# -- certificates --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


# -- fronts --------------------------------------------------------------------------------------


class AsyncioFront:
    """asyncio, on its own event loop or on another one's."""

    def __init__(self, loop: str) -> None:
        self.loop_name = loop
        self.server_context: ssl.SSLContext | None = None
        self.client_context: ssl.SSLContext | None = None
        self.problems: list[str] = []
        self.forgiven: list[str] = []  # beginnings of problems that a test expects
        self.servers: list[Any] = []

    @property
    def secure(self) -> bool:
        return self.server_context is not None

    # running a test

    def new_loop(self) -> asyncio.AbstractEventLoop:
        if self.loop_name == "uvloop":
            import uvloop

            return uvloop.new_event_loop()
        return asyncio.new_event_loop()

    def run(self, test: Callable[..., Awaitable[None]], arguments: dict[str, Any]) -> None:
        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            runner.get_loop().set_exception_handler(self._see)
            runner.run(self._run(test, arguments))
        problems = [text for text in self.problems if not text.startswith(tuple(self.forgiven))]
        assert not problems, "\n".join(problems)

    async def _run(self, test: Callable[..., Awaitable[None]], arguments: dict[str, Any]) -> None:
        await test(**arguments)
        mine = asyncio.current_task()
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: asyncio.all_tasks() == {mine}, 1.0)
        for task in asyncio.all_tasks() - {mine}:
            self.problems.append(f"a task was left behind: {task!r}")
        for server in self.servers:
            if server.connections:
                self.problems.append(f"connections were left behind: {server.connections!r}")
            if server.opening:
                self.problems.append(f"half-open connections were left behind: {server.opening!r}")

    def _see(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.problems.append(f"{context.get('message')}: {context.get('exception')!r}")

    # the subject

    @contextlib.asynccontextmanager
    async def serve(self, handler: Any, **kwargs: Any) -> AsyncIterator[Any]:
        if "path" in kwargs:
            opening = duplexer.unix_serve(handler, ssl=self.server_context, **kwargs)
        else:
            kwargs.setdefault("ssl", self.server_context)
            opening = duplexer.serve(handler, "127.0.0.1", 0, **kwargs)
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
        return duplexer.connect(uri, **kwargs)

    def unix_connect(self, path: str, **kwargs: Any) -> Any:
        if self.secure:
            kwargs.setdefault("server_hostname", "localhost")
        return duplexer.unix_connect(path, ssl=self.client_context, **kwargs)

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

    def spawn(self, awaitable: Awaitable[Any]) -> asyncio.Task[Any]:
        """Run it beside the test; await what this gives back for its result, or ``cancel()`` it."""

        async def run() -> Any:
            return await awaitable

        return asyncio.ensure_future(run())

    async def thread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call what blocks."""
        return await asyncio.to_thread(function, *args, **kwargs)

    def timeout(self, seconds: float = PATIENCE) -> Any:
        return asyncio.timeout(seconds)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """For a test that shows that something does *not* happen; else ``until``."""
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
        """Wait until ``condition()`` is true."""
        deadline = self.now() + seconds
        for _ in range(10):
            if condition():
                return
            await asyncio.sleep(0)
        while not condition():
            if self.now() > deadline:
                raise TimeoutError(f"not true within {seconds} s: {inspect.getsource(condition)}")
            await asyncio.sleep(0.002)

    async def turns(self, n: int = 10) -> None:
        """Let everything else run that is ready to."""
        for _ in range(n):
            await asyncio.sleep(0)


FRONTS = {
    "asyncio": functools.partial(AsyncioFront, "asyncio"),
    "uvloop": functools.partial(AsyncioFront, "uvloop"),
}
WIRES = ("plain", "tls")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "front" in metafunc.fixturenames:
        wires = ("plain",) if metafunc.definition.get_closest_marker("plain_only") else WIRES
        rows = [
            pytest.param((name, wire), id=f"{name}-{wire}") for name in FRONTS for wire in wires
        ]
        metafunc.parametrize("front", rows, indirect=True)


@pytest.fixture
def front(
    request: pytest.FixtureRequest,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> Iterator[Any]:
    name, wire = request.param
    front = FRONTS[name]()
    if wire == "tls":
        front.server_context = server_context
        front.client_context = client_context
    before = _sockets()
    yield front
    left = _sockets() - before
    assert not left, f"sockets were left open: {left}"


def _sockets() -> set[str]:
    fds = Path("/proc/self/fd")
    if not fds.exists():
        return set()
    found = set()
    for fd in fds.iterdir():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(fd.stat().st_mode):
                found.add(str(fd.readlink()))
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    front = pyfuncitem.funcargs.get("front")
    if front is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    front.run(pyfuncitem.obj, arguments)
    return True


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "plain_only: has nothing to do with TLS")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def unlogged(request: pytest.FixtureRequest) -> Iterator[list[logging.LogRecord]]:
    """Errors that were logged; a test that expects some takes them out of the list."""
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Keep(logging.WARNING)
    loggers = [logging.getLogger("duplexer"), logging.getLogger("asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    yield records
    for logger in loggers:
        logger.removeHandler(handler)
    assert not records, "logged: " + "; ".join(record.getMessage() for record in records)
