"""Rows 1 to 11: slow, large, malformed and ambiguous requests, smuggling, pipelining."""

from __future__ import annotations

import ast
import contextlib
import socket
import sys
from pathlib import Path

import pytest

import duplexer
from duplexer import Limits
from duplexer.errors import HttpError, InvalidHandshake
from duplexer.extensions.deflate import ServerPerMessageDeflateFactory
from duplexer.handshake.negotiate import accept_extensions, read_subprotocols
from duplexer.http.h1 import RequestReader
from tests.contract.peers import TEXT, Raw
from tests.security.attackers import (
    PATIENCE,
    dial,
    echo,
    echoes,
    exchange,
    pieces_of,
    read_to_end,
    request,
    status,
    struck,
)

pytestmark = pytest.mark.both_builds


# -- 1: Slowloris ----------------------------------------------------------------------------------


async def test_silent_and_dripping_peers_have_one_deadline(front):
    limits = Limits(open_timeout=2.0)
    async with front.serve(echo, limits=limits) as server:
        peers = [await front.thread(dial, server) for _ in range(20)]
        try:
            await front.until(lambda: len(server.opening) == 20)

            def drip() -> list[bytes]:
                # A byte now and then puts nothing off.
                text = request()
                for byte in text:
                    for peer in peers[::2]:
                        with contextlib.suppress(OSError):
                            peer.send(bytes([byte]))
                    if not server.opening:
                        break
                    if threading_wait(peers[1]):
                        break
                return [read_to_end(peer) for peer in peers]

            answers = front.spawn(front.thread(drip))
            assert await front.thread(echoes, server)
            answers = await answers
        finally:
            for peer in peers:
                peer.close()
        # Some may have had no time for a first byte.
        assert {status(answer) for answer in answers[::2] if answer} <= {408}
        assert set(answers[1::2]) == {b""}
        await front.until(lambda: not server.opening)
        await struck(front, server, {"open_timeout": 20})


def threading_wait(sock: socket.socket) -> bool:
    """Wait a little, or until the other side has closed ``sock``."""
    sock.settimeout(0.05)
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False
    finally:
        sock.settimeout(PATIENCE)


# -- 2 and 3: large and many headers ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected", "bound"),
    [
        (b"GET /" + b"a" * 9000, 414, "max_request_line"),
        (request("X: " + "a" * 9000 + "\r\n"), 431, "max_header_line"),
        (request("".join(f"X{i}: {'a' * 4000}\r\n" for i in range(5))), 431, "max_header_bytes"),
        (request("".join(f"X{i}: a\r\n" for i in range(200))), 431, "max_headers"),
    ],
    ids=["line", "header", "headers", "many"],
)
async def test_what_is_too_large_is_so_however_it_is_cut(front, data, expected, bound):
    async with front.serve(echo) as server:
        for size in (len(data), 4096, 7):
            answer = await front.thread(exchange, server, *pieces_of(data, size))
            assert status(answer) == expected
            assert b"\r\nConnection: close\r\n" in answer
        assert server.struck == {bound: 3}
        assert await front.thread(echoes, server)


async def test_many_headers_before_and_after_the_upgrade(front):
    many = "".join(f"x{i}: y\r\n" for i in range(5000))
    before = request(line="GET / HTTP/1.1\r\n" + many.removesuffix("\r\n"))
    async with front.serve(echo) as server:
        for data in (before, request(many)):
            assert status(await front.thread(exchange, server, data)) == 431
        assert await front.thread(echoes, server)


# -- 4: parsing takes time in proportion -----------------------------------------------------------


def lines_run(function, *args) -> int:
    """How many lines of Python ``function`` runs; of compiled code, none."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(HttpError, InvalidHandshake):
            function(*args)
    finally:
        sys.settrace(before)
    return count


UNBOUNDED = Limits(max_header_line=1 << 20, max_header_bytes=1 << 22, max_headers=1 << 16)
COSTLY = {
    "an unclosed string": lambda n: (extensions, 'a; b="' + "\\c" * n),
    "spaces between subprotocols": lambda n: (read_subprotocols, "b" + " " * n + "x"),
    "empty elements": lambda n: (read_subprotocols, "," * n),
    "many extensions": lambda n: (extensions, "a; b=1, " * n),
    "equal names": lambda n: (whole_request, request("x: y\r\n" * n)),
    "a long header": lambda n: (whole_request, request("x: " + "y" * n + "\r\n")),
}


def extensions(header):
    accept_extensions(header, (ServerPerMessageDeflateFactory(),))


def whole_request(data):
    RequestReader(UNBOUNDED).feed(data)


@pytest.mark.parametrize("name", COSTLY)
def test_parsing_takes_time_in_proportion(name):
    short, long = (lines_run(*COSTLY[name](n)) for n in (3000, 6000))
    assert long < 2.5 * short + 1000


def test_no_regular_expression_sees_what_a_peer_sent():
    """The only patterns are the user's own, of origins (and ``fullmatch`` is theirs to bound)."""
    root = Path(duplexer.__file__).parent
    users = set()
    folders = ("http", "handshake", "core", "policy")
    for path in [path for folder in folders for path in root.glob(f"{folder}/*.py")]:
        if path.name in ("patterns.py", "router.py"):  # these match paths by segments
            assert "import re\n" not in path.read_text()
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("match", "fullmatch", "search"):
                users.add(path.name)
    assert users <= {"server.py"}


# -- 5: parameters of extensions -------------------------------------------------------------------

OFFERS = [
    "constructor",
    "__class__",
    "hasOwnProperty; x",
    "permessage-deflate; client_max_window_bits=8",
    "permessage-deflate; server_max_window_bits=8",
    *(
        f"permessage-deflate; {name}={value}"
        for name in ("server_max_window_bits", "client_max_window_bits")
        for value in ("7", "16", "08", '"15"', "-1", "1e1", "٣", "", "999999999999999999999")
    ),
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; unknown=1",
    "permessage-deflate; =",
    "permessage-deflate;;",
    'permessage-deflate; a="',
    "x-webkit-deflate-frame",
    ", ".join(["permessage-deflate"] * 200),
    "@@@",
]


@pytest.mark.one_front
async def test_odd_offers_are_declined_or_refused(front):
    async with front.serve(echo) as server:
        for offer in OFFERS:
            line = f"Sec-WebSocket-Extensions: {offer}\r\n".encode()
            data = request().replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n")

            def ask(data=data):
                with dial(server) as sock:
                    sock.sendall(data)
                    return sock.recv(65536)

            assert (await front.thread(ask)).split(b" ")[1] in (b"101", b"400"), offer
        assert await front.thread(echoes, server)


# -- 6 and 66: malformed upgrades ------------------------------------------------------------------

MALFORMED = {
    "post": (request(line="POST / HTTP/1.1"), 405),
    "http 1.0": (request(line="GET / HTTP/1.0"), 400),
    "http 1.2": (request(line="GET / HTTP/1.2"), 505),
    "http 2.0": (request(line="GET / HTTP/2.0"), 505),
    "http 0.9": (b"GET /\r\n\r\n", 400),
    "no host": (request().replace(b"Host: localhost\r\n", b""), 400),
    "empty host": (request(host=""), 400),
    "h2c": (request().replace(b"Upgrade: websocket", b"Upgrade: h2c"), 426),
    "tls": (request().replace(b"Upgrade: websocket", b"Upgrade: TLS/1.0"), 426),
    "no connection": (request().replace(b"Connection: Upgrade", b"Connection: close"), 426),
    "no key": (request().replace(b"Sec-WebSocket-Key", b"X-Key"), 400),
    "short key": (request(key="AAAA"), 400),
    "long key": (request(key="A" * 32), 400),
    "key that is no base64": (request(key="!" * 22 + "=="), 400),
    "two keys": (request("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), 400),
    "no version": (request().replace(b"Sec-WebSocket-Version", b"X-Version"), 400),
    "old version": (request(version="8"), 426),
    "two versions": (request("Sec-WebSocket-Version: 13\r\n"), 400),
    "a list of versions": (request(version="13, 13"), 400),
    "connect": (request(line="CONNECT localhost:80 HTTP/1.1"), 405),
    "fragment": (request(path="/#x"), 400),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.one_front
async def test_malformed_upgrades(front, name):
    data, expected = MALFORMED[name]
    async with front.serve(echo) as server:
        answer = await front.thread(exchange, server, data)
        assert status(answer) == expected
        if expected == 405:
            assert b"\r\nAllow: GET" in answer
        if expected == 426:
            assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer


# -- 7: lenient bytes ------------------------------------------------------------------------------


@pytest.mark.one_front
@pytest.mark.parametrize("where", ["name", "value", "target", "line end"])
async def test_control_characters_are_refused(front, where):
    async with front.serve(echo) as server:
        for byte in [*range(0x20), 0x7F]:
            evil = chr(byte)
            data = {
                "name": request(f"X{evil}Y: z\r\n"),
                "value": request(f"X: y{evil}z\r\n"),
                "target": request(path=f"/a{evil}b"),
                "line end": request(f"X: y{evil}\nZ: y\r\n"),
            }[where]
            if (where, evil) in (("value", "\t"), ("line end", "\r")):
                continue  # these are allowed
            if where == "value" and evil == "\n":
                data = request("X: y\nz: a\r\n")
            answer = await front.thread(exchange, server, data)
            assert status(answer) == 400, evil.encode()


@pytest.mark.one_front
@pytest.mark.parametrize(
    "line", ["X : y", " X: y", "X: y\r\n folded", "X: y\r\n\tfolded", ": y", "X", "X;: y", "Ä: y"]
)
async def test_lenient_lines_are_refused(front, line):
    async with front.serve(echo) as server:
        assert status(await front.thread(exchange, server, request(line + "\r\n"))) == 400


@pytest.mark.one_front
async def test_bare_line_feeds_are_refused(front):
    async with front.serve(echo) as server:
        data = request().replace(b"\r\n", b"\n")
        assert status(await front.thread(exchange, server, data)) == 400


# -- 8, 9 and 11: smuggling ------------------------------------------------------------------------

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "extra",
    [
        f"Content-Length: {len(SMUGGLED)}\r\n",
        "Transfer-Encoding: chunked\r\n",
        f"Transfer-Encoding: chunked\r\nContent-Length: {len(SMUGGLED)}\r\n",
        "Content-Length: +30\r\n",
        "Content-Length: 3 0\r\n",
        "Content-Length: 0x1e\r\n",
        "Content-Length: 30\r\nContent-Length: 30\r\n",
        "Content-Length: 30, 30\r\n",
        "Content-Length: ²\r\n",
        "Host: elsewhere\r\n",
    ],
)
async def test_a_body_on_the_upgrade_is_refused_and_nothing_after_it_is_read(front, extra):
    asked = []

    async def process_request(ws, request):
        asked.append(request.path)

    async with front.serve(echo, process_request=process_request) as server:
        answer = await front.thread(exchange, server, request(extra) + SMUGGLED)
        assert status(answer) == 400
        assert not asked


REFUSED = {
    "origin": (request("Origin: http://evil.test\r\n"), 403),
    "version": (request(version="99"), 426),
    "key": (request(key="x"), 400),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refused_upgrade_closes(front, name):
    data, expected = REFUSED[name]
    async with front.serve(echo) as server:
        answer = await front.thread(exchange, server, data + SMUGGLED + request())
        assert status(answer) == expected
        assert b"\r\nConnection: close" in answer


async def test_an_upgrade_that_the_application_refuses_closes(front):
    async def process_request(ws, request):
        return ws.respond(404, "no")

    async with front.serve(echo, process_request=process_request) as server:
        answer = await front.thread(exchange, server, request() + SMUGGLED)
        assert status(answer) == 404


# -- 10: pipelining and early bytes ----------------------------------------------------------------


async def test_frames_glued_to_the_request(front):
    async with front.serve(echo) as server:

        def ask():
            with dial(server) as sock:
                peer = Raw(sock, client=True)
                sock.sendall(request() + peer.frame(TEXT, b"x"))
                peer.read_head()
                return peer.recv()

        assert (await front.thread(ask)).payload == b"x"
        evil = request("Origin: http://evil.test\r\n") + bytes.fromhex("818100000000") + b"x"
        assert status(await front.thread(exchange, server, evil)) == 403


async def test_requests_behind_a_busy_one_are_bounded(front):
    """The handler of the first one sleeps: no more than ``max_ahead`` is taken meanwhile."""
    limits = Limits(max_ahead=4096)
    started, go_on = [], []

    async def process_request(ws, request):
        started.append(request.path)
        if len(started) == 1:
            await front.until(lambda: go_on, PATIENCE)

    async with front.serve(echo, process_request=process_request, limits=limits) as server:

        def flood():
            # As much as the kernel takes: the server must not.
            with dial(server) as sock:
                sock.setblocking(False)
                sent = 0
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    while sent < 64 << 20:
                        sent += sock.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
                return sent

        try:
            sent = await front.thread(flood)
        finally:
            go_on.append(True)
        assert sent < 32 << 20
        assert await front.thread(echoes, server)
