"""Two conducts back to back: what one gives to be written the other takes in."""

from __future__ import annotations

import logging

import pytest

from duplexer.core.prepared import Prepared
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.driver.conduct import Conduct, Fate, ReadClock, converted
from duplexer.driver.steps import Read
from duplexer.errors import (
    ConcurrencyError,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
)
from duplexer.handshake.negotiate import Agreement
from duplexer.http.headers import Headers
from duplexer.http.messages import Response
from duplexer.limits import Limits
from tests.contract.peers import BINARY, PING, TEXT, encode

QUIET = Limits(ping_interval=None)
LOGGER = logging.getLogger("test")


class Plain(Conduct):
    def __init__(self, limits=QUIET, *, server=False, rest=b""):
        super().__init__(limits, LOGGER, server=server)
        self.pongs = []
        agreement = Agreement(Response(101, "", Headers()), None, (), RFC6455)
        self.establish(agreement, rest, 0.0)

    def pong_came(self, token, latency):
        self.pongs.append((token, latency))

    def ping_failed(self, token, error):
        self.pongs.append((token, error))

    def is_receiving(self):
        return False


def taken(conduct):
    data = conduct.outgoing()
    return data if isinstance(data, bytes) else b"".join(data)


def carry(source, target, now=0.0):
    data = taken(source)
    if data:
        target.take_in(data, 0, len(data), now)
    return bool(data)


def settle(one, other, now=0.0):
    while carry(one, other, now) or carry(other, one, now):
        pass


@pytest.fixture
def pair():
    return Plain(), Plain(server=True)


def test_there_is_no_session_before_the_handshake():
    conduct = Conduct(QUIET, LOGGER, server=False)
    with pytest.raises(InvalidState):
        conduct.open_session()
    assert conduct.outgoing() == b""
    assert conduct.deadline(0.0) is None
    assert not conduct.expire(0.0)
    assert not conduct.wants_bytes()
    assert conduct.fate() is Fate.KEEP
    conduct.take_end()
    assert conduct.lost


def test_messages_go_both_ways(pair):
    client, server = pair
    client.put("héllo", None, None)
    client.put(b"x" * 100_000, None, None)
    client.put(Prepared("prepared"), None, None)
    settle(client, server)
    got = [server.next_message(None, 0.0) for _ in range(4)]
    assert got == ["héllo", b"x" * 100_000, "prepared", None]
    server.put(Prepared(b"back"), None, None)
    settle(client, server)
    assert client.next_message(None, 0.0) == b"back"


def test_what_came_after_the_handshake_is_taken_in():
    server = Plain(server=True, rest=encode(TEXT, b"early", mask=b"abcd"))
    assert server.next_message(None, 0.0) == "early"


def test_an_application_that_is_behind_stops_reading_until_it_has_caught_up():
    server = Plain(Limits(ping_interval=None, queue_messages=4, frames_per_turn=2), server=True)
    data = b"".join(encode(BINARY, bytes([i]), mask=bytes(4)) for i in range(20))
    server.take_in(data, 0, len(data), 0.0)
    assert server.session.inbox.count < 20
    assert not server.wants_bytes()
    assert not server.session.reading
    got = []
    while (message := server.next_message(None, 0.0)) is not None:
        got.append(message)
    assert got == [bytes([i]) for i in range(20)]
    assert server.wants_bytes()
    assert server.session.reading


def test_reading_resumes_when_a_quarter_is_left_and_the_session_knows():
    server = Plain(Limits(ping_interval=None, queue_messages=8), server=True)
    data = b"".join(encode(BINARY, bytes([i]), mask=bytes(4)) for i in range(9))
    server.take_in(data, 0, len(data), 0.0)
    read = []
    while server.next_message(None, 0.0) is not None:
        assert server.wants_bytes() is server.session.reading
        read.append(server.wants_bytes())
    assert read == [False] * 6 + [True] * 3


def test_one_waits_at_a_time(pair):
    client, server = pair
    server.is_receiving = lambda: True
    with pytest.raises(ConcurrencyError):
        server.next_message(None, 0.0)
    client.put("one", None, None)
    settle(client, server)
    assert server.next_message(None, 0.0) == "one"


def test_what_was_read_before_the_end_is_not_lost():
    server = Plain(Limits(ping_interval=None, queue_messages=2, frames_per_turn=1), server=True)
    data = b"".join(encode(BINARY, bytes([i]), mask=bytes(4)) for i in range(9))
    server.take_in(data, 0, len(data), 0.0)
    server.take_end()
    assert [server.next_message(None, 0.0) for _ in range(9)] == [bytes([i]) for i in range(9)]
    with pytest.raises(ConnectionClosedError):
        server.next_message(None, 0.0)


def test_only_the_reader_of_pieces_gets_messages(pair):
    client, server = pair
    server.streaming = reader = object()
    client.put("one", None, None)
    settle(client, server)
    with pytest.raises(ConcurrencyError):
        server.next_message(None, 0.0)
    assert server.next_message(reader, 0.0) == "one"


def test_pings_are_answered_and_measured(pair):
    client, server = pair
    client.put_ping(b"1", "first", 1.0)
    client.put_ping(None, "second", 1.5)
    with pytest.raises(ConcurrencyError):
        client.put_ping(b"1", "again", 2.0)
    carry(client, server, 2.0)
    carry(server, client, 3.0)
    assert client.pongs == [("first", 2.0), ("second", 1.5)]
    assert client.latency == 1.5


def test_pings_fail_with_the_connection(pair):
    client, _ = pair
    client.put_ping(b"1", "token", 1.0)
    client.take_end(ConnectionResetError("cut"))
    ((token, error),) = client.pongs
    assert token == "token"
    assert isinstance(error, ConnectionClosedError)
    assert isinstance(error.__cause__, ConnectionResetError)


def test_a_pong_that_nobody_asked_for(pair):
    client, server = pair
    client.put_pong(b"hi")
    settle(client, server)
    assert server.pongs == []
    client.take_end()
    with pytest.raises(ConnectionClosedError):
        client.put_pong(b"hi")


def test_the_close_handshake_and_who_ends_the_stream(pair):
    client, server = pair
    assert client.put_close(1000, "bye", 0.0)
    assert not client.put_close(1000, "again", 0.0)
    assert client.fate() is Fate.KEEP
    settle(client, server)
    assert server.fate() is Fate.CLOSE
    assert client.fate() is Fate.KEEP  # it waits for the server
    server.take_end()
    client.take_end()
    for side in pair:
        with pytest.raises(ConnectionClosedOK):
            side.next_message(None, 0.0)
        assert not side.wants_bytes()


def test_a_breach_says_why_and_lingers(pair):
    _, server = pair
    data = encode(TEXT, b"unmasked", mask=None)
    server.take_in(data, 0, len(data), 0.0)
    with pytest.raises(ConnectionClosedError):
        server.next_message(None, 0.0)
    assert taken(server)[0] == 0x88
    assert server.fate() is Fate.LINGER


def test_messages_after_our_close_do_not_pile_up():
    server = Plain(Limits(ping_interval=None, queue_messages=2), server=True)
    server.put_close(1000, "", 0.0)
    data = b"".join(encode(BINARY, bytes([i]), mask=bytes(4)) for i in range(50))
    for _ in range(10):
        server.take_in(data, 0, len(data), 0.0)
    assert server.session.inbox.count <= 50
    assert server.wants_bytes()  # for the Close that ends it


def test_the_close_has_a_deadline(pair):
    client, _ = pair
    client.put_close(1000, "", 10.0)
    assert client.deadline(10.0) == 10.0 + QUIET.close_timeout
    assert not client.expire(11.0)
    assert client.expire(10.0 + QUIET.close_timeout)
    client.take_end()
    with pytest.raises(ConnectionClosedError) as caught:
        client.next_message(None, 20.0)
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_keepalive_is_driven_by_the_deadline():
    client = Plain(Limits(ping_interval=20, ping_timeout=20, ping_jitter=0))
    assert client.deadline(0.0) == 20.0
    assert not client.expire(20.0)
    assert taken(client)[0] == 0x80 | PING


def test_the_error_of_a_peer_that_does_not_read_names_the_bound():
    assert "Limits.send_timeout" in str(Plain().stalled())


def test_the_reads_of_a_stage_share_a_deadline():
    clock = ReadClock()
    assert clock.due(Read(10.0, 1), 100.0) == 110.0
    assert clock.due(Read(10.0, 1), 105.0) == 110.0
    assert clock.due(Read(5.0, 2), 106.0) == 111.0
    assert clock.due(Read(None, 3), 107.0) is None


def test_the_first_stage_may_have_its_deadline_already():
    clock = ReadClock(103.0)
    assert clock.due(Read(10.0, 0), 100.0) == 103.0
    assert clock.due(Read(10.0, 1), 101.0) == 111.0


def test_recv_can_be_told_what_to_give():
    assert converted("é", None) == "é"
    assert converted("é", False) == "é".encode()
    assert converted("é".encode(), True) == "é"
    with pytest.raises(UnicodeDecodeError):
        converted(b"\xff", True)


def test_what_waits_is_taken_in_before_what_comes_after_it():
    ours, theirs = Plain(Limits(ping_interval=None, queue_messages=2)), Plain(server=True)
    wire = b"".join(encode(TEXT, b"%d" % i, mask=None) for i in range(700))
    middle = len(wire) - 1  # within a frame
    ours.take_in(wire, 0, middle, 0.0)
    assert not ours.wants_bytes()
    assert ours.put_close(1000, "", 0.0)
    assert ours.wants_bytes()  # to the end of the close
    carry(ours, theirs)
    rest = wire[middle:] + taken(theirs)
    ours.take_in(rest, 0, len(rest), 0.0)
    assert ours.session.error is None
    assert ours.session.close_rcvd.code == 1000
    assert [ours.next_message(None, 0.0) for _ in range(3)] == ["0", "1", "2"]
