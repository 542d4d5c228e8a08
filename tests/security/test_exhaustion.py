"""Rows 45 to 47, 49 and 51: connections, descriptors, tasks; one bad peer, many odd ends."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import duplexer
from duplexer import Limits
from duplexer.carriers.routes import text
from tests.contract.peers import PONG, TEXT
from tests.security.attackers import (
    PATIENCE,
    address_of,
    dial,
    echo,
    echoes,
    exchange,
    open_raw,
    read_to_end,
    request,
    status,
    struck,
)

# -- 45: connections -------------------------------------------------------------------------------


async def test_one_too_many_is_told_so_and_a_place_is_free_again(front):
    async with front.serve(echo, limits=Limits(max_connections=3)) as server:
        peers = [await front.thread(open_raw, server) for _ in range(3)]
        try:
            answer = await front.thread(exchange, server, request())
            assert status(answer) == 503 and b"\r\nRetry-After: " in answer
            peers.pop().close()
            await front.until(lambda: len(server.connections) == 2, PATIENCE)
            assert await front.thread(echoes, server)
            await struck(front, server, {"max_connections": 1})
        finally:
            for peer in peers:
                peer.close()


async def test_connections_of_one_address(front):
    async with front.serve(echo, limits=Limits(max_per_address=3)) as server:
        socks = [await front.thread(dial, server) for _ in range(2)]  # who say nothing count
        peer = await front.thread(open_raw, server)
        try:
            await front.until(lambda: len(server.opening) == 2, PATIENCE)
            assert await front.thread(exchange, server, request()) == b""
            await struck(front, server, {"max_per_address": 1})
            peer.close()
            await front.until(lambda: not server.connections, PATIENCE)
            assert await front.thread(echoes, server)
        finally:
            peer.close()
            for sock in socks:
                sock.close()


async def test_connections_of_one_address_behind_a_proxy(front):
    limits = Limits(max_per_address=1)
    async with front.serve(echo, trusted_proxies=["127.0.0.1"], limits=limits) as server:
        peer = await front.thread(open_raw, server, "X-Forwarded-For: 192.0.2.1\r\n")
        try:
            for n in (1, 2):
                again = request("X-Forwarded-For: 192.0.2.1\r\n")
                assert status(await front.thread(exchange, server, again)) == 429
                await struck(front, server, {"max_per_address": n})
            other = request("X-Forwarded-For: 192.0.2.2\r\n", version="1")
            assert status(await front.thread(exchange, server, other)) == 426
        finally:
            peer.close()


async def test_connections_that_are_opening(front):
    async with front.serve(echo, limits=Limits(max_opening=2)) as server:
        peer = await front.thread(open_raw, server)
        await front.until(lambda: server.connections, PATIENCE)  # it does not count any more
        socks = [await front.thread(dial, server) for _ in range(2)]
        try:
            await front.until(lambda: len(server.opening) == 2, PATIENCE)
            assert await front.thread(exchange, server, request()) == b""
            await struck(front, server, {"max_opening": 1})
        finally:
            peer.close()
            for sock in socks:
                sock.close()


async def test_connections_of_one_address_that_are_opening(front):
    """Whoever says nothing from one address shuts nobody else out."""
    limits = Limits(max_opening=3, max_opening_per_address=2)
    async with front.serve(echo, limits=limits) as server:
        socks = [await front.thread(dial, server) for _ in range(2)]
        try:
            await front.until(lambda: len(server.opening) == 2, PATIENCE)
            assert await front.thread(exchange, server, request()) == b""
            await struck(front, server, {"max_opening_per_address": 1})
            with socket.create_connection(
                address_of(server), PATIENCE, source_address=("127.0.0.2", 0)
            ) as sock:
                sock.sendall(request(version="1"))
                assert status(await front.thread(read_to_end, sock)) == 426
        finally:
            for sock in socks:
                sock.close()


async def test_plain_http_that_is_kept_alive_is_not_opening(front):
    limits = Limits(max_opening=2, max_opening_per_address=2)
    async with front.serve(echo, limits=limits, http={"/": text("hello")}) as server:
        socks = [await front.thread(dial, server) for _ in range(2)]
        try:
            for sock in socks:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = b""
                while not answer.endswith(b"hello"):
                    answer += await front.thread(sock.recv, 65536)
            assert await front.thread(echoes, server)
            assert server.struck == {}
        finally:
            for sock in socks:
                sock.close()


@pytest.mark.with_tls
async def test_connections_of_one_address_are_counted_before_tls(front):
    async with front.serve(echo, limits=Limits(max_per_address=2)) as server:
        socks = [await front.thread(dial, server) for _ in range(3)]
        try:
            assert await front.thread(read_to_end, socks[2]) == b""
            await struck(front, server, {"max_per_address": 1})
            for sock in socks:
                sock.close()

            async def again():
                async with front.connect(server) as ws:
                    await ws.send("x")
                    return await ws.recv()

            await front.until(lambda: not server.guard._present, PATIENCE)
            assert await again() == "x"
        finally:
            for sock in socks:
                sock.close()


async def test_handshakes_of_one_address(front):
    limits = Limits(handshake_rate=0.001, handshake_burst=3)
    async with front.serve(echo, limits=limits) as server:
        for _ in range(3):
            assert await front.thread(echoes, server)
        assert status(await front.thread(exchange, server, request())) == 429
        await struck(front, server, {"handshake_rate": 1})


# -- 46: descriptors -------------------------------------------------------------------------------

SERVERS = {
    "asyncio": """
        import asyncio
        from duplexer import serve

        async def echo(ws):
            async for message in ws:
                await ws.send(message)

        async def main():
            async with serve(echo, "127.0.0.1", 0, ssl=CONTEXT) as server:
                report(server)
                await asyncio.to_thread(sys.stdin.readline)
                summary(server)

        asyncio.run(main())
    """,
    "sync": """
        from duplexer.sync import serve

        def echo(ws):
            for message in ws:
                ws.send(message)

        with serve(echo, "127.0.0.1", 0, ssl=CONTEXT) as server:
            report(server)
            sys.stdin.readline()
            summary(server)
    """,
    "trio": """
        import trio
        from duplexer.trio import serve

        async def echo(ws):
            async for message in ws:
                await ws.send(message)

        async def main():
            async with serve(echo, "127.0.0.1", 0, ssl=CONTEXT) as server:
                report(server)
                await trio.to_thread.run_sync(sys.stdin.readline)
                summary(server)

        trio.run(main)
    """,
}
PROGRAM = """
import json, logging, resource, ssl, sys

lines = []

class Keep(logging.Handler):
    def emit(self, record):
        lines.append(self.format(record))
        if len(lines) == 1:
            print("paused", flush=True)

logging.getLogger().addHandler(Keep())
CONTEXT = None
if len(sys.argv) > 1:
    CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CONTEXT.load_cert_chain(sys.argv[1])

def report(server):
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
    print(server.sockets[0].getsockname()[1], flush=True)

def summary(server):
    print(json.dumps({"struck": server.struck, "lines": lines}), flush=True)
"""


class Running:
    """A server in a process of its own, which has few descriptors."""

    def __init__(self, name: str, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM + textwrap.dedent(SERVERS[name]), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(duplexer.__file__).parents[1])},
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.sockets = [self]  # as far as ``address_of`` looks

    def getsockname(self):
        return ("127.0.0.1", self.port)

    def finish(self):
        out, _ = self.process.communicate("\n", timeout=60)
        return json.loads(out)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_NOFILE")
@pytest.mark.parametrize(
    ("name", "tls"), [("asyncio", False), ("asyncio", True), ("sync", False), ("trio", False)]
)
def test_descriptors_run_out(name, tls, tmp_path, authority, client_context):
    """Who is here is served on, nothing spins, and it goes on when there are some again."""
    args = []
    if tls:
        bundle = tmp_path / "bundle.pem"
        cert = authority.issue_cert("127.0.0.1")
        bundle.write_bytes(cert.private_key_and_cert_chain_pem.bytes())
        args.append(str(bundle))
    from tests.contract.peers import Raw

    def client():
        peer = Raw.dial(("127.0.0.1", server.port), client_context if tls else None)
        peer.sock.settimeout(PATIENCE)
        return peer

    def round_trip(peer):
        peer.send(TEXT, b"x")
        return peer.recv().payload == b"x"

    server = Running(name, *args)
    socks = []
    try:
        early = client()
        socks = [dial(server) for _ in range(100)]
        assert server.process.stdout.readline() == "paused\n"
        for _ in range(20):
            assert round_trip(early)
        for sock in socks:
            sock.close()
        late = client()
        assert round_trip(late) and round_trip(early)
        for peer in (early, late):
            peer.close()
        summary = server.finish()
    finally:
        for sock in socks:
            sock.close()
        server.process.kill()
        server.process.wait()
        server.process.stdin.close()
        server.process.stdout.close()
    assert summary["struck"]["descriptors"] >= 1
    pauses = [line for line in summary["lines"] if "accepting pauses" in line]
    assert 1 <= len(pauses) < 20
    assert not [line for line in summary["lines"] if "Traceback" in line]


# -- 47: tasks and threads -------------------------------------------------------------------------


async def test_messages_start_neither_tasks_nor_threads(front):
    async with front.serve(echo) as server:
        peer = await front.thread(open_raw, server)
        try:
            await front.thread(peer.send, TEXT, b"x")
            await front.thread(peer.recv)
            threads = threading.active_count()

            def talk():
                for _ in range(20):
                    peer.send_bytes(peer.frame(TEXT, b"x") * 100)
                    for _ in range(100):
                        peer.recv()

            await front.thread(talk)
            assert threading.active_count() <= threads + 10  # of two thousand
        finally:
            peer.close()


# -- 49 and 51: odd ends ---------------------------------------------------------------------------


async def test_whatever_a_handler_raises_others_live_on(front, unlogged):
    kinds = [ValueError, OSError, KeyError, RuntimeError, RecursionError, MemoryError]

    async def handler(ws):
        message = await ws.recv()
        if message == "still here":
            await ws.send(message)
            return
        raise kinds[int(message)]("on purpose")

    async with front.serve(handler) as server:
        for i in range(len(kinds)):
            peer = await front.thread(open_raw, server)
            try:
                await front.thread(peer.send, TEXT, b"%d" % i)
                assert (await front.thread(peer.recv_close)) == (1011, "")
            finally:
                peer.close()
        assert await front.thread(echoes, server)
    assert len(unlogged) == len(kinds)
    unlogged.clear()


async def test_a_reset_at_every_byte_of_a_session(front):
    session = request() + bytes.fromhex("8181 00000000 78 8980 00000000 8882 00000000 03e8")
    async with front.serve(echo) as server:

        def reset_all():
            from tests.contract.peers import Raw

            for n in range(0, len(session) + 1, 3):
                raw = Raw(dial(server), client=True)
                raw.send_bytes(session[:n])
                raw.reset()

        await front.thread(reset_all)
        assert await front.thread(echoes, server)
        await front.until(lambda: not server.opening and not server.connections, PATIENCE)


async def test_odd_events_leave_nothing_behind(front):
    async with front.serve(echo) as server:

        def odd():
            for _ in range(30):
                exchange(server, b"\0\r\n\r\n")
                with contextlib.suppress(AssertionError):
                    peer = open_raw(server)
                    peer.send(PONG, b"?")
                    peer.reset()

        await front.thread(odd)
        await front.until(lambda: not server.opening and not server.connections, PATIENCE)
        getattr(front, "adapters", {}).clear()  # which the tests of threads hold on to
        gc.collect()
        before = len(gc.get_objects())
        await front.thread(odd)
        await front.until(lambda: not server.opening and not server.connections, PATIENCE)
        getattr(front, "adapters", {}).clear()
        gc.collect()
        # Sixty connections more, each of which is dozens of objects.
        assert len(gc.get_objects()) < before + 600
