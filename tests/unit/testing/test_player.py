"""A player, fed by hand: bytes in, steps out."""

from __future__ import annotations

from typing import Any

import pytest

from duplexer.driver.steps import Read, Write
from duplexer.testing import frames
from duplexer.testing.player import KEY, MASK, Break, End, Pause, Player
from duplexer.testing.script import (
    accept,
    answer,
    close,
    drop,
    expect,
    expect_close,
    expect_end,
    expect_ping,
    expect_pong,
    expect_request,
    expect_status,
    ping,
    pong,
    refuse,
    reset,
    send,
    send_bytes,
    send_frame,
    stall,
    wait,
)

REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class Play:
    """Plays a script over ``reads``; ``said`` is what came of it."""

    def __init__(self, script: Any, *reads: bytes, client: bool = False) -> None:
        self.player = Player(script, "the peer", client=client)
        self.said: list[Any] = []
        opening = ACCEPTED if client else REQUEST
        waiting = [opening, *reads]
        steps = self.player.steps()
        value = None
        try:
            while True:
                step = steps.send(value)
                value = None
                if isinstance(step, Read):
                    if not waiting:
                        break
                    value = waiting.pop(0)
                elif isinstance(step, Write):
                    self.said.append(step.data)
                elif isinstance(step, Pause):
                    self.said.append(step.seconds)
                else:
                    self.said.append(type(step))
        except StopIteration:
            pass
        self.head = self.said.pop(0) if self.said and isinstance(self.said[0], bytes) else b""

    @property
    def complaint(self) -> str:
        assert self.player.mismatch is not None
        return str(self.player.mismatch)


def masked(opcode: int, payload: bytes, **kwargs: Any) -> bytes:
    return frames.encode(opcode, payload, mask=b"abcd", **kwargs)


CLOSE = masked(8, b"\x03\xe8")
CONFIRMED = frames.encode(8, b"\x03\xe8")


def test_messages() -> None:
    play = Play([expect("hello"), send("world"), send(b"!")], masked(1, b"hello"), CLOSE)
    assert play.head.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in play.head
    assert play.said == [b"\x81\x05world", b"\x82\x01!", CONFIRMED, End]
    assert play.player.finished and play.player.mismatch is None
    assert play.player.waiting() is None


def test_in_any_pieces_and_fragments() -> None:
    wire = masked(1, b"hel", fin=False) + masked(9, b"?") + masked(0, b"lo") + CLOSE
    play = Play([expect("hello")], *[wire[i : i + 1] for i in range(len(wire))])
    assert play.said == [frames.encode(10, b"?"), CONFIRMED, End]


@pytest.mark.parametrize(
    ("came", "said"),
    [
        (masked(1, b"hullo"), "text 'hullo' came"),
        (masked(2, b"hello"), "binary b'hello' came"),
        (masked(1, b"x" * 1000), "..."),
        (masked(8, b"\x03\xe9bye"), "a Close, 1001 'bye' came"),
        (masked(8, b""), "a Close, None came"),
        (b"", "the end of the connection came"),
        (frames.encode(1, b"hello"), "masked the wrong way round"),
        (masked(1, b"hello", rsv=4), "reserved bits"),
    ],
)
def test_something_else(came: bytes, said: str) -> None:
    play = Play([send("x"), expect("hello"), send("y")], came)
    assert said in play.complaint
    assert play.complaint.startswith("the peer, at step 3 of 4: ")
    assert "\n    send('x')\n  > expect('hello')\n    send('y')" in play.complaint
    assert not play.player.finished
    if came:  # the peer is told, as far as it can be
        frame = frames.parse(play.said[-2])
        assert frame is not None and frame.payload.startswith(b"\x03\xf0the peer, at step 3")


def test_something_after_the_end_of_the_script() -> None:
    play = Play([send("x")], masked(1, b"more"))
    assert "text 'more' came" in play.complaint and "(the end of the script)" in play.complaint


def test_nothing_comes() -> None:
    play = Play([expect("hello")])
    assert play.player.waiting() == "the peer is here, waiting:\n    accept()\n  > expect('hello')"
    play.player.fail("the test is over")
    assert play.player.waiting() is None
    assert "the test is over" in play.complaint
    play.player.fail("something follows from that")
    assert "the test is over" in play.complaint


def test_pings_and_pongs() -> None:
    play = Play(
        [expect_ping(b"1"), pong(), expect_ping(), pong(b"3"), ping(b"4"), expect_pong(b"4")],
        masked(10, b"nobody asked") + masked(9, b"1") + masked(9, b"2") + masked(10, b"4"),
        CLOSE,
    )
    assert play.said[:3] == [frames.encode(10, b"1"), frames.encode(10, b"3"), b"\x89\x014"]
    assert play.player.finished
    assert "ping b'2' came" in Play([expect_ping(b"1")], masked(9, b"2")).complaint


def test_closing() -> None:
    assert Play([close(4000, "bye")], masked(1, b"late") + CLOSE).said == [
        b"\x88\x05\x0f\xa0bye",
        End,
    ]
    assert Play([close(None)], b"").said == [b"\x88\x00", End]
    play = Play([expect_close(1000), send_bytes(b"x")], CLOSE)
    assert play.said == [CONFIRMED, b"x", End]
    assert "Close, 1000 came" in Play([expect_close(1001)], CLOSE).complaint
    assert Play([expect_close(None)], masked(8, b"")).said == [b"\x88\x00", End]
    assert Play([expect_end()], b"").player.finished


@pytest.mark.parametrize(
    ("step", "said"), [(drop(), End), (reset(), Break), (stall(), None), (refuse(503), End)]
)
def test_what_ends_a_script(step: Any, said: Any) -> None:
    play = Play([step])
    assert play.said == [said] and play.player.finished
    assert play.player.is_stalled is (said is None)


def test_bytes_and_frames_as_they_stand() -> None:
    play = Play(
        [send_bytes(b"\xff"), send_frame(3, b"x", rsv=7, fin=False, masked=True), wait(2.5)]
    )
    assert play.said == [b"\xff", frames.encode(3, b"x", rsv=7, fin=False, mask=MASK), 2.5]


def test_the_opening_handshake() -> None:
    play = Play([accept("chat", {"X-A": "1"})])
    assert b"\r\nSec-WebSocket-Protocol: chat\r\nX-A: 1\r\n\r\n" in play.head
    play = Play([refuse(401, {"X-A": "1"}, "no")])
    assert play.head == (
        b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nno"
    )
    assert Play([answer(b"SSH-2.0\r\n")]).head == b"SSH-2.0\r\n"


def test_the_request() -> None:
    play = Play([expect_request("/chat", {"host": "a"}), close()], CLOSE)
    assert play.head.startswith(b"HTTP/1.1 101 ") and play.player.finished
    play = Play([expect_request("/other")])
    assert "the request was for /chat" in play.complaint
    assert play.head.startswith(b"HTTP/1.1 500 ")
    assert "X-A: None" in Play([expect_request(headers={"X-A": "1"})]).complaint


def test_a_client() -> None:
    play = Play(
        [send("hello"), expect("world"), close()], b"\x81\x05world", CONFIRMED, b"", client=True
    )
    assert KEY.encode() in play.head and play.head.startswith(b"GET / HTTP/1.1\r\n")
    assert play.said == [
        frames.encode(1, b"hello", mask=MASK),
        frames.encode(8, b"\x03\xe8", mask=MASK),
        End,
    ]
    assert play.player.finished
    assert "101 Switching" in Play([expect_status(403)], client=True).complaint


def test_a_handshake_that_is_cut_off() -> None:
    player = Player([], "the peer")
    steps = player.steps()
    assert isinstance(next(steps), Read)
    with pytest.raises(StopIteration):
        steps.send(b"")
    assert "ended within the opening handshake" in str(player.mismatch)


def test_a_request_for_something_else() -> None:
    player = Player([], "the peer")
    steps = player.steps()
    next(steps)
    assert isinstance(steps.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Write)
    assert "no request for a WebSocket" in str(player.mismatch)


def test_what_is_no_script() -> None:
    with pytest.raises(TypeError, match="a list of steps"):
        Player(["hello"], "the peer")  # type: ignore[list-item]
