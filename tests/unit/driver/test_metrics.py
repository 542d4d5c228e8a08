"""What connections without I/O have counted, as the official parser of Prometheus reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from duplexer.driver.metrics import Metrics, metrics_among
from duplexer.driver.observing import Observer, observer_from
from duplexer.driver.sendqueue import SendQueue, put_off
from duplexer.http.headers import Headers
from duplexer.http.messages import Request
from duplexer.limits import Limits
from duplexer.policy.guard import Guard
from tests.contract.peers import TEXT, encode
from tests.unit.driver.test_conduct import QUIET, Plain, settle, taken


def numbers(metrics):
    """Each sample by its name and the values of its labels."""
    return numbers_on(metrics.render())


def numbers_on(page):
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


class Watched(Plain):
    def __init__(self, metrics, limits=QUIET):
        super().__init__(limits, server=True)
        self.observer = metrics
        metrics.opened(self)

    def queue_made(self):
        pass


def test_traffic_is_summed_of_those_that_are_open_and_those_that_were():
    metrics = Metrics()
    one, two = Watched(metrics), Watched(metrics)
    client = Plain()
    one.put("hello", None, None)
    data = encode(TEXT, b"four", mask=b"abcd")
    two.take_in(data, 0, len(data), 0.0)
    client.put("hi", None, None)
    settle(client, one)
    two.take_end()
    got = numbers(metrics)
    assert got["duplexer_connections",] == 1
    assert got["duplexer_connections_total",] == 2
    assert got["duplexer_handshakes_total", "101"] == 2
    assert got["duplexer_messages_total", "received"] == 2
    assert got["duplexer_messages_total", "sent"] == 1
    assert got["duplexer_bytes_total", "received"] == len(data) + 8
    assert got["duplexer_bytes_total", "sent"] == 7
    assert got["duplexer_connection_seconds_count",] == 1
    assert one.traffic == (1, 1, 8, 7)
    one.take_end()
    assert numbers(metrics)["duplexer_bytes_total", "sent"] == 7
    assert numbers(metrics)["duplexer_connections",] == 0
    metrics.ended(one)  # once is enough
    assert numbers(metrics)["duplexer_messages_total", "received"] == 2


def test_who_closed_and_with_what():
    metrics = Metrics()

    def closed(act):
        ws, client = Watched(metrics), Plain()
        act(ws, client)
        settle(ws, client)
        ws.take_end()

    closed(lambda ws, client: client.put_close(1000, "", 0.0))
    closed(lambda ws, client: client.put_close(4321, "", 0.0))
    closed(lambda ws, client: ws.put_close(4321, "", 0.0))
    closed(lambda ws, client: None)
    closed(lambda ws, client: ws.session.fail(BufferError(), 1013, "slow consumer"))
    got = numbers(metrics)
    closes = {key[1:]: n for key, n in got.items() if key[0] == "duplexer_closes_total"}
    assert closes == {
        ("peer", "1000"): 1,
        ("peer", "4xxx"): 1,
        ("us", "4321"): 1,
        ("nobody", "1006"): 1,
        ("us", "1013"): 1,
    }


def test_queues_and_what_became_of_their_messages():
    metrics = Metrics()
    ws = Watched(metrics)
    ws.session.congested = True
    ws.send_queue = SendQueue(on_full="drop_oldest", max_messages=2)
    for message in "abc":
        put_off(ws, message, None, None)
    got = numbers(metrics)
    assert got["duplexer_connections_congested",] == 1
    assert got["duplexer_send_queue_messages",] == got["duplexer_send_queue_bytes",] == 2
    assert got["duplexer_unsent_messages_total", "dropped"] == 1
    ws.take_end()
    got = numbers(metrics)
    assert got["duplexer_unsent_messages_total", "dropped"] == 1
    assert got["duplexer_unsent_messages_total", "lost"] == 2
    assert got["duplexer_send_queue_messages",] == 0


def test_times():
    metrics = Metrics()
    ws = Watched(metrics)
    for _ in range(5):
        ws.put("at once", None, None)
    taken(ws)
    metrics.sent_late(ws, 0.3)
    metrics.pong(ws, 0.02)
    metrics.lagged(0.004)
    with metrics.handling(ws, "message"):
        pass
    got = numbers(metrics)
    assert got["duplexer_send_delay_seconds_bucket", "0.001"] == 4
    assert got["duplexer_send_delay_seconds_bucket", "0.25"] == 4
    assert got["duplexer_send_delay_seconds_bucket", "0.5"] == 5
    assert got["duplexer_ping_seconds_sum",] == 0.02
    assert got["duplexer_loop_lag_seconds_bucket", "0.005"] == 1
    assert got["duplexer_message_seconds_count",] == 1
    with pytest.raises(ZeroDivisionError), metrics.handling(ws, "message"):
        raise ZeroDivisionError
    assert numbers(metrics)["duplexer_message_seconds_count",] == 2


def test_a_pong_of_the_peers_is_a_round_trip():
    metrics = Metrics()
    ws, client = Watched(metrics), Plain()
    ws.put_ping(b"x", None, 1.0)
    settle(ws, client, 1.5)
    assert numbers(metrics)["duplexer_ping_seconds_sum",] == 0.5


def test_refusals_requests_and_limits_that_struck():
    metrics = Metrics()
    guard = Guard(Limits())
    metrics.serves(guard)
    metrics.serves(Guard(Limits()))
    guard.strike("max_message")
    guard.strike("max_message")
    metrics.refused(None, None, 403)
    metrics.answered(None, Request("/", Headers()), 200)
    got = numbers(metrics)
    assert got["duplexer_limits_struck_total", "max_message"] == 2
    assert got["duplexer_handshakes_total", "403"] == 1
    assert got["duplexer_http_requests_total", "200"] == 1


def test_the_route():
    metrics = Metrics({"worker": "7"})
    response = metrics(Request("/metrics", Headers()))
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b'duplexer_connections{worker="7"} 0\n' in response.body
    for wrong in ("a-b", "__name", "", "1a"):
        with pytest.raises(ValueError, match="name of a label"):
            Metrics({wrong: "x"})


async def test_a_worker_answers_for_all_of_them():
    mine, other = Metrics({"site": "a", "worker": "x"}), Metrics({"site": "a"})
    asked = []

    async def others():
        asked.append(mine)
        return [other.render()], 2

    mine.join(0, others)
    other.join(7, others)
    opened = Watched(mine), Watched(other), Watched(other)
    assert [ws.session.is_open for ws in opened] == [True] * 3
    mine(Request("/metrics", Headers()))  # and nobody waits for it: nobody is asked
    assert asked == []
    response = await mine(Request("/metrics", Headers()))
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    got = numbers_on(response.body.decode())
    assert got["duplexer_connections", "a", "0"] == 1
    assert got["duplexer_connections", "a", "7"] == 2
    assert got["duplexer_workers", "a", "yes"] == got["duplexer_workers", "a", "no"] == 2
    assert ("duplexer_connections", "a", "7") not in numbers(mine)
    assert got["duplexer_start_time_seconds", "a", "0"] > 1.5e9


def test_those_that_a_server_was_given():
    one, two = Metrics(), Metrics()
    assert list(metrics_among(None)) == list(metrics_among(Observer())) == []
    assert list(metrics_among(one)) == [one]
    assert list(metrics_among(observer_from([one, Observer(), two]))) == [one, two]


async def test_the_how_to_names_each_family():
    async def nobody():
        return [], 0

    metrics = Metrics()
    metrics.join(0, nobody)
    page = (await metrics(Request("/metrics", Headers()))).body.decode()
    families = set(re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE))
    told = (Path(__file__).parents[3] / "docs" / "howto" / "metrics.md").read_text()
    rows = "".join(line for line in told.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"duplexer_\w+", rows)) == families
