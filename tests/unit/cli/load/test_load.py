"""A load as a whole: what cannot be opened, what ends early, when it ends itself."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hashlib
import socket
from typing import Any

import pytest

from duplexer.asyncio.server import ServerConnection
from duplexer.cli.load.load import Load
from duplexer.cli.outcome import Failure, Status
from tests.unit.cli.load.servers import PATIENCE, echo, kinds, listening, mute, plan, put, serving

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The opening handshake, for a server that then does as it likes (RFC 6455 4.2.2)."""
    request = await reader.readuntil(b"\r\n\r\n")
    key = next(line[19:] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-K"))
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


# -- opening --------------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    load = await put(plan(f"ws://me:secret@127.0.0.1:{port}"))
    assert kinds(load) == {"unreachable": 2}
    assert "secret" not in str(load.outcome().mistakes.sorted())
    assert (load.outcome().opened, load.outcome().failed) == (0, 2)
    assert load.outcome().status() == Status.UNREACHABLE


async def test_refused_with_a_status() -> None:
    def refuse(connection: ServerConnection, _request: Any) -> Any:
        return connection.respond(403, "members only")

    async with serving(echo, process_request=refuse) as uri:
        load = await put(plan(uri))
    (row,) = load.outcome().mistakes.sorted()
    assert (row.kind, row.count) == ("refused", 2)
    assert "403" in row.message and "members only" in row.example
    assert load.outcome().status() == Status.REFUSED


async def test_only_some_are_refused() -> None:
    asked = 0

    def refuse_every_other(connection: ServerConnection, _request: Any) -> Any:
        nonlocal asked
        asked += 1
        return connection.respond(503, "full") if asked % 2 else None

    async with serving(echo, process_request=refuse_every_other) as uri:
        load = await put(plan(uri, connections=10))
    assert kinds(load) == {"refused": 5}
    assert (load.outcome().opened, load.outcome().received) == (5, 100)
    assert load.outcome().status() == Status.CLOSED


async def test_what_answers_is_no_websocket() -> None:
    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")

    async with listening(talk) as uri:
        load = await put(plan(uri))
    assert kinds(load) == {"not-websocket": 2}
    assert load.outcome().status() == Status.NOT_WEBSOCKET


async def test_no_answer_to_the_handshake() -> None:
    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(talk) as uri:
        load = await put(plan(uri, open_timeout=0.2))
    assert kinds(load) == {"timeout": 2}
    assert load.outcome().status() == Status.TIMEOUT


async def test_tls_where_there_is_none() -> None:
    async with serving(echo) as uri:
        load = await put(plan(uri.replace("ws:", "wss:")))
    assert sum(kinds(load).values()) == 2
    assert set(kinds(load)) <= {"tls", "unreachable"}


async def test_options_that_do_not_fit() -> None:
    with pytest.raises(Failure, match="only checked with wss"):
        await put(plan("ws://127.0.0.1:1", insecure=True))


@pytest.mark.parametrize("pace", [{"open_rate": 500.0}, {"ramp_up": 0.02}])
async def test_opening_at_a_rate(pace: dict[str, float]) -> None:
    loop = asyncio.get_running_loop()
    async with serving(echo) as uri:
        begun = loop.time()
        load = await put(plan(uri, connections=11, **pace))
        assert loop.time() - begun >= 0.019  # ten intervals: it may take longer, but not less
    assert load.outcome().opened == 11
    assert load.outcome().handshakes.total == 11
    assert kinds(load) == {}


async def test_more_connections_than_are_opened_at_once() -> None:
    async with serving(echo) as uri:
        load = await put(plan(uri, connections=200, count=1000))
    assert (load.outcome().opened, load.outcome().received) == (200, 1000)
    assert kinds(load) == {}


async def test_what_was_agreed_on() -> None:
    async with serving(echo, subprotocols=["b"], compression="deflate") as uri:
        given = plan(uri, subprotocols=("a", "b"), deflate=True, payload="json", size=2000)
        result = (await put(given)).outcome()
        assert (result.compressed, dict(result.subprotocols)) == (2, {"b": 2})
        assert (result.status(), result.bytes) == (Status.OK, 200_000)
    async with serving(echo) as uri:
        result = (await put(plan(uri))).outcome()
        assert (result.compressed, dict(result.subprotocols)) == (0, {"": 2})


async def test_headers_are_sent() -> None:
    seen: list[str | None] = []

    async def handler(ws: ServerConnection) -> None:
        assert ws.request is not None
        seen.append(ws.request.headers.get("X-Who"))
        await echo(ws)

    async with serving(handler) as uri:
        await put(plan(uri, headers=(("X-Who", "me"),)))
    assert seen == ["me", "me"]


# -- ending ---------------------------------------------------------------------------------------


async def test_the_server_closes_early() -> None:
    async def handler(ws: ServerConnection) -> None:
        for _ in range(5):
            await ws.send(await ws.recv())
        await ws.close(1013, "had enough")

    async with serving(handler) as uri:
        load = await put(plan(uri, count=1000))
    rows = {row.kind: row for row in load.outcome().mistakes.sorted()}
    assert rows["closed"].count == 2
    assert "1013" in rows["closed"].message and "had enough" in rows["closed"].message
    assert rows["unanswered"].count >= 2
    assert load.outcome().lasted == 0
    assert load.outcome().status() == Status.WRONG


async def test_one_connection_of_many_is_lost() -> None:
    doomed: list[ServerConnection] = []

    async def handler(ws: ServerConnection) -> None:
        doomed.append(ws)
        count = 0
        async for message in ws:
            count += 1
            if ws is doomed[0] and count == 3:
                ws.abort()
            await ws.send(message)

    async with serving(handler) as uri:
        load = await put(plan(uri, connections=4, in_flight=1))
    assert kinds(load) == {"closed": 1, "unanswered": 1}
    assert load.outcome().lasted == 3


async def test_the_server_closes_at_once() -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.close(1008, "go away")

    async with serving(handler) as uri:
        load = await put(plan(uri))
    assert kinds(load)["closed"] == 2
    assert load.outcome().opened == 2
    assert load.outcome().received == 0


async def test_nothing_is_answered() -> None:
    async with serving(mute) as uri:
        load = await put(plan(uri, answer_timeout=0.2))
    assert kinds(load) == {"unanswered": 8}
    assert load.outcome().latency.total == 0
    assert load.outcome().status() == Status.WRONG


async def test_what_comes_unasked_is_no_answer() -> None:
    seen = 0

    async def handler(ws: ServerConnection) -> None:
        nonlocal seen
        seen += 1
        if seen > 1:
            await ws.wait_closed()
        while ws.state.name == "OPEN":
            await ws.send("beat")
            await asyncio.sleep(0.02)

    async with serving(handler) as uri:
        load = await put(plan(uri, in_flight=1, count=2, answer_timeout=0.4))
    found = kinds(load)
    assert found["unanswered"] == 1
    assert found["unasked"] > 1


async def test_a_connection_that_ends_is_no_answer() -> None:
    seen = 0

    async def handler(ws: ServerConnection) -> None:
        nonlocal seen
        seen += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2 * seen):
                await ws.wait_closed()
        ws.abort()

    async with serving(handler) as uri:
        load = await put(plan(uri, connections=30, in_flight=1, count=30, answer_timeout=0.4))
    assert 0 < load.outcome().lasted < 30
    assert kinds(load)["unanswered"] == 30


async def test_each_delivery_of_a_broadcast_is_an_answer() -> None:
    members: list[ServerConnection] = []

    async def handler(ws: ServerConnection) -> None:
        members.append(ws)
        async for message in ws:
            for member in members:
                await asyncio.sleep(0.1)  # all together it takes longer than the patience
                await member.send(message)

    async with serving(handler) as uri:
        load = await put(plan(uri, broadcast="all", connections=8, count=1, answer_timeout=0.4))
    assert kinds(load) == {}
    assert load.outcome().received == 8


async def test_a_close_is_not_answered() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await reader.read()

    async with listening(talk) as uri:
        load = await put(plan(uri, in_flight=0, count=None, duration=0.01, close_timeout=0.2))
    assert kinds(load) == {"unclean-close": 2}
    assert load.outcome().status() == Status.CLOSED


async def test_the_publisher_is_lost() -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        ws.abort()

    async with serving(handler) as uri:
        load = await put(plan(uri, broadcast="all", connections=3, answer_timeout=0.2))
    assert kinds(load)["closed"] == 1
    assert load.outcome().status() == Status.WRONG


async def test_a_listener_of_a_broadcast_is_lost() -> None:
    members: list[ServerConnection] = []

    async def handler(ws: ServerConnection) -> None:
        members.append(ws)
        count = 0
        async for message in ws:
            count += 1
            if count == 5:
                members[-1].abort()
            for member in members:
                if member.state.name == "OPEN":
                    await member.send(message)

    async with serving(handler) as uri:
        load = await put(plan(uri, broadcast="all", connections=3, in_flight=2))
    found = kinds(load)
    assert found["closed"] == 1
    assert 0 < found["unanswered"] <= 2
    assert load.outcome().sent == 100


# -- how long -------------------------------------------------------------------------------------


async def test_a_duration_with_a_warm_up() -> None:
    begins: list[bool] = []
    async with serving(echo) as uri:
        load = Load(plan(uri, count=None, duration=0.1, warm_up=0.1))
        load.on_measuring = begins.append
        await load.open()
        await load.run()
        await load.close()
    result = load.outcome()
    assert begins == [True, False]
    assert result.seconds >= 0.1
    assert 0 < result.received < load.traffic.received
    assert result.per_second == result.received / result.seconds
    assert kinds(load) == {}


async def test_a_count_after_a_warm_up_is_exact() -> None:
    async with serving(echo) as uri:
        load = await put(plan(uri, warm_up=0.05))
    assert (load.outcome().received, load.outcome().latency.total) == (100, 100)


async def test_connections_are_held_without_messages() -> None:
    async with serving(mute) as uri:
        load = await put(plan(uri, in_flight=0, count=None, duration=0.05, warm_up=0.05))
    assert kinds(load) == {}
    assert (load.outcome().sent, load.outcome().lasted) == (0, 2)


@pytest.mark.parametrize("rate", [None, 1000.0])
async def test_stopped_while_it_measures(rate: float | None) -> None:
    async with serving(echo) as uri:
        load = Load(plan(uri, count=None, duration=1000.0, rate=rate))
        await load.open()
        running = asyncio.create_task(load.run())
        while load.traffic.received < 10:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
        load.stop()
        async with asyncio.timeout(PATIENCE):
            await running
            await load.close()
    assert load.outcome().received >= 10
    assert kinds(load) == {}


# A dial that is cancelled at the wrong moment forgets its socket (asyncio.staggered); it is
# collected within this test.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_stopped_while_it_opens() -> None:
    accepted = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await reader.read()

    async with listening(talk) as uri:
        load = Load(plan(uri, connections=1000))
        opening = asyncio.create_task(load.open())
        async with asyncio.timeout(PATIENCE):
            await accepted.wait()
            load.stop()
            await opening
            await load.run()
            await load.close()
    assert load.outcome().opened == 0
    assert kinds(load) == {}


async def test_stopped_while_answers_are_missing() -> None:
    async with serving(mute) as uri:
        load = Load(plan(uri, count=None, duration=0.01, answer_timeout=1000.0))
        await load.open()
        running = asyncio.create_task(load.run())
        while load.progress().phase != "last answers":  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
        load.stop()
        async with asyncio.timeout(PATIENCE):
            await running
            await load.close()
    assert kinds(load) == {"unanswered": 8}


@pytest.mark.parametrize("enabled", [True, False])
async def test_garbage_collection_is_afterwards_as_it_was(enabled: bool) -> None:
    meanwhile: list[bool] = []
    before = gc.isenabled()
    async with serving(echo) as uri:
        load = Load(plan(uri))
        load.on_measuring = lambda _: meanwhile.append(gc.isenabled())
        await load.open()
        try:
            (gc.enable if enabled else gc.disable)()
            await load.run()
            afterwards = gc.isenabled()
        finally:
            (gc.enable if before else gc.disable)()
        await load.close()
    assert meanwhile == [False, False]
    assert afterwards == enabled


async def test_progress() -> None:
    async with serving(echo) as uri:
        load = Load(plan(uri))
        assert load.progress().phase == "opening"
        await load.open()
        assert (load.progress().phase, load.progress().opened) == ("open", 2)
        await load.run()
        assert (load.progress().phase, load.progress().received) == ("last answers", 100)
        await load.close()
        assert load.progress().phase == "closing"


async def test_a_count_at_a_slow_rate_is_sent_to_its_end() -> None:
    async with serving(echo) as uri:
        load = await put(plan(uri, connections=1, in_flight=1, count=3, rate=4, answer_timeout=0.1))
    assert kinds(load) == {}
    assert load.outcome().latency.total == 3
