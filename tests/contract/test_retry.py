"""Connecting again and again, and what becomes of what was under way."""

from __future__ import annotations

import pytest

from duplexer import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidStatus,
    Limits,
    Retry,
    RetryState,
    State,
)
from tests.contract.peers import CLOSE, PING, PONG, TEXT, close_body

QUICK = Retry(base=0.01, cap=0.05, restart_delay=0.02, overload_delay=0.02)


class Door:
    """Lets in, or answers with a status: one ``verdict`` after the other, the last one for ever."""

    def __init__(self, *verdicts, headers=()):
        self.verdicts = list(verdicts)
        self.headers = headers
        self.requests = []

    def __call__(self, ws, request):
        self.requests.append(request)
        status = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        if status is None:
            return None
        response = ws.respond(status, "not yet")
        for name, value in self.headers:
            response.headers[name] = value
        return response


async def greet(ws):
    await ws.send("hello")
    await ws.wait_closed()


async def wait(ws):
    await ws.wait_closed()


# -- one connection --------------------------------------------------------------------------------


async def test_connecting_once_may_be_tried_again(front):
    door = Door(503, 500, None)
    async with front.serve(greet, process_request=door) as server:
        async with front.connect(server, retry=QUICK) as ws:
            assert await ws.recv() == "hello"
        ws = await front.connect(server, retry=True)
        assert await ws.recv() == "hello"
        await ws.close()
    assert len(door.requests) == 4


async def test_without_retry_it_is_not(front):
    door = Door(503, None)
    async with front.serve(greet, process_request=door) as server:
        with pytest.raises(InvalidStatus):
            await front.connect(server)
    assert len(door.requests) == 1


async def test_what_is_fatal_is_raised_at_once(front):
    door = Door(404)
    async with front.serve(greet, process_request=door) as server:
        with pytest.raises(InvalidStatus, match="404"):
            await front.connect(server, retry=QUICK)
        with pytest.raises(InvalidStatus, match="404"):
            async for _ in front.connect(server, retry=QUICK):
                pytest.fail("there is none")
    assert len(door.requests) == 2


async def test_process_exception_has_the_last_word(front):
    door = Door(404, 404, None, 503)

    def process_exception(exc):
        return None if exc.response.status_code == 404 else ZeroDivisionError()

    async with front.serve(greet, process_request=door) as server:
        async with front.connect(server, retry=QUICK, process_exception=process_exception):
            pass
        with pytest.raises(ZeroDivisionError):
            await front.connect(server, retry=QUICK, process_exception=process_exception)


async def test_it_gives_up(front):
    door = Door(503)
    states = []
    retry = QUICK.replace(attempts=3, on_state=lambda retrying: states.append(str(retrying.state)))
    async with front.serve(greet, process_request=door) as server:
        with pytest.raises(InvalidStatus) as caught:
            await front.connect(server, retry=retry)
    assert "Retry.attempts" in caught.value.__notes__[0]
    assert states == ["connecting"] * 3 + ["gave_up"]
    assert len(door.requests) == 3


async def test_a_server_that_is_not_there_yet(front):
    async with front.raw_listener() as listener:
        uri = front.uri(listener)
    with pytest.raises(OSError):
        await front.connect(uri, retry=QUICK.replace(attempts=2))


async def test_a_server_asks_to_be_left_alone(front):
    door = Door(503, None, headers=[("Retry-After", "1000")])
    seen = []

    def on_state(retrying):
        seen.append(retrying.delay)

    retry = QUICK.replace(retry_after=0.03, on_state=on_state)
    async with front.serve(greet, process_request=door) as server:
        async with front.connect(server, retry=retry):
            pass
    assert 0.03 <= seen[-1] <= 0.04  # as long as it may ask for, and at most ``base`` on top


async def test_something_fresh_for_each_attempt(front):
    attempts = []

    def before(retrying):
        attempts.append((retrying.attempt, retrying.error))
        headers = {"Authorization": f"Bearer {retrying.attempt}"}
        if retrying.attempt == 1:
            return {"additional_headers": headers}
        return {"additional_headers": headers, "uri": front.uri(server, f"/{retrying.attempt}")}

    door = Door(401, None)
    retry = QUICK.replace(before=before, fatal=lambda exc: False)
    async with front.serve(greet, process_request=door) as server:
        async with front.connect(server, retry=retry, subprotocols=None) as ws:
            assert ws.request.headers["Authorization"] == "Bearer 2"
    assert [request.path for request in door.requests] == ["/", "/2"]
    assert [request.headers["Authorization"] for request in door.requests] == [
        "Bearer 1",
        "Bearer 2",
    ]
    (first, nothing), (second, refusal) = attempts
    assert (first, nothing, second) == (1, None, 2) and refusal.response.status_code == 401


async def test_arguments_that_make_no_sense(front):
    for given in (5, "yes", {}):
        with pytest.raises(TypeError, match="retry"):
            front.connect("ws://localhost/", ssl=None, retry=given)
    async with front.serve(greet) as server:
        with pytest.raises(TypeError, match=r"Retry\.before"):
            await front.connect(server, retry=QUICK.replace(before=lambda retrying: 5))


# -- one connection after the other ----------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 4000])
async def test_whatever_the_code_another_one_follows(front, code):
    async def handler(ws):
        await ws.send("hello")
        await ws.close(code, "retry-after=0" if code == 1013 else "")

    got = []
    async with front.serve(handler) as server, front.timeout():
        async for ws in front.connect(server, retry=QUICK):
            try:
                async for message in ws:
                    got.append(message)  # noqa: PERF401 - it may be interrupted
            except ConnectionClosed:
                pass
            assert ws.close_code == code
            if len(got) == 3:
                break
        await front.until(lambda: not server.connections)
    assert got == ["hello"] * 3


async def test_its_state_is_to_be_seen(front):
    states = []
    retry = QUICK.replace(on_state=lambda retrying: states.append(retrying.state))
    door = Door(503, None)
    async with front.serve(greet, process_request=door) as server, front.timeout():
        connecting = front.connect(server, retry=retry)
        assert connecting.retrying.state is None
        n = 0
        async for ws in connecting:
            n += 1
            assert await ws.recv() == "hello"
            assert connecting.retrying.state is RetryState.OPEN
            assert connecting.retrying.attempt == (2 if n == 1 else 1)
            if n == 2:
                break
        await front.until(lambda: not server.connections)
    assert states == ["connecting", "connecting", "open", "lost", "connecting", "open"]


async def test_a_server_that_accepts_and_closes_at_once_is_not_hammered(front):
    served = []

    async def handler(ws):
        served.append(ws)

    retrying = None
    async with front.serve(handler) as server, front.timeout():
        with pytest.raises(ConnectionClosed) as caught:
            connecting = front.connect(server, retry=QUICK.replace(attempts=4))
            retrying = connecting.retrying
            async for ws in connecting:
                await ws.wait_closed()
    assert len(served) == retrying.attempt == 4  # no connection was any good
    assert "Gave up after 4 attempts" in caught.value.__notes__[0]


async def test_connections_end_before_a_limit_that_is_known(front):
    reasons = []

    async def handler(ws):
        await ws.send("hello")
        await ws.wait_closed()
        reasons.append((ws.close_code, ws.close_reason))

    retry = QUICK.replace(session_limit=0.3, session_margin=0.1, attempts=1)
    got = []
    async with front.serve(handler) as server, front.timeout():
        async for ws in front.connect(server, retry=retry):
            got.extend([message async for message in ws])
            if len(got) == 3:
                break
        await front.until(lambda: len(reasons) == 3)
    assert got == ["hello"] * 3 and reasons == [(1000, "session limit")] * 3


# -- on loss ---------------------------------------------------------------------------------------


async def test_whoever_waits_is_told_of_the_loss(front):
    limits = Limits(ping_interval=None, send_timeout=None)
    async with front.raw_pair(limits=limits) as (ws, peer):
        receiving = front.spawn(ws.recv())
        waiters = [await ws.ping() for _ in range(3)]
        sending = front.spawn(ws.send(b"x" * (1 << 25)))  # more than any kernel takes
        closing = front.spawn(ws.wait_closed())
        await front.until(lambda: front.unsent(ws))
        await front.thread(peer.reset)
        async with front.timeout():
            for waiting in (receiving, sending, *waiters):
                with pytest.raises(ConnectionClosedError):
                    await waiting
            await closing
        assert ws.state is State.CLOSED
        for late in (ws.recv, ws.ping, lambda: ws.send("late")):
            with pytest.raises(ConnectionClosedError):
                await late()


async def test_what_was_not_acknowledged_goes_to_the_next_connection(front):
    async with front.raw_listener() as listener, front.timeout():
        accepting = front.spawn(front.thread(listener.accept))
        n = 0
        async for ws in front.connect(
            listener, retry=QUICK, keep_unacknowledged=True, ping_interval=None
        ):
            n += 1
            peer = await accepting
            try:
                if n == 1:
                    assert not ws.undelivered
                    await ws.send("arrived")
                    waiter = await ws.ping(b"?")
                    assert (await front.thread(peer.recv)).payload == b"arrived"
                    assert (await front.thread(peer.recv)).opcode == PING
                    await front.thread(peer.send, PONG, b"?")
                    await waiter
                    assert ws.unacknowledged == []
                    await ws.send("perhaps")
                    await ws.send(b"not")
                    assert ws.unacknowledged == ["perhaps", b"not"]
                    accepting = front.spawn(front.thread(listener.accept))
                else:
                    assert list(ws.undelivered) == ["perhaps", b"not"]
                    for message in ws.take_undelivered():
                        await ws.send(message)
                    assert not ws.undelivered and ws.unacknowledged == ["perhaps", b"not"]
                    frames = [await front.thread(peer.recv) for _ in range(2)]
                    assert [frame.payload for frame in frames] == [b"perhaps", b"not"]
                    break
            finally:
                peer.close()


async def test_it_asks_what_has_arrived_by_itself(front):
    async with front.pair(
        client={"keep_unacknowledged": True, "ping_interval": None},
        server={"keep_unacknowledged": True, "ping_interval": None},
    ) as (client, server):
        for ws, other in ((client, server), (server, client)):
            await ws.send("é" * 1000)
            assert ws.unacknowledged == ["é" * 1000]
            assert await other.recv() == "é" * 1000
            await front.until(lambda ws=ws: ws.unacknowledged == [])


async def test_without_the_option_nothing_is_kept(front):
    async with front.pair() as (client, server):
        await client.send("a")
        assert client.unacknowledged is None and server.unacknowledged is None
        assert not client.undelivered and list(client.take_undelivered()) == []


async def test_a_close_by_us_asks_a_last_time(front):
    async with front.raw_pair(keep_unacknowledged=True) as (ws, peer):
        await ws.send("last")
        closing = front.spawn(ws.close())
        frames = [await front.thread(peer.recv) for _ in range(3)]
        assert [frame.opcode for frame in frames] == [TEXT, PING, CLOSE]
        await front.thread(peer.send, PONG, frames[1].payload)
        await front.thread(peer.send, CLOSE, close_body(1000))
        peer.close()
        await closing
        assert ws.unacknowledged == [] and ws.close_code == 1000


async def test_too_much_to_be_kept_is_refused(front):
    limits = Limits(unacknowledged_bytes=2000, ping_interval=None)
    async with front.raw_pair(keep_unacknowledged=True, limits=limits) as (ws, _):
        await ws.send("x" * 1500)
        with pytest.raises(BufferError, match=r"Limits\.unacknowledged_bytes"):
            await ws.send("x" * 1500)
        assert ws.unacknowledged == ["x" * 1500] and ws.state is State.OPEN
