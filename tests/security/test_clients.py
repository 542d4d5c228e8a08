"""Rows 35, 56, 57, 60, 61 and 63: servers that lie, flood and redirect; callers' data."""

from __future__ import annotations

import contextlib

import pytest

from duplexer import ConnectionClosedError, InvalidHandshake, InvalidURI, Limits
from duplexer.errors import SecurityError, WebSocketException
from tests.contract.peers import BINARY, CONT, PING, TEXT, accept_key, encode
from tests.security.attackers import PATIENCE, echo

# -- 35: masks -------------------------------------------------------------------------------------


@pytest.mark.one_front
def test_masks_cannot_be_told_in_advance():
    from duplexer.core import bytesops

    keys = [bytesops.random32() for _ in range(20_000)]
    assert len(set(keys)) > 19_990
    for shift in (0, 8, 16, 24):
        counts = [0] * 256
        for key in keys:
            counts[key >> shift & 0xFF] += 1
        chi = sum((n - len(keys) / 256) ** 2 / (len(keys) / 256) for n in counts)
        assert chi < 500  # 255 is to be expected; more than 400 once in ten million


async def test_masks_are_new_for_each_frame(front):
    async with front.raw_pair() as (ws, peer):
        keys = set()

        def read():
            peer._need(2)
            keys.add(peer._need(4))
            peer._need(1)

        for _ in range(20):
            await ws.send("x")
            await front.thread(read)
        assert len(keys) == 20


# -- 60: answers that are none ---------------------------------------------------------------------


def answer_of(listener, answer):
    """Accept one handshake and answer it by what ``answer`` makes of its key."""
    peer = listener.accept(handshake=False)
    try:
        head = peer.request or peer.read_head()
        key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        with contextlib.suppress(OSError):
            for piece in answer(accept_key(key)):
                peer.send_bytes(piece)
            peer.sock.shutdown(1)
            while peer.sock.recv(65536):
                pass
    finally:
        peer.close()


GOOD = (
    b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
)

FAULTY = {
    "200": lambda a: GOOD.replace(b"101", b"200") % a + b"\r\n",
    "100": lambda a: GOOD.replace(b"101", b"100") % a + b"\r\n",
    "http 1.0": lambda a: GOOD.replace(b"HTTP/1.1", b"HTTP/1.0") % a + b"\r\n",
    "no upgrade": lambda a: GOOD.replace(b"Upgrade: websocket\r\n", b"") % a + b"\r\n",
    "another upgrade": lambda a: GOOD.replace(b"websocket", b"h2c") % a + b"\r\n",
    "no connection": lambda a: GOOD.replace(b"Connection: Upgrade\r\n", b"") % a + b"\r\n",
    "no accept": lambda a: GOOD.split(b"Sec-")[0] + b"\r\n",
    "empty accept": lambda a: GOOD % b"" + b"\r\n",
    "wrong accept": lambda a: GOOD % b"dGhlIHNhbXBsZSBub25jZQ==" + b"\r\n",
    "accept in another case": lambda a: GOOD % a.swapcase() + b"\r\n",
    "two accepts": lambda a: GOOD % a + b"Sec-WebSocket-Accept: " + a + b"\r\n\r\n",
    "a subprotocol": lambda a: GOOD % a + b"Sec-WebSocket-Protocol: x\r\n\r\n",
    "an extension": lambda a: GOOD % a + b"Sec-WebSocket-Extensions: x\r\n\r\n",
    "deflate twice": lambda a: (
        GOOD % a + b"Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate\r\n\r\n"
    ),
    "a window too wide": lambda a: (
        GOOD % a
        + b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=16\r\n\r\n"
    ),
    "a window too small": lambda a: (
        GOOD % a + b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7\r\n\r\n"
    ),
    "bare line feeds": lambda a: (GOOD % a + b"\r\n").replace(b"\r\n", b"\n"),
    "a folded line": lambda a: GOOD % a + b" more\r\n\r\n",
    "a control character": lambda a: GOOD % a + b"X: \0\r\n\r\n",
    "headers without an end": lambda a: b"HTTP/1.1 101 x\r\n" + b"X: y\r\n" * 100_000,
    "a line without an end": lambda a: b"HTTP/1.1 101 " + b"x" * 100_000,
    "interim for ever": lambda a: b"HTTP/1.1 103 x\r\n\r\n" * 50_000,
    "a body without an end": lambda a: b"HTTP/1.1 500 x\r\n\r\n" + b"x" * 1_000_000,
    "a chunk without an end": lambda a: (
        b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 100_000
    ),
    "nothing": lambda a: b"",
}


@pytest.mark.parametrize("name", FAULTY)
async def test_an_answer_that_is_none_opens_nothing(front, name):
    async with front.raw_listener() as listener:
        serving = front.spawn(
            front.thread(answer_of, listener, lambda accept: [FAULTY[name](accept)])
        )
        with pytest.raises(InvalidHandshake) as caught:
            await front.connect(listener, open_timeout=PATIENCE)
        response = getattr(caught.value, "response", None)
        assert response is None or len(response.body or b"") <= Limits().max_error_body
        await serving


# -- 61: the rows of frames and floods, in mirror --------------------------------------------------

FLOODS = {
    "masked": (encode(TEXT, b"x", mask=bytes(4)), 1002),
    "too long": (bytes([0x82, 127]) + (2**62).to_bytes(8, "big"), 1009),
    "top bit": (bytes([0x82, 127]) + b"\xff" * 8, 1002),
    "opcode": (bytes([0x83, 127]), 1002),
    "rsv without deflate": (encode(TEXT, b"x", rsv=4, mask=None), 1002),
    "empty fragments": (
        encode(TEXT, b"", fin=False, mask=None) + encode(CONT, b"", fin=False, mask=None) * 2000,
        1008,
    ),
    "pings": (encode(PING, b"", mask=None) * 2000, 1008),
    "no utf-8": (encode(TEXT, b"\xff", mask=None), 1007),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_server_that_attacks(front, name):
    data, code = FLOODS[name]
    async with front.raw_pair() as (ws, peer):
        with contextlib.suppress(OSError):
            await front.thread(peer.send_bytes, data)
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        assert caught.value.sent.code == code


async def test_a_server_that_floods_is_made_to_wait(front):
    async with front.raw_pair() as (ws, peer):

        def flood():
            peer.sock.settimeout(1)
            with contextlib.suppress(OSError):
                for _ in range(20_000):
                    peer.send_bytes(encode(BINARY, b"", mask=None) * 1000)
                return False
            return True

        assert await front.thread(flood)
        assert ws.session.inbox.count <= 16 + 256


# -- 56: redirects ---------------------------------------------------------------------------------


async def test_redirects_are_off_and_never_lead_to_the_clear(front):
    def redirect(to):
        return lambda accept: [b"HTTP/1.1 302 x\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % to]

    async with front.raw_listener() as listener:
        serving = front.spawn(front.thread(answer_of, listener, redirect(b"ws://127.0.0.1:1/")))
        with pytest.raises(InvalidHandshake, match="302"):
            await front.connect(listener)
        await serving


# -- 57 and 63: what the caller gives, and odd addresses -------------------------------------------

EVIL = ["\r", "\n", "\0", "\r\nX: y", "\u010d\u010a"]


@pytest.mark.parametrize("evil", EVIL)
async def test_what_the_caller_gives_cannot_split_the_request(front, evil):
    """Nothing is sent: an error comes before a connection is made."""
    made = []

    async def process_request(ws, request):
        made.append(request)

    async with front.serve(echo, process_request=process_request) as server:
        uri = front.uri(server)
        for kwargs in (
            {"additional_headers": {"X": f"a{evil}b"}},
            {"additional_headers": {f"X{evil}Y": "a"}},
            {"user_agent_header": f"a{evil}b"},
            {"subprotocols": [f"a{evil}b"]},
            {"origin": f"http://a{evil}b"},
        ):
            with pytest.raises((ValueError, TypeError, WebSocketException)):
                await front.connect(uri, **kwargs)
        if evil != "\u010d\u010a":  # in an address it is encoded
            with pytest.raises((ValueError, WebSocketException)):
                await front.connect(f"{uri}a{evil}b")
            with pytest.raises((ValueError, WebSocketException)):
                await front.connect(f"ws://a{evil}b/")
        assert not made


@pytest.mark.parametrize(
    "uri",
    [
        "ws://2130706433/",
        "ws://0x7f000001/",
        "ws://0177.0.0.1/",
        "ws://127.1/",
        "ws://[::1/",
        "ws://a:99999/",
        "ws://a:b/",
        "ws://a@b@c/",
        "http://a/",
        "ws:///",
        "ws://a/#b",
    ],
)
@pytest.mark.one_front
async def test_addresses_that_are_tricks(front, uri):
    with pytest.raises((InvalidURI, OSError, SecurityError)):
        await front.connect(uri, open_timeout=PATIENCE)


@pytest.mark.one_front
async def test_passwords_are_in_no_error(front):
    for uri in ("ws://user:hunter2@127.0.0.1:1/", "ws://user:hunter2@/", "ws://user:hunter2@a:b/"):
        with pytest.raises((InvalidURI, OSError)) as caught:
            await front.connect(uri)
        assert "hunter2" not in str(caught.value)
