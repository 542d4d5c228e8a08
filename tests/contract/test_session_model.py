"""However the bytes are cut and whatever comes between, the messages are the same.

The session alone, both roles, against a model of a dozen lines.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duplexer.core.events import Piece, PingReceived, PongReceived
from duplexer.core.session import Session
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import Close
from duplexer.limits import Limits
from tests.contract.peers import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_body, encode, xor

LIMITS = Limits(ping_interval=None, max_message=None, control_rate=None, frames_per_turn=3)

messages = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
        st.binary(max_size=40),
        st.builds(lambda n: "é🎉a" * n, st.integers(0, 100)),
        st.builds(lambda n: b"\xff\x00" * n, st.sampled_from([62, 63, 64, 100, 32767, 32768])),
    ),
    max_size=5,
)
controls = st.lists(st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)), max_size=2)


@st.composite
def conversations(draw):
    """Frames on the wire, and what they mean: messages, control frames, the Close."""
    said = draw(messages)
    frames: list[tuple[int, bytes, bool]] = []
    events: list[tuple[int, bytes]] = []

    def interrupt():
        for opcode, payload in draw(controls):
            frames.append((opcode, payload, True))
            events.append((opcode, payload))

    for message in said:
        data = message.encode() if isinstance(message, str) else message
        n = draw(st.integers(0, min(4, len(data) + 1)))
        cuts = sorted(draw(st.lists(st.integers(0, len(data)), min_size=n, max_size=n)))
        edges = [0, *cuts, len(data)]
        opcode = TEXT if isinstance(message, str) else BINARY
        for i in range(len(edges) - 1):
            interrupt()
            last = i == len(edges) - 2
            frames.append((CONT if i else opcode, data[edges[i] : edges[i + 1]], last))
    interrupt()
    close = draw(st.none() | st.tuples(st.sampled_from([1000, 1001, 4321]), st.text(max_size=30)))
    return said, frames, events, close


def wire_of(frames, masked):
    out = b""
    for opcode, payload, fin in frames:
        out += encode(opcode, payload, fin=fin, mask=os.urandom(4) if masked else None)
    return out


def feed(session, chunks, on_turn=lambda: None):
    for chunk in chunks:
        at = 0
        while at < len(chunk):
            stop = session.receive(chunk, at, len(chunk))
            assert at < stop <= len(chunk) or session.error
            at = stop
            on_turn()


def drain(session, into):
    while session.inbox.count:
        into.append(session.inbox.pop())


def cut(data, sizes):
    at = 0
    while at < len(data):
        for size in sizes:
            yield data[at : at + size]
            at += size
            if at >= len(data):
                return


common = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
sizes = st.lists(st.sampled_from([1, 2, 3, 5, 13, 64, 1000, 100_000]), min_size=1, max_size=6)


def sent_frames(session, server):
    """What the session wrote, decoded with nothing of ours."""
    data = session.cork.take()
    data = data if isinstance(data, bytes) else b"".join(data)
    found = []
    i = 0
    while i < len(data):
        b0, b1 = data[i], data[i + 1]
        i += 2
        n = b1 & 0x7F
        if n == 126:
            n = int.from_bytes(data[i : i + 2], "big")
            i += 2
        elif n == 127:
            n = int.from_bytes(data[i : i + 8], "big")
            i += 8
        mask = None
        assert bool(b1 & 0x80) is not server
        if b1 & 0x80:
            mask = data[i : i + 4]
            i += 4
        payload = data[i : i + n]
        i += n
        found.append((b0 & 15, xor(payload, mask) if mask else payload, bool(b0 & 0x80)))
    return found


@pytest.mark.parametrize("server", [True, False], ids=["server", "client"])
@common
@given(conversation=conversations(), sizes=sizes)
def test_any_cut_gives_the_same(server, conversation, sizes):
    said, frames, controls, close = conversation
    if close is not None:
        code, reason = close
        reason = reason.encode(errors="ignore")[:100].decode(errors="ignore")
        frames = [*frames, (CLOSE, close_body(code, reason), True)]
    session = Session(RFC6455, server=server, limits=LIMITS)
    got: list = []
    feed(session, cut(wire_of(frames, masked=server), sizes), lambda: drain(session, got))
    assert session.error is None
    assert [(type(m), m) for m in got] == [(type(m), m) for m in said]
    seen = []
    for event in session.events or ():
        if isinstance(event, PingReceived):
            seen.append((PING, event.data))
        elif isinstance(event, PongReceived):
            seen.append((PONG, event.data))
    assert seen == controls
    answers = sent_frames(session, server)
    expected = [(PONG, data, True) for opcode, data in controls if opcode == PING]
    if close is not None:
        expected.append((CLOSE, close_body(code, reason), True))
        assert session.close_rcvd == Close(code, reason)
        assert not session.reads
    assert answers == expected


@pytest.mark.parametrize("server", [True, False], ids=["server", "client"])
@common
@given(conversation=conversations(), sizes=sizes)
def test_streaming_gives_the_same_in_pieces(server, conversation, sizes):
    said, frames, _, _ = conversation
    session = Session(RFC6455, server=server, limits=LIMITS)
    got: list = []
    parts: list = []

    def turn():
        while session.inbox.count:
            item = session.inbox.pop()
            last = True
            if isinstance(item, Piece):
                last, item = item.fin, item.data
            parts.append(item)
            if last:
                got.append(type(item)().join(parts))
                parts.clear()
        session.assembler.streaming = True
        session.assembler.flush_piece()

    turn()
    feed(session, cut(wire_of(frames, masked=server), sizes), turn)
    turn()
    assert session.error is None
    assert not parts
    assert [(type(m), m) for m in got] == [(type(m), m) for m in said]


@pytest.mark.parametrize("server", [True, False], ids=["server", "client"])
@common
@given(said=messages, sizes=sizes)
def test_what_one_session_sends_another_receives(server, said, sizes):
    sender = Session(RFC6455, server=server, limits=LIMITS)
    receiver = Session(RFC6455, server=not server, limits=LIMITS)
    for i, message in enumerate(said):
        if i % 3 == 2:
            data = message.encode() if isinstance(message, str) else message
            text = isinstance(message, str)
            for at in range(0, len(data), 11):
                sender.send_part(data[at : at + 11], text, False)
                sender.send_ping(sender.new_ping_payload(), None, 0.0)
            sender.send_part(b"", text, True)
        else:
            sender.send_message(message, None, None)
    data = sender.cork.take()
    got: list = []
    whole = data if isinstance(data, bytes) else b"".join(data)
    feed(receiver, cut(whole, sizes), lambda: drain(receiver, got))
    assert receiver.error is None
    assert got == said


@pytest.mark.parametrize("server", [True, False], ids=["server", "client"])
@common
@given(conversation=conversations(), junk=st.binary(min_size=1, max_size=30), sizes=sizes)
def test_bytes_that_are_none_fail_the_same_way_however_cut(server, conversation, junk, sizes):
    _, frames, _, _ = conversation
    wire = wire_of(frames, masked=False)[:400]
    wire = wire[: len(wire) // 2] + junk + wire[len(wire) // 2 :]
    outcomes = []
    for chunks in ([wire], list(cut(wire, sizes)), list(cut(wire, [1]))):
        session = Session(RFC6455, server=server, limits=LIMITS.replace(max_message=10_000))
        got: list = []
        feed(session, chunks, lambda session=session, got=got: drain(session, got))
        session.conclude()
        error = session.error
        outcomes.append((getattr(error, "name", None), session.close_sent, got))
    assert outcomes[0] == outcomes[1] == outcomes[2]
