"""The life of a connection under uvicorn; uvicorn's own tests of it are in tests/asgi/."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
import trustme
from uvicorn.config import Config
from uvicorn.logging import TRACE_LOG_LEVEL
from uvicorn.server import ServerState

from duplexer.asgi.uvicorn import Setting, WebSocketProtocol
from duplexer.asyncio.client import connect, unix_connect
from duplexer.driver.observing import Observer
from duplexer.errors import ConnectionClosed, ConnectionClosedError, InvalidStatus
from tests.unit.asgi.conftest import PATIENCE, REQUEST, Recorder, Running, echo, until

SOMETHING = {"type": "websocket.send", "text": "x"}


def answering(*events: dict[str, Any]) -> Any:
    """An application that sends ``events`` and then waits for the end."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for event in events:
            await send(event)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return app


# -- the scope -------------------------------------------------------------------------------------


async def test_scope(running: Running) -> None:
    app = Recorder()
    uri_path = "caf%C3%A9/a%2Fb?q=%20&x=1"
    async with (
        running(app, root_path="/api", app_state={"db": 1}) as site,
        connect(
            site.uri + uri_path,
            proxy=None,
            subprotocols=["chat", "superchat"],
            additional_headers={"X-Name": "\xe4"},
        ),
    ):
        scope, port = app.scope, site.port
    headers = dict(scope.pop("headers"))
    assert (headers[b"x-name"], headers[b"host"]) == (b"\xe4", f"127.0.0.1:{port}".encode())
    client = scope.pop("client")
    assert (client[0], type(client[1])) == ("127.0.0.1", int)
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("127.0.0.1", port),
        "root_path": "/api",
        "path": "/api/café/a/b",
        "raw_path": b"/api/caf%C3%A9/a%2Fb",
        "query_string": b"q=%20&x=1",
        "subprotocols": ["chat", "superchat"],
        "state": {"db": 1},
        "extensions": {"websocket.http.response": {}},
    }


async def test_state_is_a_copy(running: Running) -> None:
    state = {"seen": 0}
    app = Recorder()
    async with running(app, app_state=state) as site, connect(site.uri, proxy=None):
        app.scope["state"]["seen"] = 1
    assert state == {"seen": 0}


async def test_proxy_headers(running: Running) -> None:
    app = Recorder()
    forwarded = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    async with running(app) as site, connect(site.uri, proxy=None, additional_headers=forwarded):
        assert app.scope["client"][0] == "203.0.113.7"
        assert app.scope["scheme"] == "wss"


@pytest.mark.every_loop
async def test_tls(running: Running) -> None:
    import ssl

    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    app = Recorder()
    async with (
        running(app, ssl=server) as site,
        connect(f"wss://127.0.0.1:{site.port}", proxy=None, ssl=client) as ws,
    ):
        await ws.send("x" * 100_000)
        await until(lambda: len(app.events) == 2)
        assert app.scope["scheme"] == "wss"
    assert len(app.events[1]["text"]) == 100_000


async def test_unix_socket(running: Running, tmp_path: Path) -> None:
    app = Recorder()
    path = str(tmp_path / "socket")
    async with running(app, uds=path), unix_connect(path, "ws://localhost/"):
        assert app.scope["client"] is None
        assert app.scope["server"] == (path, None)


# -- the answer ------------------------------------------------------------------------------------


async def test_accept(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    accept = {
        "type": "websocket.accept",
        "subprotocol": "chat",
        "headers": [(b"x-a", b"1"), (b"x-a", b"2")],
    }
    async with (
        running(answering(accept), headers=[("X-Default", "yes")]) as site,
        connect(site.uri + "room?id=5", proxy=None, subprotocols=["chat"]) as ws,
    ):
        assert ws.subprotocol == site.protocol.subprotocol == "chat"
        headers = ws.response.headers
        assert headers.get_all("x-a") == ["1", "2"]
        assert headers["x-default"] == "yes"
        assert headers.get_all("server") == ["uvicorn"]
        host, port = ws.local_address[:2]
    assert f'{host}:{port} - "WebSocket /room?id=5" [accepted]' in caplog.messages


@pytest.mark.parametrize(
    ("name", "hint"),
    [("sec-websocket-protocol", "use subprotocol"), ("sec-websocket-accept", ""), ("upgrade", "")],
)
async def test_headers_of_the_handshake(
    running: Running, caplog: pytest.LogCaptureFixture, name: str, hint: str
) -> None:
    accept = {"type": "websocket.accept", "headers": [(name.encode(), b"x")]}
    async with running(answering(accept)) as site:
        assert b" 500 " in await site.ask()
    assert f"must not have the header {name}" in caplog.text.lower()
    assert hint in caplog.text


async def test_a_header_with_a_line_break(running: Running) -> None:
    accept = {"type": "websocket.accept", "headers": [(b"a", b"b\r\nc: d")]}
    async with running(answering(accept)) as site:
        answer = await site.ask()
    assert answer.startswith(b"HTTP/1.1 500 ") and b"c: d" not in answer


@pytest.mark.parametrize("deflate", [True, False])
async def test_compression(running: Running, deflate: bool) -> None:
    async with (
        running(echo, ws_per_message_deflate=deflate) as site,
        connect(site.uri, proxy=None) as ws,
    ):
        assert len(ws.extensions) == deflate
        await ws.send("a" * 5000)
        assert await ws.recv() == "a" * 5000


async def test_refused(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4000})
        events.extend([await receive(), await receive()])

    async with running(app) as site:
        answer = await site.ask()
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n") and answer.endswith(b"\r\n\r\n")
    assert events == [{"type": "websocket.disconnect", "code": 1006}] * 2
    assert any(message.endswith('"WebSocket /" 403') for message in caplog.messages)


def denial(*bodies: dict[str, Any], **start: Any) -> list[dict[str, Any]]:
    body = "websocket.http.response.body"
    return [
        {"type": "websocket.http.response.start", "status": 429, **start},
        *({"type": body, **each} for each in bodies),
    ]


async def test_denied(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app = answering(*denial({"body": b"later"}, headers=[(b"retry-after", b"5")]))
    async with running(app) as site:
        with pytest.raises(InvalidStatus) as caught:
            await connect(site.uri, proxy=None)
    response = caught.value.response
    assert (response.status_code, response.body) == (429, b"later")
    assert response.headers["Retry-After"] == "5"
    assert any(message.endswith('"WebSocket /" 429') for message in caplog.messages)


async def test_denied_in_pieces(running: Running) -> None:
    """The pieces leave as they are sent, and no faster than the client reads."""
    sent = 0
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await receive()
        events = denial(*([{"body": bytes(65536), "more_body": True}] * 400), {})
        for event in events:
            await send(event)
            sent += 1
            if sent == 2:
                await go.wait()

    async with running(app) as site:
        reader, writer = await site.raw()
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n10000\r\n")
            assert b"Transfer-Encoding: chunked" in head
            go.set()
            await until(lambda: site.protocol.write_paused)
            assert sent < 400
            rest = await reader.read()
        assert rest.count(0) == 400 * 65536
        assert rest.endswith(b"\r\n0\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        await site.idle()
    assert sent == 402


async def test_denied_in_part(running: Running) -> None:
    """The application ends before its response does: the client can tell that it is cut."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for event in denial({"body": b"a", "more_body": True}):
            await send(event)

    async with running(app) as site:
        assert (await site.ask()).endswith(b"\r\n\r\n1\r\na\r\n")


async def test_denied_without_a_body(running: Running) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(denial()[0])

    async with running(app) as site:
        assert (await site.ask()).startswith(b"HTTP/1.1 429 ")


async def test_client_leaves_while_it_is_denied(running: Running) -> None:
    failures: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        start, body = denial({"body": bytes(65536), "more_body": True})
        await send(start)
        try:
            while True:
                await send(body)
        except OSError as exc:
            failures.append(exc)

    async with running(app) as site:
        _, writer = await site.raw()
        await until(lambda: site.state.connections and getattr(site.protocol, "write_paused", 0))
        writer.transport.abort()
        await until(lambda: failures)


async def test_who_does_nothing_but_deny_hears_that_nobody_is_there(running: Running) -> None:
    failures: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        start, body = denial({"body": b"x", "more_body": True})
        await send(start)
        await send(body)
        site.protocol.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        try:
            for _ in range(5_000):
                await send(body)
        except OSError as exc:
            failures.append(exc)

    async with running(app) as site:
        await site.ask()
        await site.idle()
    assert len(failures) == 1


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (REQUEST.replace(b"Version: 13", b"Version: 12"), b"426"),
        (REQUEST.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), b"400"),
        (REQUEST.replace(b"\r\n\r\n", b"\r\nCookie: " + b"c" * 9000 + b"\r\n\r\n"), b"431"),
    ],
)
async def test_no_handshake(
    running: Running, caplog: pytest.LogCaptureFixture, request_: bytes, status: bytes
) -> None:
    """The application never hears of it; a line of the log does."""
    caplog.set_level(logging.INFO)
    app = Recorder()
    async with running(app) as site:
        assert (await site.ask(request_)).startswith(b"HTTP/1.1 " + status)
    assert app.events == []
    (line,) = [message for message in caplog.messages if "WebSocket" in message]
    assert f" {status.decode()}: " in line


# -- the application -------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [None, ValueError("the secret"), SystemExit(1)])
async def test_it_ends_before_it_answers(
    running: Running, caplog: pytest.LogCaptureFixture, error: BaseException | None
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if error is not None:
            raise error

    async with running(app) as site:
        answer = await site.ask()
    assert answer.startswith(b"HTTP/1.1 500 ") and answer.endswith(b"\r\nInternal Server Error")
    logged = "without completing handshake" if error is None else "Exception in ASGI application"
    assert logged in caplog.text
    assert (error is None) or type(error).__name__ in caplog.text


class Polite(WebSocketProtocol):
    RETURNED = 1000
    RAISED = 1011


@pytest.mark.parametrize(
    ("protocol", "code"), [(WebSocketProtocol, 1006), (Polite, 1011)], ids=["usual", "polite"]
)
async def test_it_fails(
    running: Running, caplog: pytest.LogCaptureFixture, protocol: Any, code: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send(SOMETHING)
        raise ValueError("the secret")

    async with running(app, protocol) as site, connect(site.uri, proxy=None) as ws:
        assert await ws.recv() == "x"
        with pytest.raises(ConnectionClosedError):
            await ws.recv()
        assert ws.close_code == code
    assert "the secret" in caplog.text


@pytest.mark.parametrize(
    ("protocol", "code"), [(WebSocketProtocol, 1006), (Polite, 1000)], ids=["usual", "polite"]
)
@pytest.mark.parametrize("value", [None, 5])
async def test_it_returns(
    running: Running, caplog: pytest.LogCaptureFixture, protocol: Any, code: int, value: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> Any:
        await send({"type": "websocket.accept"})
        await send(SOMETHING)
        return value

    async with running(app, protocol) as site, connect(site.uri, proxy=None) as ws:
        assert await ws.recv() == "x"
        await ws.wait_closed()
        assert ws.close_code == code
    assert ("should return None, but returned '5'" in caplog.text) is (value == 5)


async def test_cancelled(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """That is what uvicorn does with applications that take too long to stop."""
    async with running(answering({"type": "websocket.accept"})) as site:
        async with connect(site.uri, proxy=None) as ws:
            await until(lambda: site.protocol.session)
            (task,) = site.state.tasks
            task.cancel()
            await ws.wait_closed()
        await site.idle()
    assert "Exception" not in caplog.text


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([SOMETHING], "Expected ASGI message 'websocket.accept', 'websocket.close' or"),
        ([{"type": "websocket.nonsense"}], "but got 'websocket.nonsense'"),
        ([{"type": "websocket.accept"}] * 2, "Expected ASGI message 'websocket.send' or"),
        (
            [{"type": "websocket.accept"}, {"type": "websocket.close"}, SOMETHING],
            "Unexpected ASGI message 'websocket.send', after sending 'websocket.close'.",
        ),
        ([{"type": "websocket.close"}] * 2, "after sending 'websocket.close'."),
        ([*denial()] * 2, "Expected ASGI message 'websocket.http.response.body' but got"),
        ([*denial({}, {})], "after sending 'websocket.http.response.body'."),
        ([{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1006}], "1006"),
    ],
)
async def test_out_of_order(running: Running, events: list[Any], text: str) -> None:
    failures: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            for event in events:
                await send(event)
        except (RuntimeError, ValueError) as exc:
            failures.append(exc)

    async with running(app) as site:
        _, writer = await site.raw()
        await until(lambda: failures)
        writer.close()
        await writer.wait_closed()
    assert text in str(failures[0])


async def test_context_variables_may_be_reset(running: Running) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(variable.get())
        await send({"type": "websocket.close"})

    for reset in (False, True):
        token = variable.set("of whoever started the server")
        async with running(app, reset_contextvars=reset) as site:
            variable.reset(token)
            await site.ask()
    assert seen == ["of whoever started the server", "unset"]


# -- the end ---------------------------------------------------------------------------------------


@pytest.mark.every_loop
async def test_the_peer_closes(running: Running) -> None:
    app = Recorder()
    async with running(app) as site:
        ws = await connect(site.uri, proxy=None)
        await ws.send("last words")
        await ws.close(4001, "enough")
        await site.idle()
        end = {"type": "websocket.disconnect", "code": 4001, "reason": "enough"}
        assert app.events[1:] == [{"type": "websocket.receive", "text": "last words"}, end]
        assert await app.receive() == end  # as often as it is asked
        with pytest.raises(OSError):
            await app.send(SOMETHING)
        await app.send({"type": "websocket.close"})  # there is nothing left to do


async def test_the_peer_is_lost(running: Running) -> None:
    app = Recorder()
    async with running(app) as site:
        ws = await connect(site.uri, proxy=None)
        ws.abort()
        await site.idle()
    assert app.events[1:] == [{"type": "websocket.disconnect", "code": 1006}]


async def test_the_client_leaves_before_it_is_accepted(running: Running) -> None:
    events: list[Any] = []
    failures: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        events.extend([await receive(), await receive()])
        try:
            await send({"type": "websocket.accept"})
        except OSError as exc:
            failures.append(exc)

    async with running(app) as site:
        _, writer = await site.raw()
        await until(lambda: site.state.tasks)
        writer.transport.abort()
        await site.idle()
    assert events[1] == {"type": "websocket.disconnect", "code": 1006}
    assert failures


async def test_messages_before_the_answer(running: Running) -> None:
    """A client that does not wait for its 101 is heard; but not without a bound."""
    go = asyncio.Event()
    app = Recorder()

    async def later(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await app(scope, receive, send)

    async with running(later) as site:
        _, writer = await site.raw()
        await until(lambda: site.state.tasks)
        writer.write(b"\x81\x82\0\0\0\0hi")
        await until(lambda: site.protocol.early)
        go.set()
        await until(lambda: len(app.events) == 2)
        writer.close()
        await writer.wait_closed()
        assert app.events[1] == {"type": "websocket.receive", "text": "hi"}

    go.clear()
    async with running(later) as site:
        reader, writer = await site.raw()
        await until(lambda: site.state.tasks)
        writer.write(bytes(2 << 20))
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()
        go.set()


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (3001, "grüße"), (None, None)])
async def test_it_closes(running: Running, code: int | None, reason: str | None) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": code, "reason": reason})
        events.append(await receive())

    async with running(app) as site, connect(site.uri, proxy=None) as ws:
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert (ws.close_code, ws.close_reason) == (code or 1000, reason or "")
    end = {"type": "websocket.disconnect", "code": code or 1000, "reason": reason or ""}
    assert events == [end]


async def test_another_task_hears_of_its_own_close(running: Running) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        tasks = [asyncio.create_task(receive()) for _ in range(2)]
        await asyncio.sleep(0)
        await send({"type": "websocket.close", "code": 4000})
        for task in tasks:
            assert (await task)["code"] == 4000
        seen.append(len(tasks))

    seen: list[int] = []
    async with running(app) as site:
        _, writer = await site.raw()  # which does not answer the Close
        await until(lambda: seen)
        writer.close()
        await writer.wait_closed()


async def test_too_big(running: Running) -> None:
    app = Recorder()
    async with running(app, ws_max_size=10) as site, connect(site.uri, proxy=None) as ws:
        await ws.send("x" * 10)
        await ws.send("x" * 11)
        with pytest.raises(ConnectionClosedError):
            await ws.recv()
        assert ws.close_code == 1009
        await until(lambda: app.ended)
    assert app.events[1] == {"type": "websocket.receive", "text": "x" * 10}
    assert app.events[2]["code"] == 1009


async def test_keepalive(running: Running) -> None:
    """A client that answers no Ping is dropped, and the application hears why."""
    app = Recorder()
    async with running(app, ws_ping_interval=0.05, ws_ping_timeout=0.05) as site:
        reader, writer = await site.raw()
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b"\r\n\r\n")
            received = await reader.read()
        assert received[:2] == b"\x89\x04"  # a Ping
        assert b"keepalive ping timeout" in received
        writer.close()
        await site.idle()
    assert app.events[1]["code"] == 1011


@pytest.mark.parametrize("interval", [None, 0, 0.0])
async def test_no_keepalive(running: Running, interval: float | None) -> None:
    async with (
        running(echo, ws_ping_interval=interval) as site,
        connect(site.uri, proxy=None),
    ):
        assert site.protocol.session.keepalive is None


# -- uvicorn stops ---------------------------------------------------------------------------------


async def test_shutdown(running: Running) -> None:
    app = Recorder()
    async with running(app) as site, connect(site.uri, proxy=None) as ws:
        site.protocol.shutdown()
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert ws.close_code == 1012
        await site.idle()
    assert app.events[1:] == [{"type": "websocket.disconnect", "code": 1012}]


async def test_shutdown_before_the_answer(running: Running) -> None:
    failures: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()
        try:
            await send({"type": "websocket.accept"})
        except OSError as exc:
            failures.append(exc)

    async with running(app) as site:
        reader, writer = await site.raw()
        await until(lambda: site.state.tasks)
        site.protocol.shutdown()
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).startswith(b"HTTP/1.1 500 ")
        writer.close()
        await writer.wait_closed()
    assert failures


async def test_shutdown_while_it_closes(running: Running) -> None:
    app = answering({"type": "websocket.accept"}, {"type": "websocket.close"})
    async with running(app) as site:
        reader, writer = await site.raw()
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b"\x88\x02\x03\xe8")
            site.protocol.shutdown()
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_trace(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(TRACE_LOG_LEVEL, "uvicorn.error")
    async with running(echo) as site, connect(site.uri, proxy=None) as ws:
        host, port = ws.local_address[:2]
    assert f"{host}:{port} - WebSocket connection made" in caplog.messages
    assert f"{host}:{port} - WebSocket connection lost" in caplog.messages


async def test_settings_of_a_server_are_made_once(running: Running) -> None:
    made: list[Setting] = []
    async with running(echo, ws_max_size=5, ws_max_queue=6) as site:
        for _ in range(2):
            async with connect(site.uri, proxy=None):
                made.append(site.protocol.setting)
            await site.idle()
    assert made[0] is made[1]
    assert (made[0].limits.max_message, made[0].limits.queue_messages) == (5, 6)


class Patient(WebSocketProtocol):
    LIMITS = WebSocketProtocol.LIMITS.replace(message_timeout=300, max_message=1)


async def test_other_bounds_are_those_of_a_subclass(running: Running) -> None:
    async with running(echo, Patient) as site, connect(site.uri, proxy=None):
        assert site.protocol.limits.message_timeout == 300
        assert site.protocol.limits.max_message == 16 * 1024 * 1024  # uvicorn's


async def test_observer(running: Running) -> None:
    seen: list[Any] = []

    class Watching(Observer):
        def opened(self, connection: Any) -> None:
            seen.append("opened")

        def refused(self, connection: Any, request: Any, status: int) -> None:
            seen.append((status, request.path))

        def ended(self, connection: Any) -> None:
            seen.append(connection.traffic.messages_received)

    class Watched(WebSocketProtocol):
        OBSERVER = Watching()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/denied":
            await receive()
            for event in denial({}):
                await send(event)
        elif scope["path"] == "/":
            await echo(scope, receive, send)
        else:
            await send({"type": "websocket.close"})

    async with running(app, Watched) as site:
        async with connect(site.uri, proxy=None) as ws:
            await ws.send("x")
            await ws.recv()
        await site.idle()
        for path in (b"/denied", b"/closed"):
            await site.ask(REQUEST.replace(b"/", path, 1))
        await site.ask(REQUEST.replace(b"Version: 13", b"Version: 12"))
    assert seen == ["opened", 1, (429, "/denied"), (403, "/closed"), (426, "/")]


async def test_a_configuration_that_makes_no_sense() -> None:
    config = Config(echo, ws_max_queue=0, log_config=None)
    with pytest.raises(ValueError, match="queue_messages must be positive"):
        WebSocketProtocol(config, ServerState(), {})
