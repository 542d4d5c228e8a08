"""``WebSocket``, by the steps of the WebSockets Standard (the headings are its sections)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import ssl
import struct
import weakref
from typing import Any

import pytest
import trustme

from duplexer import Limits
from duplexer.browser import Blob, DOMException, Event, MessageEvent, WebSocket
from duplexer.errors import InvalidStatus, NegotiationError, ProtocolError
from tests.browser.peers import Record, echo, serving, until

pytestmark = pytest.mark.every_loop


async def finish(ws: WebSocket) -> Any:
    """Close it, and wait until it is closed."""
    closed = asyncio.get_running_loop().create_future()
    ws.addEventListener("close", closed.set_result, once=True)
    ws.close()
    return await closed


async def opened(url: str, *args: Any, **kwargs: Any) -> tuple[WebSocket, Record]:
    record = Record(WebSocket(url, *args, **kwargs))
    await record.wait("open")
    return record.ws, record


# -- 3.1: constructor ------------------------------------------------------------------------------


async def test_it_begins_connecting() -> None:
    async with serving(echo) as url:
        ws = WebSocket(url)
        assert (ws.readyState, ws.bufferedAmount, ws.binaryType) == (0, 0, "blob")
        assert (ws.extensions, ws.protocol, ws.url) == ("", "", url)
        assert (ws.onopen, ws.onmessage, ws.onerror, ws.onclose) == (None,) * 4
        await finish(ws)


def test_constants() -> None:
    constants = (WebSocket.CONNECTING, WebSocket.OPEN, WebSocket.CLOSING, WebSocket.CLOSED)
    assert constants == (0, 1, 2, 3)


def test_it_needs_a_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        WebSocket("ws://localhost/")


async def test_http_means_ws() -> None:
    async with serving(echo) as url:
        ws, _ = await opened(url.replace("ws:", "http:"))
        assert ws.url == url
        await finish(ws)


@pytest.mark.parametrize("url", ["", "x", "ftp://h/", "ws://h/#", "ws://[", "ws://h:70000/"])
async def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(DOMException) as caught:
        WebSocket(url)
    assert caught.value.name == "SyntaxError"


@pytest.mark.parametrize("protocols", ["", [""], ["a", "a"], ["a b"], ["é"], "a,b"])
async def test_protocols_that_are_none(protocols: Any) -> None:
    with pytest.raises(DOMException) as caught:
        WebSocket("ws://localhost/", protocols)
    assert caught.value.name == "SyntaxError"


async def test_the_address_is_looked_at_before_the_protocols() -> None:
    with pytest.raises(DOMException, match="is no URL"):
        WebSocket("ws://[", ["", ""])


async def test_options_in_a_mapping_as_keywords_and_mistaken() -> None:
    async with serving(echo, subprotocols=["chat"]) as url:
        for args, kwargs in (
            (({"protocols": ["chat"], "base_url": url},), {}),
            ((), {"protocols": "chat", "base_url": url}),
        ):
            ws, _ = await opened("/", *args, **kwargs)
            assert ws.protocol == "chat"
            await finish(ws)
    for wrong, words in (
        ({"additional_headers": {}}, "use headers"),
        ({"subprotocols": []}, "use protocols"),
        ({"listener": None}, "use addEventListener"),
        ({"wrong": 1}, "'wrong'"),
    ):
        with pytest.raises(TypeError, match=words):
            WebSocket("ws://localhost/", **wrong)


async def test_headers_credentials_and_resolver() -> None:
    seen: list[Any] = []

    async def handler(ws: Any) -> None:
        headers = ws.request.headers
        seen.append([headers["Host"], headers.get("X"), headers.get("Authorization")])

    async with serving(handler) as url:
        port = int(url.rpartition(":")[2].strip("/"))

        async def resolver(host: str, port_: int) -> Any:
            return "127.0.0.1", port

        for found in ({"nowhere.invalid": ("127.0.0.1", port)}, resolver):
            record = Record(
                WebSocket("ws://us%65r:p%40ss@nowhere.invalid/", headers={"X": "y"}, resolver=found)
            )
            await record.wait("close")
        record = Record(WebSocket(url, resolver={}, headers={"Authorization": "Bearer t"}))
        await record.wait("close")
        record = Record(WebSocket(url.replace("127.0.0.1", "me"), resolver={"me": "127.0.0.1"}))
        await record.wait("close")
    basic = "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert seen[:2] == [["nowhere.invalid", "y", basic]] * 2
    assert seen[2][2] == "Bearer t"
    assert seen[3] == [f"me:{port}", None, None]


async def test_tls() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with serving(echo, ssl=server) as url:
        ws, record = await opened(url.replace("ws:", "https:"), ssl=client)
        assert ws.url.startswith("wss://")
        ws.send("secret")
        message = await record.wait("message")
        assert (message.data, message.origin) == ("secret", ws.url[:-1])
        await finish(ws)
        untrusting = Record(WebSocket(url.replace("ws:", "wss:")))
        assert (await untrusting.wait("close")).code == 1006
        assert isinstance(untrusting.events[0].error, ssl.SSLError)


# -- 2.2: opening handshake ------------------------------------------------------------------------


async def failing(*args: Any, **kwargs: Any) -> Any:
    """The error of a WebSocket that cannot be opened; all look alike."""
    ws = WebSocket(*args, **kwargs)
    record = Record(ws)
    states: list[int] = []
    ws.addEventListener("error", lambda e: states.append(ws.readyState))
    close = await record.wait("close")
    assert record.types == ["error", "close"]
    assert (close.code, close.reason, close.wasClean) == (1006, "", False)
    assert states == [WebSocket.CLOSED]
    error = record.events[0]
    assert error.message == str(error.error)
    return error.error


async def test_nobody_listens(unused_tcp_port_url: str) -> None:
    assert isinstance(await failing(unused_tcp_port_url), OSError)


@pytest.fixture
def unused_tcp_port_url() -> str:
    from tests.docs.pages import free_port

    return f"ws://127.0.0.1:{free_port()}/"


async def test_not_a_websocket() -> None:
    async with serving(echo, process_request=lambda ws, _: ws.respond(302, "")) as url:
        error = await failing(url)
        assert isinstance(error, InvalidStatus)
        assert error.response.status_code == 302


async def test_a_port_and_a_host_that_nobody_can_have() -> None:
    assert "port" in str(await failing("ws://localhost:0/"))
    assert "label" in str(await failing("ws://a..b/"))


async def test_a_protocol_has_to_be_chosen_if_there_was_one() -> None:
    async with serving(echo) as url:
        assert isinstance(await failing(url, "chat"), NegotiationError)


async def test_open_timeout() -> None:
    async def hold(reader: Any, writer: Any) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert isinstance(await failing(url, open_timeout=0.01), TimeoutError)


# -- 3.1: close() ----------------------------------------------------------------------------------


async def test_close_while_connecting_fails_the_connection() -> None:
    async with serving(echo) as url:
        record = Record(WebSocket(url))
        record.ws.close(3000, "why")
        assert record.ws.readyState == WebSocket.CLOSING
        close = await record.wait("close")
        assert record.types == ["error", "close"]
        assert (close.code, close.reason, close.wasClean) == (1006, "", False)


async def test_close_when_it_is_established_but_nobody_knows() -> None:
    async with serving(echo) as url:
        record = Record(WebSocket(url))
        await until(lambda: record.ws._link.connection is not None or record.types)
        if record.ws.readyState == WebSocket.CONNECTING:
            record.ws.close()
            await record.wait("close")
            assert record.types == ["error", "close"]
        else:
            await finish(record.ws)


async def closing(*args: Any) -> tuple[Any, Any]:
    """What the server and we see of ``close(*args)``."""
    seen: list[Any] = []

    async def handler(ws: Any) -> None:
        await ws.wait_closed()
        seen.append((ws.close_code, ws.close_reason))

    async with serving(handler) as url:
        ws, record = await opened(url)
        ws.close(*args)
        assert ws.readyState == WebSocket.CLOSING
        close = await record.wait("close")
        assert close.wasClean
        assert "error" not in record.types
        await until(lambda: seen)
    return seen[0], (close.code, close.reason)


@pytest.mark.parametrize(
    ("args", "code", "reason"),
    [
        ((), 1005, ""),
        ((1000,), 1000, ""),
        ((3000, "Grüße"), 3000, "Grüße"),
        ((4999, "x" * 123), 4999, "x" * 123),
        ((None, "alone"), 1000, "alone"),
        ((None, ""), 1005, ""),
        ((4000, "\ud800"), 4000, "\ufffd"),
    ],
)
async def test_close_frames(args: Any, code: int, reason: str) -> None:
    assert await closing(*args) == ((code, reason), (code, reason))


@pytest.mark.parametrize("state", ["connecting", "open", "closing", "closed"])
async def test_close_refuses_in_every_state(state: str) -> None:
    async with serving(echo) as url:
        ws = WebSocket(url)
        record = Record(ws)
        if state != "connecting":
            await record.wait("open")
        if state in ("closing", "closed"):
            ws.close()
        if state == "closed":
            await record.wait("close")
        before = ws.readyState
        for args, name in (
            ((1001,), "InvalidAccessError"),
            ((5000,), "InvalidAccessError"),
            ((1000, "x" * 124), "SyntaxError"),
        ):
            with pytest.raises(DOMException) as caught:
                ws.close(*args)
            assert caught.value.name == name
        assert ws.readyState == before
        ws.close()
        await record.wait("close")


async def test_what_was_sent_before_close_arrives() -> None:
    seen: list[Any] = []

    async def handler(ws: Any) -> None:
        seen.extend([message async for message in ws])

    async with serving(handler) as url:
        ws, record = await opened(url)
        for number in range(100):
            ws.send(str(number))
        ws.close()
        ws.close(3000)
        close = await record.wait("close")
    assert seen == [str(number) for number in range(100)]
    assert close.code == 1005


# -- 3.1: send() and bufferedAmount ----------------------------------------------------------------


async def test_send_while_connecting() -> None:
    async with serving(echo) as url:
        ws = WebSocket(url)
        with pytest.raises(DOMException) as caught:
            ws.send("x")
        assert caught.value.name == "InvalidStateError"
        assert ws.bufferedAmount == 0
        with pytest.raises(TypeError):  # what is no message is not even looked at
            ws.send(5)  # type: ignore[arg-type]
        await finish(ws)


async def test_what_can_be_sent() -> None:
    async with serving(echo) as url:
        ws, record = await opened(url)
        ws.binaryType = "arraybuffer"
        for data in (
            "Grüße", "", "\ud83d\ude00\ud800", b"\x00\xff", bytearray(b"ab"),
            memoryview(b"abcd")[::2], Blob([b"blob"]),
        ):  # fmt: skip
            ws.send(data)
        await record.wait("message", 7)
        await finish(ws)
    data = [event.data for event in record.events if event.type == "message"]
    assert data == ["Grüße", "", "\U0001f600\ufffd", b"\x00\xff", b"ab", b"ac", b"blob"]


async def test_buffered_amount_within_a_turn() -> None:
    async with serving(echo) as url:
        ws, record = await opened(url)
        amounts = []
        for data in ("ü", b"123", Blob([b"12345"]), "x" * 200_000):
            ws.send(data)
            amounts.append(ws.bufferedAmount)
        assert amounts == [2, 5, 10, 200_010]
        await record.wait("message", 4)
        assert ws.bufferedAmount == 0
        await finish(ws)


async def test_buffered_amount_after_close_only_grows() -> None:
    async with serving(echo) as url:
        ws, record = await opened(url)
        ws.close()
        ws.send("abc")
        assert ws.bufferedAmount == 3
        await record.wait("close")
        assert ws.bufferedAmount == 3
        ws.send(b"12")
        ws.send(Blob([b"1"]))
        assert ws.bufferedAmount == 6
        await asyncio.sleep(0)
        assert ws.bufferedAmount == 6


async def deaf(ws: Any) -> None:
    """Reads nothing until it is told to go."""
    ws.transport.pause_reading()
    await ws.wait_closed()


async def test_buffered_amount_of_what_the_network_does_not_take() -> None:
    connections: list[Any] = []

    async def handler(ws: Any) -> None:
        connections.append(ws)
        await deaf(ws)

    async with serving(handler) as url:
        ws, record = await opened(url, compression=None)
        await until(lambda: connections)
        size = 64 * 1024 * 1024
        ws.send(bytes(size))
        assert ws.bufferedAmount == size
        await until(lambda: ws.bufferedAmount < size)
        assert ws.bufferedAmount > 0
        connections[0].abort()
        await record.wait("close")
        left = ws.bufferedAmount
        assert 0 < left < size
        ws.send("x")
        assert ws.bufferedAmount == left + 1


async def test_flagged_as_full() -> None:
    connections: list[Any] = []

    async def handler(ws: Any) -> None:
        connections.append(ws)
        await deaf(ws)

    async with serving(handler) as url:
        limits = Limits(write_hard=1000)
        ws, record = await opened(url, compression=None, limits=limits)
        await until(lambda: connections)
        sent = 0
        while ws.readyState == WebSocket.OPEN:
            ws.send(bytes(1024 * 1024))
            sent += 1024 * 1024
            await asyncio.sleep(0)
        close = await record.wait("close")
        connections[0].abort()
    assert record.types == ["open", "error", "close"]
    assert (close.code, close.wasClean) == (1006, False)
    assert 0 < ws.bufferedAmount <= sent
    assert "buffered" in record.events[1].message


# -- 3.1: binaryType -------------------------------------------------------------------------------


async def test_binary_type() -> None:
    async def handler(ws: Any) -> None:
        for data in (b"1", b"2", b"3"):
            await ws.send(data)

    async with serving(handler) as url:
        ws = WebSocket(url)
        record = Record(ws)
        values: list[Any] = []

        def switch(event: MessageEvent) -> None:
            values.append(event.data)
            ws.binaryType = "nonsense"
            values.append(ws.binaryType)
            ws.binaryType = "arraybuffer"

        ws.onmessage = switch
        await record.wait("close")
        first, *rest = values
        assert isinstance(first, Blob)
        assert (await first.bytes(), first.type) == (b"1", "")
        assert rest == ["blob", b"2", "arraybuffer", b"3", "arraybuffer"]


# -- 4: feedback from the protocol -----------------------------------------------------------------


async def test_everything_is_there_when_open_is_fired() -> None:
    async with serving(echo, subprotocols=["chat"]) as url:
        ws = WebSocket(url, ["soap", "chat"])
        seen: list[Any] = []
        ws.onopen = lambda e: seen.append((ws.readyState, ws.extensions, ws.protocol, type(e)))
        await Record(ws).wait("open")
        ((state, extensions, protocol, kind),) = seen
        assert (state, protocol, kind) == (WebSocket.OPEN, "chat", Event)
        assert extensions.startswith("permessage-deflate")
        await finish(ws)
        assert (ws.extensions, ws.protocol) == (extensions, "chat")


async def test_message_events() -> None:
    async with serving(echo) as url:
        ws, record = await opened(url)
        ws.send("x")
        event = await record.wait("message")
        assert isinstance(event, MessageEvent)
        assert (event.data, event.origin) == ("x", url[:-1])
        assert (event.lastEventId, event.source, event.ports) == ("", None, ())
        assert (event.isTrusted, event.bubbles, event.cancelable) == (True, False, False)
        await finish(ws)


async def test_messages_come_only_while_it_is_open() -> None:
    async def handler(ws: Any) -> None:
        await ws.recv()
        for number in "123":
            await ws.send(number)

    async with serving(handler) as url:
        ws, record = await opened(url)
        ws.send("go")
        ws.close()
        await record.wait("close")
        assert record.types == ["open", "close"]


async def test_closing_when_the_peer_has_begun() -> None:
    async def handler(reader: Any, writer: Any) -> None:
        await answer_handshake(reader, writer)
        writer.write(b"\x88\x02" + struct.pack("!H", 4000))
        await reader.readexactly(8)  # our Close comes back
        states.append(ws.readyState)
        release.set()
        await asyncio.wait_for(reader.read(), 30)
        writer.close()

    release, states = asyncio.Event(), []
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        ws = WebSocket(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", close_timeout=0.05)
        record = Record(ws)
        await release.wait()
        await until(lambda: ws.readyState != WebSocket.OPEN)
        states.append(ws.readyState)
        ws.close(3000)  # it has begun: nothing
        close = await record.wait("close")
        assert record.types == ["open", "close"]
        assert (close.code, close.wasClean) == (4000, True)
    assert states[-1] == WebSocket.CLOSING


async def answer_handshake(reader: Any, writer: Any) -> None:
    from duplexer.handshake.server import accept_key

    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key"))
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept_key(key.partition(': ')[2])}\r\n\r\n".encode()
    )


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 3000, 4999])
async def test_closed_by_the_peer(code: int) -> None:
    async def handler(ws: Any) -> None:
        await ws.close(code, "Grüße")

    async with serving(handler) as url:
        record = Record(WebSocket(url))
        close = await record.wait("close")
        assert record.types == ["open", "close"]
        assert (close.code, close.reason, close.wasClean) == (code, "Grüße", True)
        assert record.ws.readyState == WebSocket.CLOSED


async def test_lost() -> None:
    async def handler(ws: Any) -> None:
        ws.abort()

    async with serving(handler) as url:
        record = Record(WebSocket(url))
        close = await record.wait("close")
        assert record.types == ["open", "close"]  # as in browsers: nobody has failed it
        assert (close.code, close.reason, close.wasClean) == (1006, "", False)


async def test_failed() -> None:
    async def handler(ws: Any) -> None:
        ws.transport.write(b"\x83\x00")
        with contextlib.suppress(Exception):
            await ws.recv()

    async with serving(handler) as url:
        record = Record(WebSocket(url))
        close = await record.wait("close")
        assert record.types == ["open", "error", "close"]
        assert (close.code, close.reason, close.wasClean) == (1006, "", False)
        assert isinstance(record.events[1].error.__cause__, ProtocolError)


async def test_a_message_that_is_too_big_names_the_limit() -> None:
    async def handler(ws: Any) -> None:
        await ws.send("x" * 2000)
        await ws.wait_closed()

    async with serving(handler) as url:
        record = Record(WebSocket(url, max_size=1000))
        await record.wait("close")
        assert record.types == ["open", "error", "close"]
        assert "max_message" in record.events[1].error.explain()


async def test_a_close_that_nobody_answers_is_no_failure() -> None:
    async def handler(reader: Any, writer: Any) -> None:
        await answer_handshake(reader, writer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        ws, record = await opened(
            f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", close_timeout=0.01
        )
        ws.close()
        close = await record.wait("close")
        assert record.types == ["open", "close"]
        assert (close.code, close.wasClean) == (1006, False)


async def test_keepalive_that_fails_is_a_failure() -> None:
    left = asyncio.get_running_loop().create_future()

    async def handler(reader: Any, writer: Any) -> None:
        await answer_handshake(reader, writer)
        await reader.read()
        writer.close()
        left.set_result(None)

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        record = Record(WebSocket(url, ping_interval=0.01, ping_timeout=0.01))
        await record.wait("close")
        assert record.types == ["open", "error", "close"]
        assert "keepalive" in str(record.events[1].error.__cause__)
        await left


# -- listeners that take their time --------------------------------------------------------------


async def test_reading_pauses_when_coroutines_do_not_keep_up() -> None:
    sent = 0

    async def handler(ws: Any) -> None:
        nonlocal sent
        while True:
            await ws.send(b"x" * 60_000)
            sent += 1

    limits = Limits(queue_bytes=100_000, queue_messages=2)
    release, running = asyncio.Event(), 0

    async def slow(event: Any) -> None:
        nonlocal running
        running += 1
        await release.wait()

    async with serving(handler, limits=Limits(write_high=65536), compression=None) as url:
        ws = WebSocket(url, limits=limits, compression=None)
        ws.onmessage = slow
        record = Record(ws)
        await until(lambda: running)
        turns = before = 0
        while turns < 50:  # until nothing moves any more
            turns = turns + 1 if before == (sent, running) else 0
            before = (sent, running)
            await asyncio.sleep(0.002)
        assert running < 20
        paused = running
        release.set()
        await until(lambda: running > paused + 10)
        ws.close()
        await record.wait("close")


async def test_coroutines_may_wait_for_the_end() -> None:
    async def handler(ws: Any) -> None:
        while True:
            await ws.send(b"x" * 60_000)

    limits = Limits(queue_bytes=100_000, queue_messages=2)
    closed = asyncio.Event()
    running = 0

    async def until_closed(event: Any) -> None:
        nonlocal running
        running += 1
        await closed.wait()

    async with serving(handler, compression=None) as url:
        ws = WebSocket(url, limits=limits, compression=None)
        ws.onmessage = until_closed
        ws.onclose = lambda event: closed.set()
        await until(lambda: running >= 2 and ws._room is not None)
        ws.close()
        async with asyncio.timeout(60):
            await closed.wait()


# -- 7: garbage collection -------------------------------------------------------------------------


async def test_nobody_listens_so_it_goes() -> None:
    seen: list[Any] = []

    async def handler(ws: Any) -> None:
        seen.append("open")
        await ws.wait_closed()
        seen.append(ws.close_code)

    async with serving(handler) as url:
        held = [WebSocket(url)]
        await until(lambda: held[0].readyState == WebSocket.OPEN)
        gone = weakref.ref(held.pop())
        await until(lambda: gc.collect() is not None and gone() is None)
        await until(lambda: len(seen) == 2)
    assert seen == ["open", 1005]


async def test_nobody_listens_while_connecting() -> None:
    closed = asyncio.Event()

    async def handler(reader: Any, writer: Any) -> None:
        await reader.read()
        writer.close()
        closed.set()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        WebSocket(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", open_timeout=None)
        await until(lambda: gc.collect() is not None and closed.is_set())


@pytest.mark.parametrize(
    ("kind", "state", "kept"),
    [
        ("open", "CONNECTING", True),
        ("open", "OPEN", False),
        ("message", "OPEN", True),
        ("message", "CLOSING", False),
        ("error", "CLOSING", True),
        ("close", "CLOSING", True),
        ("close", "CLOSED", False),
        ("other", "CONNECTING", False),
    ],
)
async def test_who_listens_keeps_it_alive(kind: str, state: str, kept: bool) -> None:
    async with serving(echo) as url:
        ws = WebSocket(url)
        ws.addEventListener(kind, print if kind == "other" else lambda e: None)
        await asyncio.sleep(0)
        if state != "CONNECTING":
            await until(lambda: ws.readyState == WebSocket.OPEN)
        if state in ("CLOSING", "CLOSED"):
            ws.close()
        if state == "CLOSED":
            await until(lambda: ws.readyState == WebSocket.CLOSED)
        assert (ws._link.keep is ws) is kept
        link = ws._link
        ws.close()
        await until(link.task.done)
        await until(lambda: ws.readyState == WebSocket.CLOSED)
        assert link.keep is None


async def test_the_program_ends() -> None:
    """As when a page goes away: the peer is told with 1001."""
    seen: list[Any] = []

    async def handler(ws: Any) -> None:
        await ws.wait_closed()
        seen.append(ws.close_code)

    async with serving(handler) as url:
        ws, _ = await opened(url)
        ws._link.task.cancel()
        await until(lambda: seen)
    assert seen == [1001]


async def test_repr() -> None:
    async with serving(echo) as url:
        ws = WebSocket(url.replace("//", "//user:secret@"))
        assert repr(ws) == f"<WebSocket {url} CONNECTING>"
        await finish(ws)
