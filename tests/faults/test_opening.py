"""Handshakes that go wrong, in both roles: the documented error, in time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import time
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.asyncio.server import ServerConnection, serve
from duplexer.errors import InvalidHandshake, InvalidMessage, InvalidStatus
from duplexer.limits import Limits
from tests.faults.peers import (
    REQUEST,
    certificates,
    idle,
    port_of,
    raw_server,
    reset,
    response_to,
)

pytestmark = pytest.mark.both_builds

NOISE = random.Random(6455).randbytes(4096)
TLS_ALERT = bytes.fromhex("15 0301 0002 02 28")
TLS_HELLO = bytes.fromhex("16 0301 0200 01 0001fc 0303") + NOISE[:512]


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


def url(port: int, scheme: str = "ws") -> str:
    return f"{scheme}://localhost:{port}/"


async def fails(port: int, *kinds: type[BaseException], within: float = 5, **kwargs: Any) -> Any:
    """Connecting raises one of these, in time; gives the exception."""
    kwargs.setdefault("host", "127.0.0.1")
    address = kwargs.pop("address", url(port))
    began = time.monotonic()
    with pytest.raises(kinds) as caught:
        await connect(address, proxy=None, **kwargs)
    assert time.monotonic() - began < within
    return caught.value


# -- the client ------------------------------------------------------------------------------------


async def test_refused() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        await fails(sock.getsockname()[1], ConnectionRefusedError)


async def test_no_such_host() -> None:
    # Where there is no resolver, there is only the time limit.
    kinds = (socket.gaierror, TimeoutError)
    await fails(
        0, *kinds, address="ws://no-such-host.invalid/", host="no-such-host.invalid", open_timeout=4
    )


async def test_server_says_nothing() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(handler) as port:
        error = await fails(port, TimeoutError, open_timeout=0.3, within=2)
    assert str(error) == "timed out during opening handshake"


async def test_server_drips() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"H")
            await asyncio.sleep(0.05)

    async with raw_server(handler) as port:
        await fails(port, TimeoutError, InvalidMessage, open_timeout=0.5, within=2)


ANSWERS = {
    "noise": NOISE,
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "smtp": b"220 mail.example ESMTP\r\n",
    "tls alert": TLS_ALERT,
    "zeros": bytes(100_000),
    "no end of line": b"HTTP/1.1 " + b"1" * 100_000,
    "no end of headers": b"HTTP/1.1 101 Switching Protocols\r\n" + b"A: b\r\n" * 50_000,
    "no end of interim": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50_000,
    "nothing": b"",
    "half a line": b"HTTP/1.1 101 Swi",
    "half of the headers": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n",
    "bare frames": bytes.fromhex("8105") + b"Hello",
    "http 0.9": b"<html>hello</html>",
    "wrong accept": response_to(REQUEST),
    "no headers": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "a page": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "half a page": b"HTTP/1.1 404 Not Found\r\nContent-Length: 200\r\n\r\nhi",
    "a page without end": b"HTTP/1.1 500 Oops\r\n\r\n" + b"x" * 1_000_000,
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_server_answers_something_else(name: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWERS[name])
        await writer.drain()

    async with raw_server(handler) as port:
        error = await fails(port, InvalidHandshake)
    if "page" in name:
        assert isinstance(error, InvalidStatus)


async def test_reset_during_handshake() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101")
        reset(writer.get_extra_info("socket"))
        writer.transport.abort()

    async with raw_server(handler) as port:
        await fails(port, ConnectionError, InvalidMessage)


async def test_tls_to_a_plain_port() -> None:
    _, trusting = certificates()
    async with serve(echo, "127.0.0.1", 0) as server:
        port = port_of(server)
        await fails(port, OSError, address=url(port, "wss"), ssl=trusting)
        await idle(server)


async def test_plain_to_a_tls_port() -> None:
    secure, _ = certificates()
    async with serve(echo, "127.0.0.1", 0, ssl=secure) as server:
        await fails(port_of(server), InvalidMessage, ConnectionError)
        await idle(server)


async def test_certificate_of_an_unknown_authority() -> None:
    secure, _ = certificates()
    async with serve(echo, "127.0.0.1", 0, ssl=secure) as server:
        port = port_of(server)
        await fails(
            port,
            ssl.SSLCertVerificationError,
            address=url(port, "wss"),
            ssl=ssl.create_default_context(),
        )
        await idle(server)


async def test_cancelled_while_opening() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(handler) as port:
        task = asyncio.create_task(connect(url(port), host="127.0.0.1", proxy=None)._connect())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# -- the server ------------------------------------------------------------------------------------

REQUESTS = {
    "noise": NOISE,
    "tls hello": TLS_HELLO,
    "frames": bytes.fromhex("8185 00000000") + b"Hello",
    "socks": bytes.fromhex("050100"),
    "proxy protocol": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + REQUEST,
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "zeros": bytes(100_000),
    "no end of line": b"GET /" + b"a" * 100_000,
    "no end of headers": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 50_000,
    "no key": REQUEST.replace(b"Sec-WebSocket-Key", b"Sec-WebSocket-Koy"),
    "two requests": REQUEST.replace(b"Upgrade: websocket\r\n", b"") + REQUEST,
    "nothing": b"",
}


async def send_raw(port: int, data: bytes, *, patient: bool) -> bytes:
    """What the server answers to these bytes, up to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        async with asyncio.timeout(10):
            writer.write(data)
            with contextlib.suppress(OSError):
                await writer.drain()
                if not patient:
                    writer.write_eof()
                while chunk := await reader.read(65536):
                    answer += chunk
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return answer


@pytest.mark.parametrize("patient", [True, False], ids=["waits", "half-closes"])
@pytest.mark.parametrize("name", REQUESTS)
async def test_client_sends_something_else(name: str, patient: bool) -> None:
    limits = Limits(open_timeout=0.5, keep_alive_timeout=0.5)
    async with serve(echo, "127.0.0.1", 0, limits=limits) as server:
        answer = await send_raw(port_of(server), REQUESTS[name], patient=patient)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
        await idle(server)
        async with connect(url(port_of(server)), host="127.0.0.1", proxy=None) as ws:
            await ws.send("still here")
            assert await ws.recv() == "still here"


@pytest.mark.parametrize("data", [b"", b"G", REQUEST[:-2], REQUEST[:40]])
async def test_client_stops_in_its_request(data: bytes) -> None:
    async with serve(echo, "127.0.0.1", 0, open_timeout=0.3) as server:
        began = time.monotonic()
        answer = await send_raw(port_of(server), data, patient=True)
        assert time.monotonic() - began < 2
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408")
        await idle(server)


async def test_plain_bytes_to_a_tls_server() -> None:
    secure, trusting = certificates()
    async with serve(echo, "127.0.0.1", 0, ssl=secure, open_timeout=1) as server:
        port = port_of(server)
        for data in (NOISE, REQUEST, b"", TLS_HELLO, TLS_ALERT):
            answer = await send_raw(port, data, patient=bool(data))
            assert b"HTTP" not in answer
        await idle(server)
        address = url(port, "wss")
        async with connect(address, host="127.0.0.1", ssl=trusting, proxy=None) as ws:
            await ws.send("still here")
            assert await ws.recv() == "still here"


async def test_out_of_descriptors(tmp_path: Any) -> None:
    """Accepting goes on when there are descriptors again; the connections there are stay."""
    from tests.faults.peers import program

    source = """
        import asyncio, resource
        from duplexer.asyncio.server import serve
        async def echo(ws):
            async for message in ws:
                await ws.send(message)
        async def main():
            async with serve(echo, "127.0.0.1", 0) as server:
                print(server.sockets[0].getsockname()[1], flush=True)
                await asyncio.sleep(60)
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        import logging
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        asyncio.run(main())
    """
    async with program(source) as server:
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        async with connect(url(port), host="127.0.0.1", proxy=None) as early:
            waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
            await early.send("during")
            assert await early.recv() == "during"
            for _, writer in waiting:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            async with connect(url(port), host="127.0.0.1", proxy=None) as late:
                await late.send("after")
                assert await late.recv() == "after"
        assert server.returncode is None
