"""Bounds by address under uvicorn: what comes in over real sockets, and what is answered."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from duplexer.asgi.uvicorn import WebSocketProtocol, _settings
from duplexer.asyncio.client import connect, unix_connect
from duplexer.driver.metrics import Metrics
from duplexer.errors import ConnectionClosedError, InvalidStatus
from duplexer.limits import Limits
from tests.unit.asgi.conftest import REQUEST, Running, Site, echo, until


def bounded(**bounds: Any) -> type[WebSocketProtocol]:
    class Bounded(WebSocketProtocol):
        LIMITS = Limits(**bounds)

    return Bounded


def struck(site: Site) -> dict[str, int]:
    return _settings[site.state].entrance.guard.struck


def coming_from(address: str) -> bytes:
    return REQUEST.replace(b"Host: a", f"Host: a\r\nX-Forwarded-For: {address}".encode())


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


async def test_connections_of_one_address(running: Running) -> None:
    async with running(echo, bounded(max_per_address=2)) as site:
        async with connect(site.uri, proxy=None), connect(site.uri, proxy=None):
            with pytest.raises(InvalidStatus) as caught:
                await connect(site.uri, proxy=None)
            assert caught.value.response.status_code == 429
            assert struck(site) == {"max_per_address": 1}
        await site.idle()
        async with connect(site.uri, proxy=None) as ws:
            await ws.send("there is room again")
            assert await ws.recv() == "there is room again"


async def test_connections_that_are_opening(running: Running) -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()  # the client leaves before it is let in

    async with running(slow, bounded(max_opening=1)) as site:
        _, first = await site.raw()
        await until(lambda: site.state.tasks)
        answer = await site.ask()
        assert status(answer) == 503 and b"Retry-After: 1\r\n" in answer
        assert struck(site) == {"max_opening": 1}
        first.close()
        await site.idle()
        _, second = await site.raw()
        await until(lambda: site.state.tasks)
        second.close()


async def test_connections_that_are_opening_of_one_address(running: Running) -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()

    async with running(slow, bounded(max_opening_per_address=1)) as site:
        _, first = await site.raw(coming_from("192.0.2.1"))
        await until(lambda: site.state.tasks)
        assert status(await site.ask(coming_from("192.0.2.1"))) == 429
        assert struck(site) == {"max_opening_per_address": 1}
        _, second = await site.raw(coming_from("192.0.2.2"))
        await until(lambda: len(site.state.tasks) == 2)
        first.close()
        second.close()


async def test_handshakes_of_one_address(running: Running) -> None:
    async with running(echo, bounded(handshake_rate=0.001, handshake_burst=2)) as site:
        bad = REQUEST.replace(b"Version: 13", b"Version: 12")
        assert [status(await site.ask(bad)) for _ in range(3)] == [426, 426, 429]
        assert b"Retry-After: 1000\r\n" in await site.ask()
        assert struck(site) == {"handshake_rate": 2}


async def test_who_fails_to_show_who_they_are(running: Running) -> None:
    called = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal called
        called += 1
        await refuse(scope, receive, send)

    async with running(app, bounded(failure_rate=0.001, failure_burst=2)) as site:
        assert [status(await site.ask()) for _ in range(4)] == [403, 403, 429, 429]
        assert called == 2
        assert struck(site) == {"failure_rate": 2}


async def test_who_comes_in_or_leaves_has_not_failed(running: Running) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            await receive()
            await receive()
        elif scope["path"] == "/no":
            await refuse(scope, receive, send)
        else:
            await echo(scope, receive, send)

    async with running(app, bounded(failure_rate=0.001, failure_burst=1)) as site:
        for _ in range(2):
            async with connect(site.uri, proxy=None):
                pass
            await site.idle()
            _, waiting = await site.raw(REQUEST.replace(b"/", b"/wait", 1))
            await until(lambda: site.state.tasks)
            # Nobody gains by coming while others are being looked at.
            assert status(await site.ask(REQUEST.replace(b"/", b"/no", 1))) == 429
            waiting.close()
            await site.idle()
        assert status(await site.ask(REQUEST.replace(b"/", b"/no", 1))) == 403
        assert status(await site.ask()) == 429


async def test_it_is_the_client_that_counts_and_not_the_proxy(running: Running) -> None:
    protocol = bounded(handshake_rate=0.001, handshake_burst=1)
    async with running(refuse, protocol) as site:
        requests = [coming_from(f"192.0.2.{i}") for i in (1, 2, 1, 2, 3)]
        assert [status(await site.ask(each)) for each in requests] == [403, 403, 429, 429, 403]


async def test_who_speaks_for_others_has_to_be_trusted(running: Running) -> None:
    """By what uvicorn was told: nobody, or somebody else."""
    for options in ({"proxy_headers": False}, {"forwarded_allow_ips": "198.51.100.1"}):
        protocol = bounded(handshake_rate=0.001, handshake_burst=1)
        async with running(refuse, protocol, **options) as site:
            answers = [await site.ask(coming_from(f"192.0.2.{i}")) for i in (1, 2)]
            assert list(map(status, answers)) == [403, 429]


async def test_unix_sockets_have_no_address(running: Running, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with running(echo, bounded(max_per_address=1, handshake_rate=0.001), uds=path):
        for _ in range(3):
            async with unix_connect(path, "ws://localhost/"), unix_connect(path, "ws://localhost/"):
                pass


async def test_messages_of_one_address(running: Running) -> None:
    protocol = bounded(address_message_rate=0.001, address_message_burst=3)
    async with (
        running(echo, protocol) as site,
        connect(site.uri, proxy=None) as first,
        connect(site.uri, proxy=None) as second,
    ):
        for ws in (first, second, first):
            await ws.send("x")
            assert await ws.recv() == "x"
        await second.send("one too many")
        with pytest.raises(ConnectionClosedError):
            while True:
                await second.recv()
        assert second.close_code == 1008
        await until(lambda: struck(site) == {"address_message_rate": 1})


async def test_incomplete_messages_together(running: Running) -> None:
    async with (
        running(echo, bounded(max_incomplete=100_000)) as site,
        connect(site.uri, proxy=None, compression=None) as first,
        connect(site.uri, proxy=None, compression=None) as second,
    ):
        ledger = _settings[site.state].entrance.guard.ledger
        assert ledger is not None

        async def endless() -> Any:
            yield bytes(60_000)
            await first.wait_closed()

        sending = first.loop.create_task(first.send(endless()))
        await until(lambda: ledger.held == 60_000)
        await second.send(["x" * 30_000, "x" * 30_000])
        with pytest.raises(ConnectionClosedError):
            await second.recv()
        assert second.close_code == 1013
        await until(lambda: struck(site) == {"max_incomplete": 1})
        first.transport.abort()
        with pytest.raises(ConnectionClosedError):
            await sending
        await until(lambda: ledger.held == 0)


async def test_lines_about_refusals_are_bounded(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bad = REQUEST.replace(b"Version: 13", b"Version: 12")
    protocol = bounded(refusal_log_rate=0.001, refusal_log_burst=3)
    async with running(refuse, protocol) as site:
        for request in (bad, REQUEST) * 4:
            assert status(await site.ask(request)) in (403, 426)
        lines = [message for message in caplog.messages if "WebSocket" in message]
        assert len(lines) == 3
        bucket = _settings[site.state].entrance.guard._lines
        bucket.tokens = 1.0  # as after a while
        await site.ask()
    assert caplog.messages[-1].endswith('"WebSocket /" 403; 5 more were refused before')


async def test_metrics_show_what_has_struck(running: Running) -> None:
    metrics = Metrics()

    class Watched(WebSocketProtocol):
        LIMITS = Limits(handshake_rate=0.001, handshake_burst=1)
        OBSERVER = metrics

    async with running(refuse, Watched) as site:
        assert [status(await site.ask()) for _ in range(2)] == [403, 429]
    assert 'limit="handshake_rate"} 1' in metrics.render()


async def test_by_default_nobody_is_counted(running: Running) -> None:
    async with running(echo) as site, connect(site.uri, proxy=None):
        entrance = _settings[site.state].entrance
        assert not (entrance.guard.asks or entrance.guard.counts or entrance.guard.watches)
        assert site.protocol.client is None
        for _ in range(3):
            assert status(await site.ask(REQUEST.replace(b": 13", b": 12"))) == 426
        assert struck(site) == {}
