"""A server seen from outside: its numbers, and what its observers are told."""

from __future__ import annotations

import os
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from duplexer import Metrics, Observer, SendQueue
from duplexer.driver import observing


def scrape(url, context):
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    with opener.open(url, timeout=20) as response:
        return response.headers, response.read().decode()


async def numbers(front, server):
    url = front.uri(server, "/metrics").replace("ws", "http", 1)
    headers, text = await front.thread(scrape, url, front.client_context)
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_numbers_of_a_server(front):
    metrics = Metrics()

    async def handler(ws):
        async for message in ws:
            await ws.send(message)

    options = {"observer": metrics, "http": {"/metrics": metrics}, "send_queue": SendQueue()}
    async with front.serve(handler, **options) as server:
        async with front.connect(server) as ws:
            for message in ("hello", "x" * 10_000, b"data"):
                await ws.send(message)
                assert await ws.recv() == message
            got = await numbers(front, server)
            assert got["duplexer_connections",] == 1
            assert got["duplexer_messages_total", "received"] == 3
            assert got["duplexer_messages_total", "sent"] == 3
            plain = got["duplexer_deflate_bytes_total", "received", "plain"]
            assert plain == 10_000
            assert 0 < got["duplexer_compression_ratio", "sent"] < 0.1
            compressed = got["duplexer_deflate_bytes_total", "received", "compressed"]
            header = 6 if compressed < 126 else 8
            assert got["duplexer_bytes_total", "received"] == 11 + 10 + header + compressed
            assert got["duplexer_send_delay_seconds_count",] == 3
        await front.until(lambda: not server.connections)
        got = await numbers(front, server)
        assert got["duplexer_connections",] == 0
        assert got["duplexer_connections_total",] == 1
        assert got["duplexer_closes_total", "peer", "1000"] == 1
        assert got["duplexer_messages_total", "received"] == 3
        assert got["duplexer_http_requests_total", "200"] >= 1


class Diary(Observer):
    def __init__(self):
        self.entries = []

    def opened(self, connection):
        self.entries.append(("opened", connection.request.path))

    def refused(self, connection, request, status):
        self.entries.append(("refused", request.path, status))

    def ended(self, connection):
        self.entries.append(("ended", connection.close_code))

    def lagged(self, seconds):
        assert seconds >= 0
        if ("lagged",) not in self.entries:
            self.entries.append(("lagged",))


@pytest.mark.plain_only
async def test_observers_are_told(front):
    diary, more = Diary(), Diary()

    async def handler(ws):
        await ws.wait_closed()

    async with front.serve(handler, observer=[diary, more], origins=None) as server:
        async with front.connect(front.uri(server, "/here"), origin="http://anywhere"):
            await front.until(lambda: diary.entries)
        await front.until(lambda: len(diary.entries) >= 2)
    told = [entry for entry in diary.entries if entry != ("lagged",)]
    assert told == [("opened", "/here"), ("ended", 1000)]
    assert [entry for entry in more.entries if entry != ("lagged",)] == told


@pytest.mark.plain_only
async def test_refusals_are_told(front):
    diary = Diary()

    async def handler(ws):
        await ws.wait_closed()

    async with front.serve(handler, observer=diary) as server:
        with pytest.raises(Exception, match="403"):
            async with front.connect(server, origin="http://elsewhere"):
                pass
        await front.until(lambda: ("refused", "/", 403) in diary.entries)


@pytest.mark.plain_only
async def test_an_observer_that_is_none(front):
    with pytest.raises(TypeError, match="not the class Metrics"):
        async with front.serve(wait, observer=Metrics):
            pass


async def wait(ws):
    await ws.wait_closed()


@pytest.mark.plain_only
async def test_the_event_loop_is_looked_at(front):
    if type(front).__name__ == "SyncFront":
        assert observing.LAG_INTERVAL > 0  # there is no loop
        return
    diary = Diary()
    async with front.serve(wait, observer=diary):
        await front.until(lambda: ("lagged",) in diary.entries, 30)


async def test_an_observer_that_fails_harms_no_connection(front, unlogged):
    class Broken(Observer):
        def opened(self, connection):
            raise OSError(28, "No space left on device")

        ended = answered = refused = pong = opened

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async with front.serve(echo, observer=Broken()) as server:
        for _ in range(3):
            async with front.connect(server) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"
        await front.until(lambda: not server.connections and not server.opening)
    told = [record.getMessage() for record in unlogged]
    assert sorted(told) == [
        "Broken.ended() failed, which is not reported again",
        "Broken.opened() failed, which is not reported again",
    ]
    unlogged.clear()


class Late(Observer):
    def __init__(self):
        self.times = []

    def sent_late(self, connection, seconds):
        self.times.append(seconds)


@pytest.mark.plain_only
async def test_who_sends_to_a_peer_that_does_not_read_is_told_of(front):
    late, metrics = Late(), Metrics()
    message = os.urandom(500_000)

    async def handler(ws):
        for _ in range(30):
            await ws.send(message)

    async with front.serve(handler, observer=[late, metrics]) as server:
        async with front.connect(server) as ws:
            await front.until(lambda: "duplexer_connections_congested 1\n" in metrics.render())
            for _ in range(30):
                assert await ws.recv() == message
        await front.until(lambda: not server.connections)
        assert late.times and min(late.times) > 0
        assert f"duplexer_send_delay_seconds_sum {sum(late.times)!r}\n" in metrics.render()
