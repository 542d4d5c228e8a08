"""asyncio exactness: a ``recv()`` without a Future behaves like one with it, in every respect."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import zlib

import pytest

from duplexer import ConcurrencyError, ConnectionClosed, ConnectionClosedOK, InvalidState
from tests.contract.peers import BINARY, TEXT, Raw

pytestmark = pytest.mark.plain_only
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def is_waiting(front, ws):
    await front.until(lambda: ws.receiver is not None)


# -- cancelling recv() ---------------------------------------------------------------------------


def receive_by_await(ws):
    async def receive():
        return await ws.recv()

    return receive()


def receive_by_iterating(ws):
    async def receive():
        async for message in ws:
            return message
        return None

    return receive()


def receive_in_a_task(ws):
    return ws.recv()


def receive_with_decode(ws):
    return ws.recv(decode=True)


@pytest.mark.parametrize(
    "receive", [receive_by_await, receive_by_iterating, receive_in_a_task, receive_with_decode]
)
@pytest.mark.parametrize("seed", range(3))
async def test_cancelling_at_any_moment_loses_and_doubles_nothing(front, receive, seed):
    rng = random.Random(seed)
    total = 600

    async def numbers(ws):
        i = 0
        while i < total:
            for _ in range(rng.choice([1, 1, 1, 2, 5, 40])):
                if i < total:
                    await ws.send(str(i))
                    i += 1
            for _ in range(rng.choice([0, 0, 1, 2, 3])):
                await asyncio.sleep(0)

    seen = []
    cancelled = 0
    async with front.serve(numbers) as server, front.connect(server) as ws:
        async with front.timeout(20):
            while len(seen) < total:
                task = asyncio.ensure_future(receive(ws))
                for _ in range(rng.choice([0, 0, 1, 1, 2, 3, 6])):
                    await asyncio.sleep(0)
                if rng.random() < 0.7:
                    task.cancel()
                try:
                    seen.append(await task)
                except asyncio.CancelledError:
                    cancelled += 1
    assert seen == [str(i) for i in range(total)]
    assert cancelled > 20


async def test_timeouts_lose_nothing(front):
    rng = random.Random(5)
    total = 300

    async def numbers(ws):
        for i in range(total):
            await ws.send(str(i))
            if rng.random() < 0.5:
                await asyncio.sleep(rng.random() * 0.004)

    seen = []
    async with front.serve(numbers) as server, front.connect(server) as ws:
        while len(seen) < total:
            try:
                if rng.random() < 0.5:
                    async with asyncio.timeout(rng.random() * 0.002):
                        while True:
                            seen.append(await ws.recv())
                else:
                    seen.append(await asyncio.wait_for(ws.recv(), rng.random() * 0.002))
            except TimeoutError:
                pass
            except ConnectionClosedOK:
                break
    assert seen == [str(i) for i in range(total)]


async def test_who_waits_after_a_cancelled_one_is_woken(front):
    """The cancelled task runs after the next one has begun to wait."""
    async with front.pair() as (client, server):
        for receive in (receive_by_await, receive_in_a_task, receive_by_iterating):
            first = asyncio.ensure_future(receive(server))
            await is_waiting(front, server)
            first.cancel()
            asyncio.get_running_loop().call_soon(client.send_nowait, "for the second")
            async with front.timeout(2):
                assert await server.recv() == "for the second"
            assert first.cancelled()


async def test_who_is_cancelled_takes_nobody_with_him(front):
    async with front.pair() as (client, server):
        first = asyncio.ensure_future(server.recv())
        await is_waiting(front, server)
        first.cancel()
        second = asyncio.create_task(server.recv())
        await asyncio.sleep(0)
        second.cancel()
        third = asyncio.create_task(server.recv())
        await front.turns()
        assert first.cancelled() and second.cancelled() and not third.done()
        await client.send("third")
        assert await third == "third"


async def test_a_woken_task_that_is_cancelled_before_it_runs(front):
    """Woken from within another task, so that it does not run at once."""
    async with front.pair() as (client, _):
        first = asyncio.create_task(client.recv())
        await is_waiting(front, client)
        client.receiver.wake()
        assert not first.done()
        first.cancel("now")
        second = asyncio.create_task(client.recv())
        with pytest.raises(asyncio.CancelledError):
            await first
        await front.turns()
        assert not second.done()
        await client.close()
        with pytest.raises(ConnectionClosedOK):
            await second


async def test_the_message_of_cancel_is_kept(front):
    async with front.pair() as (_, server):
        caught = []

        async def receive():
            try:
                await server.recv()
            except asyncio.CancelledError as exc:
                caught.append(exc.args)
                raise

        for args in ((), ("because",)):
            task = asyncio.create_task(receive())
            await is_waiting(front, server)
            task.cancel(*args)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert caught.pop() == args
            assert task.cancelling() == 1


async def test_uncancel(front):
    async with front.pair() as (client, server):

        async def receive():
            try:
                return await server.recv()
            except asyncio.CancelledError:
                asyncio.current_task().uncancel()
            return await server.recv()

        task = asyncio.create_task(receive())
        await is_waiting(front, server)
        task.cancel()
        await front.turns()
        assert task.cancelling() == 0
        await client.send("second thoughts")
        assert await task == "second thoughts"


async def test_asyncio_timeout_and_wait_for(front):
    async with front.pair() as (client, server):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await server.recv()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.recv(), 0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                async for _ in server:
                    pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(-1):
                await server.recv()
        await client.send("a")
        async with asyncio.timeout(40):
            assert await server.recv() == "a"
        await client.send("b")
        assert await asyncio.wait_for(server.recv(), 5) == "b"
        assert asyncio.current_task().cancelling() == 0


async def test_every_way_to_wait_for_it(front):
    async with front.pair() as (client, server):
        await client.send("gather")
        assert await asyncio.gather(server.recv(), asyncio.sleep(0, "x")) == ["gather", "x"]
        task = asyncio.create_task(server.recv(), name="reader")
        await is_waiting(front, server)
        assert "reader" in repr(task)
        await client.send("task")
        assert await task == "task"
        waiting = asyncio.create_task(server.recv())
        done, pending = await asyncio.wait({waiting}, timeout=0.01)
        assert (done, pending) == (set(), {waiting})
        await client.send("wait")
        done, _ = await asyncio.wait({waiting})
        assert done.pop().result() == "wait"
        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(server.recv())
            group.create_task(client.send("group"))
        assert receiving.result() == "group"
        await client.send("shield")
        assert await asyncio.shield(server.recv()) == "shield"
        later = asyncio.ensure_future(server.recv())
        await client.send("future")
        assert await later == "future"
        await asyncio.gather(client.send("one"), client.send("two"))
        assert [await server.recv(), await server.recv()] == ["one", "two"]
        await asyncio.wait_for(client.send("three"), 5)
        assert await asyncio.wait_for(server.recv(), 5) == "three"


async def test_a_task_group_whose_other_task_fails(front):
    async with front.pair() as (client, server):

        async def fail():
            await is_waiting(front, server)
            raise ZeroDivisionError

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(server.recv())
                group.create_task(fail())
        assert [type(exc) for exc in caught.value.exceptions] == [ZeroDivisionError]
        await client.send("alive")
        assert await server.recv() == "alive"


async def test_two_readers_of_two_connections_in_one_gather(front):
    async with front.serve(echo) as server, front.connect(server) as a, front.connect(server) as b:
        for i in range(50):
            await asyncio.gather(a.send(f"a{i}"), b.send(f"b{i}"))
            assert await asyncio.gather(a.recv(), b.recv()) == [f"a{i}", f"b{i}"]


async def test_a_recv_that_nobody_awaits_warns_of_nothing(front):
    async with front.pair() as (client, server):
        server.recv()
        server.recv(decode=True)
        client.send("sent all the same")
        assert await server.recv() == "sent all the same"
        gc.collect()


# -- debug mode, tasks in Python -------------------------------------------------------------------


async def test_debug_mode(front):
    asyncio.get_running_loop().set_debug(True)
    asyncio.get_running_loop().slow_callback_duration = 10
    async with front.serve(echo) as server, front.connect(server) as ws:
        for i in range(20):
            await ws.send(str(i))
            assert await asyncio.wait_for(ws.recv(), 5) == str(i)
        task = asyncio.create_task(ws.recv())
        await is_waiting(front, ws)
        repr(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_tasks_written_in_python(front):
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro, **kw: asyncio.tasks._PyTask(coro, loop=loop, **kw))
    try:
        async with front.serve(echo) as server, front.connect(server) as ws:
            for i in range(20):
                await ws.send(str(i))
                assert await asyncio.create_task(ws.recv()) == str(i)
            task = asyncio.create_task(ws.recv())
            await is_waiting(front, ws)
            task.cancel("why")
            with pytest.raises(asyncio.CancelledError):
                await task
    finally:
        loop.set_task_factory(None)


# -- the handler's own world -----------------------------------------------------------------------


async def test_the_handler_sees_its_own_context_and_task(front):
    seen = []

    async def handler(ws):
        mine = asyncio.current_task()
        variable.set(await ws.recv())
        async for message in ws:
            assert asyncio.current_task() is mine
            seen.append((variable.get(), message))
            await ws.send(message)
            assert asyncio.current_task() is mine

    async with front.serve(handler) as server:
        async with front.connect(server) as a, front.connect(server) as b:
            for ws, mark in ((a, "A"), (b, "B")):
                await ws.send(mark)
            for i in range(5):
                for ws in (a, b):
                    await ws.send(str(i))
                    await ws.recv()
    assert variable.get() == "unset"
    assert seen == [(mark, str(i)) for i in range(5) for mark in "AB"]


async def test_a_handler_that_closes_its_own_connection_in_the_wake_up(front):
    async def handler(ws):
        await ws.recv()
        await ws.close(4001, "enough")
        with pytest.raises(ConnectionClosed):
            await ws.send("more")

    async with front.serve(handler) as server, front.connect(server) as ws:
        await ws.send("go")
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert ws.close_code == 4001


async def test_a_handler_that_aborts_its_own_connection_in_the_wake_up(front):
    async def handler(ws):
        await ws.recv()
        ws.send_nowait("last")
        ws.abort()
        await ws.wait_closed()

    async with front.serve(handler) as server, front.connect(server) as ws:
        await ws.send("go")
        with pytest.raises(ConnectionClosed):
            while True:
                await ws.recv()


async def test_handlers_that_write_to_wake_and_close_each_other(front):
    peers = {}

    async def handler(ws):
        name = await ws.recv()
        peers[name] = ws
        async for message in ws:
            other = peers["b" if name == "a" else "a"]
            if message == "close":
                await other.close(4000, name)
            else:
                await other.send(f"{name}:{message}")

    async with front.serve(handler) as server:
        async with front.connect(server) as a, front.connect(server) as b:
            await a.send("a")
            await b.send("b")
            await front.until(lambda: len(peers) == 2)
            for i in range(50):
                await asyncio.gather(a.send(str(i)), b.send(str(i)))
                assert await asyncio.gather(a.recv(), b.recv()) == [f"b:{i}", f"a:{i}"]
            await asyncio.gather(a.send("close"), b.send("close"))
            for ws in (a, b):
                with pytest.raises(ConnectionClosed):
                    await ws.recv()


async def test_a_task_started_in_the_wake_up_runs_as_any_other(front):
    async def handler(ws):
        async for message in ws:
            async with asyncio.TaskGroup() as group:
                for i in range(3):
                    group.create_task(ws.send(f"{message}{i}"))

    async with front.serve(handler) as server, front.connect(server) as ws:
        await ws.send("x")
        assert [await ws.recv() for _ in range(3)] == ["x0", "x1", "x2"]


class Stop(BaseException):
    """Neither an Exception nor one that asyncio knows."""


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_not_swallowed(fatal, loop_factories):
    """Raised by a handler in the wake-up, it comes out of the loop."""
    import duplexer

    async def handler(ws):
        await ws.recv()
        raise fatal

    async def main():
        server = await duplexer.serve(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        ws = await duplexer.connect(f"ws://127.0.0.1:{port}", proxy=None)
        left.extend((server, ws))
        await ws.send("go")
        await asyncio.sleep(10)

    for make in loop_factories:
        left: list = []
        loop = make()
        try:
            task = loop.create_task(main())
            with pytest.raises(fatal):
                loop.run_until_complete(task)
            task.cancel()

            async def clean(task=task, left=left):
                await asyncio.gather(task, return_exceptions=True)
                server, ws = left
                ws.abort()
                for connection in server.connections:
                    connection.abort()
                server.close()
                await server.wait_closed()

            loop.run_until_complete(clean())
        finally:
            loop.close()


@pytest.fixture
def loop_factories(unlogged):
    import uvloop

    yield [asyncio.new_event_loop, uvloop.new_event_loop]
    unlogged.clear()  # the handler's exception is reported as well


async def test_before_the_handshake_there_is_nothing_to_send_or_receive(front):
    seen = []

    async def process_request(ws, request):
        for act in (lambda: ws.send("x"), ws.recv, lambda: ws.send_nowait("x"), ws.ping):
            with pytest.raises(InvalidState):
                await act()
            seen.append(act)

    async with front.serve(echo, process_request=process_request) as server:
        async with front.connect(server):
            assert len(seen) == 4


# -- cancelling send() -----------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_cancelling_send_leaves_no_half_frame(front, compression):
    rng = random.Random(1)
    arrived = []
    messages = [rng.randbytes(rng.randrange(200_000, 900_000)) for _ in range(12)]

    async def handler(ws):
        arrived.append(ws)
        for message in messages:
            task = asyncio.create_task(ws.send(message, compress=bool(compression)))
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
        await ws.send("end")

    headers = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if compression else ""
    async with front.serve(handler, compression=compression, max_size=None) as server:
        async with front.raw(server, receive_buffer=4096, headers=headers) as peer:
            await front.until(lambda: arrived and arrived[0].write_paused)

            inflate = zlib.decompressobj(-15)

            def read():
                seen = []
                while True:
                    frame = peer.recv()
                    if frame.opcode == TEXT:
                        return seen
                    assert frame.opcode == BINARY and frame.fin
                    assert frame.rsv == (4 if compression else 0)
                    data = frame.payload
                    if compression:
                        data = inflate.decompress(data + b"\0\0\xff\xff")
                    seen.append(data)

            seen = await front.thread(read)
            # Whole messages, in their order; one that was cancelled before it began is missing.
            rest = iter(messages)
            assert all(message in rest for message in seen)
            assert len(seen) >= 5


async def test_cancelling_a_fragmented_send_fails_the_connection(front):
    async def endless():
        yield "begun"
        await asyncio.Event().wait()

    async with front.pair() as (client, server):
        task = asyncio.create_task(client.send(endless()))
        await front.until(lambda: client.session.sending)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ConnectionClosed):
            await server.recv()
        assert server.close_code == 1011


async def test_a_cancelled_close_closes_all_the_same(front):
    async with front.raw_pair(close_timeout=0.3) as (ws, peer):
        task = asyncio.create_task(ws.close(4002))
        await front.turns(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await front.thread(peer.recv_close))[0] == 4002
        await ws.wait_closed()


async def test_a_handler_that_is_cancelled_by_its_own_task(front):
    async def handler(ws):
        task = asyncio.current_task()
        asyncio.get_running_loop().call_soon(task.cancel)
        await ws.recv()

    async with front.serve(handler) as server, front.connect(server) as ws:
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert ws.close_code == 1011


async def test_cancelling_connect_leaves_nothing(front):
    async with front.raw_listener() as listener:
        task = asyncio.ensure_future(opened(front.connect(listener)))
        peer: Raw = await front.thread(listener.accept, handshake=False)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        peer.close()


async def opened(connecting):
    return await connecting


async def test_concurrency_is_refused_in_the_order_of_coming(front):
    async with front.pair() as (client, server):
        tasks = [asyncio.create_task(server.recv()) for _ in range(3)]
        await front.turns()
        assert [task.done() for task in tasks] == [False, True, True]
        for task in tasks[1:]:
            assert isinstance(task.exception(), ConcurrencyError)
        await client.send("first")
        assert await tasks[0] == "first"


async def test_who_stands_behind_fragments_hears_of_the_end(front):
    """Though the source of the fragments never goes on."""
    never = asyncio.Event()

    async def pieces():
        yield "first"
        await never.wait()

    async with front.pair() as (client, server), front.timeout():
        fragments = front.spawn(client.send(pieces()))
        await front.until(lambda: client.fragmenting is not None)
        behind = [front.spawn(client.send(message)) for message in ("one", ["two"])]
        await front.turns()
        server.abort()
        for sending in behind:
            with pytest.raises(ConnectionClosed):
                await sending
        never.set()
        with pytest.raises(ConnectionClosed):
            await fragments


async def test_who_stands_behind_fragments_has_its_turn(front):
    go_on = asyncio.Event()

    async def pieces():
        yield "a"
        await go_on.wait()
        yield "b"

    async with front.pair() as (client, server), front.timeout():
        sending = [front.spawn(client.send(pieces()))]
        await front.until(lambda: client.fragmenting is not None)
        sending += [front.spawn(client.send(message)) for message in ("one", ["tw", "o"], "three")]
        await front.turns()
        go_on.set()
        for task in sending:
            await task
        got = [await server.recv() for _ in range(4)]
        assert got[0] == "ab"
        assert sorted(got[1:]) == ["one", "three", "two"]
