"""One message for many: prepared once, sent to whoever is open, held up by nobody."""

from __future__ import annotations

import contextlib

import pytest

from duplexer import ConnectionClosedError, Limits, Prepared

MESSAGES = ["text é", b"bytes", "x" * 5000, b"y" * 70_000, "", b""]


@contextlib.asynccontextmanager
async def many(front, clients, **server):
    """A server, clients with the arguments given for each, and the server's ends in their order."""
    arrived = []

    async def handler(ws):
        arrived.append(ws)
        await ws.wait_closed()

    async with front.serve(handler, **server) as running, contextlib.AsyncExitStack() as stack:
        found = []
        for i, kwargs in enumerate(clients):
            ws = await stack.enter_async_context(front.connect(running, **kwargs))
            await front.until(lambda i=i: len(arrived) == i + 1)
            found.append(ws)
        yield found, arrived


async def test_everybody_gets_it(front):
    kinds = [{"compression": "deflate"}, {"compression": None}] * 3
    async with many(front, kinds) as (clients, servers):
        for message in MESSAGES:
            front.names.broadcast(servers, message)
            for ws in clients:
                assert await ws.recv() == message


async def test_prepared_between_normal_messages(front):
    kinds = [{"compression": "deflate"}, {"compression": None}]
    prepared = [Prepared(message) for message in MESSAGES]
    async with many(front, kinds) as (clients, servers):
        expected = []
        receiving = [front.spawn(received(ws, 3 * 3 * len(MESSAGES))) for ws in clients]
        for i in range(3):
            for one, message in zip(prepared, MESSAGES, strict=True):
                normal = f"normal {i} " * 100
                for ws in servers:
                    await ws.send(normal)
                    await ws.send(one)
                front.names.broadcast(servers, one)
                expected += [normal, message, message]
        for task in receiving:
            assert await task == expected


async def received(ws, n):
    return [await ws.recv() for _ in range(n)]


async def test_a_client_may_send_prepared_messages_too(front):
    for compression in ("deflate", None):
        async with front.pair(client={"compression": compression}) as (client, server):
            for message in MESSAGES:
                prepared = Prepared(message)
                for _ in range(2):
                    await client.send(prepared)
                    client.send_nowait(prepared)
                assert [await server.recv() for _ in range(4)] == [message] * 4


async def test_prepared_text_and_compress(front):
    async with front.pair() as (client, server):
        await server.send(Prepared(b"caf\xc3\xa9", text=True))
        await server.send(Prepared("café", text=False))
        await server.send(Prepared("x" * 1000, compress=False))
        await server.send(Prepared("x", compress=True))
        assert [await client.recv() for _ in range(4)] == ["café", "café".encode(), "x" * 1000, "x"]


@pytest.mark.plain_only
def test_what_cannot_be_prepared():
    for wrong in (None, 1, ["a"], {"a": 1}, memoryview(b"abcd")[::2]):
        with pytest.raises(TypeError, match="message must be"):
            Prepared(wrong)
    with pytest.raises(UnicodeEncodeError):
        Prepared("\ud800")


async def test_those_who_are_gone_are_passed_over(front):
    async with many(front, [{}, {}, {}]) as (clients, servers):
        await clients[1].close()
        clients[2].abort()
        await servers[1].wait_closed()
        await servers[2].wait_closed()
        front.names.broadcast(servers, "still here", raise_exceptions=True)
        assert await clients[0].recv() == "still here"


async def test_those_in_the_middle_of_fragments_are_passed_over(front):
    class Never:
        def __init__(self):
            self.pieces = ["begun"]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if self.pieces == ["begun"]:
                return self.pieces.pop()
            await front.until(lambda: self.pieces)
            raise StopAsyncIteration

    async with many(front, [{}, {}]) as (clients, servers):
        pieces = Never()
        sending = front.spawn(servers[0].send(pieces))
        await front.until(lambda: servers[0].session.sending)
        front.names.broadcast(servers, "first")
        with pytest.raises(ExceptionGroup) as caught:
            front.names.broadcast(servers, "second", raise_exceptions=True)
        assert len(caught.value.exceptions) == 1
        pieces.pieces.append("end")
        await sending
        front.names.broadcast(servers, "third")
        assert [await clients[1].recv() for _ in range(3)] == ["first", "second", "third"]
        assert [await clients[0].recv() for _ in range(2)] == ["begun", "third"]


async def test_one_who_does_not_read_is_dropped_and_holds_up_nobody(front):
    limits = Limits(write_hard=300_000)
    arrived = []

    async def handler(ws):
        arrived.append(ws)
        await ws.wait_closed()

    async with front.serve(handler, limits=limits, compression=None) as server:
        async with front.raw(server, receive_buffer=4096), front.connect(server) as good:
            await front.until(lambda: len(arrived) == 2)
            async with front.timeout():
                n = 0
                while len(server.connections) == 2:
                    front.names.broadcast(arrived, b"x" * 100_000)
                    n += 1
                    assert len(await good.recv()) == 100_000
            slow = next(ws for ws in arrived if ws not in server.connections)
            assert slow.buffered_amount == 0
            with pytest.raises(ConnectionClosedError) as caught:
                await slow.recv()
            assert caught.value.sent.code == 1008
            assert "Limits.write_hard" in caught.value.explain()
            front.names.broadcast(arrived, "on")
            assert await good.recv() == "on"


async def test_a_message_that_is_none_reaches_nobody(front):
    async with many(front, [{}]) as (clients, servers):
        for wrong in (1, None, ["a", "b"]):
            with pytest.raises(TypeError):
                front.names.broadcast(servers, wrong)
        front.names.broadcast(servers, "fine")
        assert await clients[0].recv() == "fine"
