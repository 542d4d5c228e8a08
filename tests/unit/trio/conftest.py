"""Async tests under trio. With the fixture ``autojump`` nobody waits: the clock jumps."""

from __future__ import annotations

import contextlib
import functools
import inspect

import pytest
import trio
import trio.testing

from duplexer.trio.client import connect
from duplexer.trio.server import serve


@pytest.fixture
def autojump():
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    clocks = [each for each in arguments.values() if isinstance(each, trio.abc.Clock)]
    trio.run(functools.partial(pyfuncitem.obj, **arguments), clock=next(iter(clocks), None))
    return True


class MemoryListener(trio.abc.Listener):
    """A listener without sockets: ``dial()`` gives the client's stream."""

    def __init__(self, make_pair=trio.testing.memory_stream_pair):
        self._make_pair = make_pair
        self._send, self._receive = trio.open_memory_channel(10)

    def dial(self):
        ours, theirs = self._make_pair()
        self._send.send_nowait(theirs)
        return ours

    async def accept(self):
        return await self._receive.receive()

    async def aclose(self):
        await self._receive.aclose()


class InMemory:
    """A server on a ``MemoryListener``, and the means to connect to it."""

    def __init__(self, make_pair=trio.testing.memory_stream_pair):
        self.listener = MemoryListener(make_pair)
        self.arrived = []

    async def handler(self, ws):
        self.arrived.append(ws)
        await ws.wait_closed()

    @contextlib.asynccontextmanager
    async def served(self, handler=None, **kwargs):
        async with serve(handler or self.handler, listeners=[self.listener], **kwargs) as server:
            yield server

    def connect(self, **kwargs):
        return connect("ws://memory/", stream=self.listener.dial(), **kwargs)

    @contextlib.asynccontextmanager
    async def pair(self, client=None, **server):
        """Both ends of a connection: client, server."""
        async with self.served(**server), self.connect(**(client or {})) as ws:
            while not self.arrived:
                await trio.lowlevel.checkpoint()
            yield ws, self.arrived[0]


@pytest.fixture
def memory():
    return InMemory()


@pytest.fixture
def lockstep():
    """Streams that hold nothing back: a write waits for its read."""
    return InMemory(trio.testing.lockstep_stream_pair)
