"""A connection leaves nothing to the garbage collector, so that a server with many may do without.

What is left in cycles would stay until the collector has looked at everything there is, which
takes the longer the more connections there are, and holds up all of them.
"""

from __future__ import annotations

import collections
import gc

import pytest

from duplexer import ConnectionClosed
from duplexer._pure import build
from tests.contract.peers import TEXT


async def talk(front, server):
    ws = await front.connect(server)
    await ws.send("a" * 300)
    assert await ws.recv() == "a" * 300
    await ws.close()
    try:  # not by pytest.raises, whose record would be a cycle
        await ws.recv()
    except ConnectionClosed:
        return
    pytest.fail("it is open still")


async def vanish(front, server):
    async with front.raw(server) as peer:
        await front.thread(peer.send, TEXT, b"a")
        await front.thread(peer.recv)


async def break_a_rule(front, server):
    async with front.raw(server) as peer:
        await front.thread(peer.send, 3, b"a")
        await front.thread(peer.recv)


#: An error knows the frames that it went through, and interpreted ones know its connection.
VISITS = [talk, vanish, break_a_rule] if build() == "compiled" else [talk, vanish]


@pytest.mark.parametrize("visit", VISITS)
async def test_connections_are_freed_as_they_end(front, visit):
    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async with front.serve(echo) as server:
        await visit(front, server)  # what is done once is done
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(3):
                await visit(front, server)
            await front.until(lambda: not server.connections)
            gc.collect()
            left = [type(each) for each in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.enable()
            gc.garbage.clear()
        ours = collections.Counter(each for each in left if each.__module__.startswith("duplexer"))
        assert not ours
