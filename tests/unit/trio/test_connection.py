from __future__ import annotations

import pytest
import trio
import trio.testing

from duplexer.errors import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
)
from duplexer.limits import Limits
from duplexer.trio.connection import Pong


async def test_every_call_is_a_checkpoint(memory):
    async with memory.pair() as (client, server):
        await server.send("one")
        await server.send("two")
        await trio.testing.wait_all_tasks_blocked()
        with trio.testing.assert_checkpoints():
            await client.recv()
        with trio.testing.assert_checkpoints():
            await client.__anext__()
        with trio.testing.assert_checkpoints():
            await client.send("x")
        with trio.testing.assert_checkpoints():
            await client.send(["a", "b"])
        with trio.testing.assert_checkpoints():
            await client.send([])
        with trio.testing.assert_checkpoints():
            pong = await client.ping()
        with trio.testing.assert_checkpoints():
            await client.pong()
        with trio.testing.assert_checkpoints():
            await client.drain()
        with trio.testing.assert_checkpoints():
            await pong.wait()
        with trio.testing.assert_checkpoints():
            await client.close()
        with trio.testing.assert_checkpoints():
            await client.wait_closed()


async def test_who_is_cancelled_already_sends_nothing(memory):
    async with memory.pair() as (client, server):
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.send("never")
        assert scope.cancelled_caught
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.ping(b"never")
        await client.send("first")
        assert await server.recv() == "first"


async def test_cancelling_recv_loses_nothing(memory):
    async with memory.pair() as (client, server):
        got = []
        for i in range(50):
            if i % 3:
                await client.send(str(i))
            else:
                client.send_nowait(str(i))
            with trio.move_on_after(0):
                got.append(await server.recv())
            with trio.CancelScope() as scope:
                scope.cancel()
                got.append(await server.recv())
        while len(got) < 50:
            got.append(await server.recv())
        assert got == [str(i) for i in range(50)]


async def test_cancelled_just_as_the_message_comes(memory):
    async with memory.pair() as (client, server):
        for i in range(20):
            got = []
            async with trio.open_nursery() as nursery:

                async def receive(got=got):
                    got.append(await server.recv())

                nursery.start_soon(receive)
                await trio.testing.wait_all_tasks_blocked()
                client.send_nowait(str(i))
                for _ in range(i):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            assert (got or [await server.recv()]) == [str(i)]


async def test_a_second_receiver_is_refused_and_the_first_goes_on(memory):
    async with memory.pair() as (client, server), trio.open_nursery() as nursery:
        got = []

        async def receive():
            got.append(await server.recv())

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ConcurrencyError):
            await server.recv()
        await client.send("for the first")
        await trio.testing.wait_all_tasks_blocked()
        assert got == ["for the first"]


async def test_those_who_wait_to_send_take_turns_in_order(lockstep):
    limits = Limits(write_high=10)
    async with lockstep.pair(limits=limits, compression=None) as (client, server):
        async with trio.open_nursery() as nursery:
            for i in range(30):
                nursery.start_soon(server.send, f"{i:020}")
                for _ in range(5):
                    await trio.lowlevel.checkpoint()
            assert [int(await client.recv()) for _ in range(30)] == list(range(30))


async def test_pongs_tell_their_latency(memory):
    async with memory.pair() as (client, _):
        pong = await client.ping()
        assert isinstance(pong, Pong)
        assert not pong.is_set()
        latency = await pong.wait()
        assert pong.is_set()
        assert pong.latency == latency == client.latency
        assert await (await client.ping()) == client.latency


async def test_a_pong_that_cannot_come_any_more(memory, autojump):
    async with memory.pair() as (client, server):
        server.stream.send_stream.close()
        pong = await client.ping()
        with pytest.raises(ConnectionClosedError):
            await pong.wait()


async def test_a_stream_without_addresses(memory):
    async with memory.pair() as (client, server):
        assert client.remote_address is None
        assert client.local_address is None
        assert "OPEN None" in repr(server)


async def test_iterating_ends_with_the_connection(memory):
    async with memory.pair() as (client, server):
        await client.send("last")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.aclose)
            assert [message async for message in server] == ["last"]
        with pytest.raises(ConnectionClosedOK):
            await server.recv()


async def test_leaving_by_an_error_says_so(memory):
    async with memory.served(), memory.connect() as ws:
        with pytest.raises(ZeroDivisionError):
            async with ws:
                raise ZeroDivisionError
        assert ws.session.close_sent.code == 1011


async def test_an_iterable_that_fails_late_ends_the_connection(memory):
    def pieces():
        yield "a"
        raise ZeroDivisionError

    async with memory.pair() as (client, server):
        with pytest.raises(ZeroDivisionError):
            await client.send(pieces())
        with pytest.raises(ConnectionClosedError):
            await server.recv()


async def test_cancelling_fragments_ends_the_connection(memory):
    async def pieces():
        yield "a"
        await trio.sleep_forever()

    async with memory.pair() as (client, server):
        with trio.move_on_after(0.01):
            await client.send(pieces())
        with pytest.raises(ConnectionClosedError) as caught:
            await server.recv()
        assert caught.value.rcvd.code == 1011


async def test_streaming_is_cancelled_without_loss(memory):
    async with memory.pair() as (client, server):
        with trio.move_on_after(0.01):
            async for _ in server.recv_streaming():
                raise AssertionError
        await client.send(["wh", "ole"])
        assert await server.recv() == "whole"
        await client.send(["one", "two"])
        assert "".join([piece async for piece in server.recv_streaming()]) == "onetwo"


async def test_who_stands_in_line_to_send_hears_of_the_end(memory):
    never = trio.Event()

    async def pieces():
        yield "a"
        await never.wait()

    async def send_all_of_it(ws):
        with pytest.raises(ConnectionClosed):
            await ws.send(pieces())

    async def send_more(ws, message, told):
        with pytest.raises(ConnectionClosed):
            await ws.send(message)
        told.set()

    async with memory.pair() as (client, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all_of_it, client)
            await trio.testing.wait_all_tasks_blocked()
            told = [trio.Event(), trio.Event()]
            nursery.start_soon(send_more, client, "b", told[0])
            nursery.start_soon(send_more, client, iter(["c"]), told[1])
            await trio.testing.wait_all_tasks_blocked()
            server.abort()
            with trio.move_on_after(60):
                for event in told:
                    await event.wait()
            heard = [event.is_set() for event in told]
            never.set()
        assert heard == [True, True]
        await client.wait_closed()
        with pytest.raises(ConnectionClosed):
            await client.send(iter(["d"]))


async def test_cancelled_behind_a_nursery_it_is_still_no_failure(memory):
    async with memory.served(), trio.open_nursery() as owner:
        connection = await memory.connect(nursery=owner)
        with trio.CancelScope() as scope:
            async with connection:
                while not memory.arrived:
                    await trio.lowlevel.checkpoint()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
                    scope.cancel()
                    await trio.sleep_forever()
        server = memory.arrived[0]
        await server.wait_closed()
        assert server.close_code == 1001
