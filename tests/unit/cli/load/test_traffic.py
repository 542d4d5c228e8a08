"""Messages out and in: each compared, each timed, and every way to get it wrong has its name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.asyncio.server import ServerConnection
from duplexer.cli.load.load import Load
from duplexer.cli.load.mistakes import Mistakes
from duplexer.cli.load.plan import Plan
from duplexer.cli.load.traffic import UNBOUNDED, Pacer, Publisher, Sender, Traffic
from tests.unit.cli.load.servers import answering, echo, kinds, plan, put, serving

pytestmark = pytest.mark.both_builds


def traffic(budget: int = UNBOUNDED) -> Traffic:
    made = Traffic([b"a", b"b", b"c", b"d"], True, Mistakes())
    made.budget = budget
    return made


# -- what is right --------------------------------------------------------------------------------


@pytest.mark.every_loop
@pytest.mark.parametrize("in_flight", [1, 3, 64])
async def test_every_message_comes_back(in_flight: int) -> None:
    async with serving(echo) as uri:
        load = await put(plan(uri, connections=3, in_flight=in_flight, count=1000))
    result = load.outcome()
    assert kinds(load) == {}
    assert (result.sent, result.received, result.bytes) == (1000, 1000, 32000)
    assert result.latency.total == 1000
    assert 0 < result.latency.least <= result.latency.greatest


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65536, 300_000])
@pytest.mark.parametrize("text", [True, False])
async def test_every_size(size: int, text: bool) -> None:
    async with serving(echo) as uri:
        load = await put(plan(uri, size=size, text=text, count=20))
    assert kinds(load) == {}
    assert load.outcome().bytes == 20 * size


async def test_neighbours_differ_and_connections_too() -> None:
    seen: list[list[Any]] = []

    async def handler(ws: ServerConnection) -> None:
        mine: list[Any] = []
        seen.append(mine)
        async for message in ws:
            mine.append(message)
            await ws.send(message)

    async with serving(handler) as uri:
        await put(plan(uri))
    first, second = seen
    assert len(set(first)) == len(first)
    assert first[0] != second[0]


async def test_no_more_than_that_are_in_flight() -> None:
    most = 0

    async def handler(ws: ServerConnection) -> None:
        nonlocal most
        waiting: list[Any] = []
        async for message in ws:
            waiting.append(message)
            most = max(most, len(waiting))
            if len(waiting) == 5:
                for each in waiting:
                    await ws.send(each)
                waiting.clear()

    async with serving(handler) as uri:
        assert kinds(await put(plan(uri, connections=1, in_flight=5, count=50))) == {}
    assert most == 5


# -- what is wrong --------------------------------------------------------------------------------

Answers = Callable[[int, Any], Iterable[Any]]


def spoilt(number: int, message: bytes) -> Iterable[bytes]:
    yield message if number != 3 else message[:-1] + bytes([message[-1] ^ 1])


def dropped(number: int, message: bytes) -> Iterable[bytes]:
    if number != 3:
        yield message


def twice(number: int, message: bytes) -> Iterable[bytes]:
    yield message
    if number == 3:
        yield message


def as_text(number: int, message: bytes) -> Iterable[bytes | str]:
    yield message if number != 3 else "x" * len(message)


def shorter(number: int, message: bytes) -> Iterable[bytes]:
    yield message if number != 3 else message[:-1]


def late() -> Answers:
    """Message 3 comes after message 4."""
    held: list[bytes] = []

    def answers(number: int, message: bytes) -> Iterable[bytes]:
        if number == 3:
            held.append(message)
            return []
        return [message, *[held.pop() for _ in held[:1]]]

    return answers


def the_one_before() -> Answers:
    """A server that always sends the message before this one."""
    before = [b"none"]

    def answers(number: int, message: bytes) -> Iterable[bytes]:
        before.append(message)
        yield before.pop(0)

    return answers


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        (spoilt, {"wrong-bytes": 1}),
        (shorter, {"wrong-bytes": 1}),
        (dropped, {"lost": 1}),
        (late(), {"out-of-order": 1}),
        (twice, {"unasked": 1}),
        (as_text, {"wrong-type": 1}),
    ],
)
async def test_one_mistake_is_one(answers: Answers, found: dict[str, int]) -> None:
    async with serving(answering(answers)) as uri:
        load = await put(plan(uri, connections=1, answer_timeout=1.0))
    assert kinds(load) == found
    assert load.outcome().status() == 7


async def test_a_server_that_is_one_behind() -> None:
    async with serving(answering(the_one_before())) as uri:
        load = await put(plan(uri, connections=1, in_flight=1, answer_timeout=0.5))
    assert kinds(load) == {"unasked": 1, "unanswered": 1}


async def test_a_server_that_changes_everything() -> None:
    async with serving(answering(lambda _, message: [message[::-1]])) as uri:
        load = await put(plan(uri, in_flight=8, count=5000))
        assert kinds(load) == {"wrong-bytes": 5000}
        load = await put(plan(uri, in_flight=8, count=5000, check=False))
        assert kinds(load) == {}
    assert load.outcome().received == 5000


async def test_unasked_while_nothing_is_under_way() -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.send("welcome")
        await echo(ws)

    async with serving(handler) as uri:
        load = await put(plan(uri, connections=3, count=3, check=False))
    assert kinds(load).get("unasked", 0) == 3


async def test_a_message_that_ends_the_traffic_of_one_in_flight() -> None:
    async with serving(answering(dropped)) as uri:
        load = await put(plan(uri, connections=1, in_flight=1, answer_timeout=0.5))
    assert kinds(load) == {"unanswered": 1}


# -- broadcasts -----------------------------------------------------------------------------------


def hall(others: bool = False, deaf: int | None = None) -> Any:
    """Delivers each message to all, or all but its sender; never the third to number ``deaf``."""
    members: list[ServerConnection] = []
    count = 0

    async def handler(ws: ServerConnection) -> None:
        nonlocal count
        members.append(ws)
        async for message in ws:
            count += 1
            for number, member in enumerate(members):
                if not (others and member is ws) and not (number == deaf and count == 3):
                    await member.send(message)

    return handler


@pytest.mark.parametrize("in_flight", [1, 4])
async def test_broadcast_to_all(in_flight: int) -> None:
    async with serving(hall()) as uri:
        load = await put(plan(uri, broadcast="all", connections=5, in_flight=in_flight))
    assert kinds(load) == {}
    assert (load.outcome().sent, load.outcome().received) == (100, 500)
    assert load.outcome().latency.total == 500


async def test_broadcast_to_others() -> None:
    async with serving(hall(others=True)) as uri:
        load = await put(plan(uri, broadcast="others", connections=5))
    assert kinds(load) == {}
    assert load.outcome().received == 400


async def test_a_publisher_that_hears_itself() -> None:
    async with serving(hall()) as uri:
        load = await put(plan(uri, broadcast="others", connections=5))
    assert kinds(load) == {"unasked": 100}


async def test_a_delivery_that_is_missing() -> None:
    async with serving(hall(deaf=1)) as uri:
        load = await put(plan(uri, broadcast="all", connections=3))
    assert kinds(load) == {"lost": 1}
    assert load.outcome().received == 299


async def test_broadcast_at_a_rate() -> None:
    async with serving(hall()) as uri:
        load = await put(plan(uri, broadcast="all", connections=3, rate=2000.0))
    assert kinds(load) == {}
    assert load.outcome().received == 300


def test_a_publisher_counts_each_message_alone() -> None:
    shared = traffic()
    publisher = Publisher(shared, 2, 0, True)
    publisher.audience = 2
    publisher.missing[0] = publisher.missing[1] = 2
    publisher.sent = publisher.flying = shared.flying = 2
    publisher.done(0, 2, 0)
    assert (publisher.flying, shared.flying) == (2, 2)
    publisher.done(0, 1, 0)
    assert (publisher.flying, shared.flying) == (1, 1)


# -- at a rate ------------------------------------------------------------------------------------


def test_what_is_due_goes_round() -> None:
    shared = traffic(budget=7)
    senders = [Sender(shared, 1, 0, True) for _ in range(3)]
    pacer = Pacer(shared, senders, 100.0, 0, 1)
    pacer.start = 1000
    assert pacer.run(999) == 1000
    assert pacer.run(1250) == 1300
    assert sorted(list(sender.owed or ()) for sender in senders) == [[1000], [1100], [1200]]
    pacer.run(100_000)
    assert shared.budget == 0
    assert sum(sender.stop() for sender in senders) == 7
    assert sum(sender.stop() for sender in senders) == 0


def test_processes_take_turns() -> None:
    pacers = [Pacer(traffic(), [Sender(traffic(), 1, 0, True)], 100.0, n, 2) for n in (0, 1)]
    assert [pacer.due() for pacer in pacers] == [0, 100]
    assert [pacer.run(0) for pacer in pacers] == [200, 100]


def test_nobody_is_left_to_send() -> None:
    assert Pacer(traffic(), [], 100.0, 0, 1).run(1000) == 0


async def test_a_stall_is_in_every_message_that_was_due_meanwhile() -> None:
    # While the server holds the first answer back, the others become due; one is in flight. Told
    # by when they were sent, one message would be slow and all others quick.
    go = asyncio.Event()

    async def handler(ws: ServerConnection) -> None:
        async for message in ws:
            await go.wait()
            await ws.send(message)

    async with serving(handler) as uri:
        given = plan(uri, connections=1, in_flight=1, rate=1000.0, count=100)
        latency = (await put_stalled(given, go)).outcome().latency
    assert latency.total == 100
    assert latency.percentile(50) > latency.greatest / 4


async def put_stalled(given: Plan, go: asyncio.Event) -> Load:
    """Put the load on a server that answers from ``go`` on, set when all messages are due."""
    load = Load(given)
    await load.open()
    running = asyncio.create_task(load.run())
    while len(load._senders[0].owed or ()) < 99:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)
    go.set()
    await running
    await load.close()
    return load


async def test_more_is_due_than_the_server_takes() -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.wait_closed()

    async with serving(handler) as uri:
        load = await put(
            plan(
                uri,
                connections=1,
                in_flight=10,
                rate=1e5,
                count=None,
                duration=0.2,
                answer_timeout=0.2,
            )
        )
    found = kinds(load)
    assert found["unanswered"] == 10
    assert found["unsent"] > 0


# -- a sender alone -------------------------------------------------------------------------------


async def test_a_sender_stays_within_budget() -> None:
    async with serving(echo) as uri:
        async with connect(uri) as ws:
            shared = traffic(budget=3)
            sender = Sender(shared, 10, 2, False)
            sender.fill(0)
            assert shared.sent == 0  # it has no connection yet
            sender.wire = ws
            sender.fill(5)
            assert (shared.sent, shared.flying, shared.budget) == (3, 3, 0)
            assert list(sender.due)[:3] == [5, 5, 5]
            assert [await ws.recv() for _ in range(3)] == [b"c", b"d", b"a"]
        shared.budget = 3
        sender.done(0, 3, 6)
        assert (shared.sent, shared.budget) == (3, 3)  # the connection is closed


async def test_quiet_is_told() -> None:
    told: list[int] = []
    shared = traffic(budget=0)
    shared.on_quiet = lambda: told.append(1)
    shared.flying = 1
    sender = Sender(shared, 1, 0, False)
    sender.flying = 1
    sender.done(0, 0, 0)
    assert told == []
    sender.done(0, 1, 0)
    assert told == [1]
