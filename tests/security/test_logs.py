"""Rows 14 to 16: secrets, what gets into logs and errors, what gets into our own headers."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

import duplexer
from duplexer import ConnectionClosed, Headers, Limits, Response
from duplexer.errors import Close, ConnectionClosedError
from duplexer.http.messages import make_response
from tests.contract.peers import CLOSE, close_body
from tests.security.attackers import (
    PATIENCE,
    attack,
    dial,
    echo,
    echoes,
    exchange,
    open_raw,
    read_to_end,
    request,
    status,
)

SOURCE = Path(duplexer.__file__).parent


# -- 14: secrets -----------------------------------------------------------------------------------


SECRETS = {"password", "token", "secret", "credentials", "ticket"}


def test_secrets_are_compared_in_constant_time():
    """No ``==`` has a secret on one of its sides."""
    for path in SOURCE.rglob("*.py"):
        if path.parent.name == "testing" or path.name == "headers.py":
            continue  # the tokens of HTTP are no secrets
        text = path.read_text()
        if not any(word in text for word in SECRETS):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Compare):
                continue
            if not any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
                continue
            sides = [node.left, *node.comparators]
            names = {getattr(side, "id", getattr(side, "attr", "")) for side in sides}
            secret = names & SECRETS
            assert not secret, f"{path.name}:{node.lineno}: {ast.unparse(node)}"


async def test_who_guesses_is_told_to_wait(front):
    asked = []

    async def process_request(ws, request):
        asked.append(request)
        return make_response(401, b"", headers=Headers({"WWW-Authenticate": "Bearer"}))

    limits = Limits(failure_rate=0.001, failure_burst=5)
    async with front.serve(echo, process_request=process_request, limits=limits) as server:
        answers = [
            await front.thread(exchange, server, request(f"Authorization: Bearer {i}\r\n"))
            for i in range(20)
        ]
        assert [status(answer) for answer in answers] == [401] * 5 + [429] * 15
        assert b"\r\nRetry-After: 1000\r\n" in answers[-1]
        assert len(asked) == 5
        assert server.struck == {"failure_rate": 15}


async def test_who_guesses_at_the_same_time_has_no_more_tries(front):
    asked, judged = [], []

    async def authenticate(ws, request):
        asked.append(request)
        await front.until(lambda: judged, PATIENCE)

    limits = Limits(failure_rate=0.001, failure_burst=3)
    async with front.serve(echo, authenticate=authenticate, limits=limits) as server:
        socks = [await front.thread(dial, server) for _ in range(3)]
        try:
            for n, sock in enumerate(socks, 1):
                sock.sendall(request())
                await front.until(lambda n=n: len(asked) == n, PATIENCE)
            assert status(await front.thread(exchange, server, request())) == 429
            judged.append("all of them are wrong")
            answers = [await front.thread(read_to_end, sock) for sock in socks]
            assert [status(answer) for answer in answers] == [403] * 3
        finally:
            judged.append("whatever happened")
            for sock in socks:
                sock.close()
        assert status(await front.thread(exchange, server, request())) == 429
        assert len(asked) == 3
        assert server.struck == {"failure_rate": 2}


async def test_who_is_let_in_may_come_as_often_as_they_like(front):
    limits = Limits(failure_rate=0.001, failure_burst=1)

    async def authenticate(ws, request):
        return "ada"

    async with front.serve(echo, authenticate=authenticate, limits=limits) as server:
        for _ in range(3):
            assert await front.thread(echoes, server)
        assert server.struck == {}


# -- 15: logs --------------------------------------------------------------------------------------

ESCAPES = [
    request(path="/\x1b]0;evil\x07"),
    request(path="/%0a%0devil?token=secret", version="99"),
    request("Origin: http://evil.test\x9b31m\r\n"),
    request(line="GE\x08T / HTTP/1.1"),
    request("Sec-WebSocket-Extensions: \x85evil\r\n"),
    b"\x16\x03\x01",
    b"\x1b[2J\r\n\r\n",
]


async def test_a_refusal_is_one_line_of_printable_text(front, caplog):
    async with front.serve(echo) as server:
        with caplog.at_level(logging.DEBUG, "duplexer"):
            for data in ESCAPES:
                assert status(await front.thread(exchange, server, data)) >= 400
        lines = [r for r in caplog.records if r.levelno == logging.INFO]
        assert len(lines) == len(ESCAPES)
        for record in caplog.records:
            assert record.getMessage().isprintable() and record.getMessage().isascii()
            assert record.exc_info is None and record.levelno < logging.WARNING
            assert "secret" not in record.getMessage()
            assert len(record.getMessage()) < 600


async def test_ten_thousand_bad_handshakes_are_a_few_lines(front, caplog):
    """As many as a test can make; what bounds them is the bucket, not the time."""
    limits = Limits(refusal_log_burst=5, refusal_log_rate=1e-6)
    async with front.serve(echo, limits=limits) as server:
        with caplog.at_level(logging.DEBUG, "duplexer"):
            for _ in range(100):
                await front.thread(exchange, server, b"\0\r\n\r\n")
        assert len(caplog.records) == 5


async def test_a_port_scan_leaves_no_traceback(front, caplog):
    async with front.serve(echo) as server:
        with caplog.at_level(logging.DEBUG):

            def scan():
                for data in (b"", b"\0", b"SSH-2.0-x\r\n", bytes.fromhex("160301"), b"GET"):
                    with dial(server) as sock:
                        sock.sendall(data)

            await front.thread(scan)
            assert await front.thread(echoes, server)
            await front.until(lambda: not server.opening)
        assert not [r for r in caplog.records if r.exc_info or r.levelno >= logging.WARNING]


@pytest.mark.with_tls
async def test_a_port_scan_of_a_server_with_tls(front, caplog):
    async with front.serve(echo) as server:
        with caplog.at_level(logging.INFO):

            def scan():
                for data in (b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", bytes.fromhex("1603010200")):
                    with dial(server) as sock:
                        sock.sendall(data)

            await front.thread(scan)
            async with front.connect(server) as ws:
                await ws.send("still here")
                assert await ws.recv() == "still here"
            await front.until(lambda: not server.opening)
        assert not [r for r in caplog.records if r.exc_info or r.levelno >= logging.WARNING]


REASON = "bye\r\nERROR forged\x1b[31m\u202e"


async def test_a_close_reason_stays_on_its_line(front, caplog):
    ends = []

    async def handler(ws):
        try:
            await ws.recv()
        except ConnectionClosed as exc:
            ends.append(exc)
            logging.getLogger("duplexer.test").info("ended: %s", exc)
            raise

    async with front.serve(handler) as server:
        with caplog.at_level(logging.INFO):

            def leave():
                peer = open_raw(server)
                peer.send(CLOSE, close_body(4000, REASON))
                peer.recv_all()
                peer.close()

            await front.thread(leave)
            await front.until(lambda: ends)
    assert ends[0].rcvd.reason == REASON  # what it is, for programs ...
    for text in (str(ends[0]), ends[0].explain(), caplog.text):  # ... and for people
        assert "\r" not in text and "\x1b" not in text and "\u202e" not in text
    assert "forged" in str(ends[0]) and "\nERROR forged" not in caplog.text


def test_reasons_are_escaped_in_errors():
    text = str(ConnectionClosedError(Close(4000, REASON), None, None))
    assert text.isprintable() and "bye\\r\\nERROR forged\\x1b[31m\\u202e" in text
    assert "grüße 🎉" in str(ConnectionClosedError(Close(4000, "grüße 🎉"), None, None))


# -- 16: our own headers ---------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\0b", "a\r\nSet-Cookie: x", "a\u010db", "\x7f"])
def test_what_the_application_sets_cannot_split_a_response(bad):
    headers = Headers()
    with pytest.raises(ValueError, match=r".+"):
        headers["X"] = bad
    with pytest.raises(ValueError, match=r".+"):
        headers[bad] = "x"
    with pytest.raises(ValueError, match=r".+"):
        Response(200, bad, Headers(), b"").serialize()


async def test_a_subprotocol_that_would_split_the_response(front, unlogged):
    def select(ws, offered):
        return "a\r\nSet-Cookie: x"

    async with front.serve(echo, select_subprotocol=select) as server:
        answer = await front.thread(exchange, server, request("Sec-WebSocket-Protocol: a\r\n"))
        assert status(answer) >= 400 and b"Set-Cookie" not in answer
    unlogged.clear()


async def test_our_close_frames_do_not_repeat_the_peer(front):
    async with front.serve(echo) as server:
        code, reason = await front.thread(attack, server, b"\x83\x80\x1b[2J")
        assert code == 1002 and reason == "unknown opcode"
