"""Opening a connection: what both sides may ask for, how it is refused, how long it may take."""

from __future__ import annotations

import ssl

import pytest
import trustme

from duplexer import Headers, InvalidHandshake, InvalidStatus, InvalidURI, Limits, Response, State
from duplexer.driver.retry import Retry
from duplexer.errors import HttpError, NegotiationError
from tests.contract.peers import TEXT


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def name(ws):
    await ws.send(str(ws.subprotocol))


@pytest.mark.parametrize(
    ("served", "asked", "agreed"),
    [
        (["b", "a"], ["a", "b"], {"a", "b"}),
        (["a"], ["b", "a"], {"a"}),
        (None, ["a"], {None}),
        (None, None, {None}),
    ],
)
async def test_subprotocols(front, served, asked, agreed):
    async with front.serve(name, subprotocols=served) as server:
        async with front.connect(server, subprotocols=asked) as ws:
            assert ws.subprotocol in agreed
            assert await ws.recv() == str(ws.subprotocol)


async def test_a_client_that_asks_for_no_subprotocol_where_there_are_some(front):
    async with front.serve(name, subprotocols=["a"]) as server:
        for asked in (None, ["b"]):
            with pytest.raises(InvalidStatus) as caught:
                await front.connect(server, subprotocols=asked)
            assert caught.value.response.status_code == 400
            assert b"subprotocol" in caught.value.response.body


async def test_the_server_may_choose_the_subprotocol(front):
    def select(ws, offered):
        assert ws.request.path == "/"
        return offered[-1]

    async with front.serve(name, subprotocols=["a", "b"], select_subprotocol=select) as server:
        async with front.connect(server, subprotocols=["a", "b"]) as ws:
            assert ws.subprotocol == "b"


async def test_a_subprotocol_that_nobody_asked_for(front):
    async with front.raw_listener() as listener:
        headers = "Sec-WebSocket-Protocol: surprise\r\n"
        accepting = front.spawn(front.thread(listener.accept, headers=headers))
        with pytest.raises((InvalidHandshake, NegotiationError)):
            await front.connect(listener)
        (await accepting).close()


async def test_headers_and_what_is_known_of_the_handshake(front):
    seen = []

    def process_response(ws, request, response):
        response.headers["X-Server"] = "yes"

    async def handler(ws):
        seen.append(ws)
        await ws.wait_closed()

    async with front.serve(handler, process_response=process_response) as server:
        headers = {"X-Client": "é".encode("latin-1").decode("latin-1"), "X-Two": "2"}
        uri = front.uri(server, "/path?query=1")
        async with front.connect(uri, additional_headers=headers, origin=None) as ws:
            await front.until(lambda: seen)
            for end in (ws, seen[0]):
                assert end.request.path == "/path?query=1"
                assert end.request.headers["X-Two"] == "2"
                assert end.response.status_code == 101
                assert end.response.headers["X-Server"] == "yes"
                assert end.state is State.OPEN
                assert end.close_code is None and end.close_reason is None
            assert isinstance(ws.request.headers, Headers)
            assert ws.id != seen[0].id
            assert ws.remote_address[:2] == server.sockets[0].getsockname()[:2]
            assert ws.local_address[:2] == seen[0].remote_address[:2]
            for end in (ws, seen[0]):
                assert str(end.id) in repr(end) and "OPEN" in repr(end)
                assert str(end.remote_address) in repr(end)


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_process_request_may_answer_itself(front, kind):
    def answer(ws, request):
        if request.path == "/health":
            return ws.respond(503, "not well\n")
        return None

    async def answer_later(ws, request):
        await front.turns()
        return answer(ws, request)

    process = answer if kind == "plain" else answer_later
    async with front.serve(echo, process_request=process) as server:
        with pytest.raises(InvalidStatus) as caught:
            await front.connect(front.uri(server, "/health"))
        response = caught.value.response
        assert (response.status_code, response.body) == (503, b"not well\n")
        async with front.connect(server) as ws:
            await ws.send("fine")
            assert await ws.recv() == "fine"


async def test_process_request_may_make_its_own_response(front):
    def process(ws, request):
        return Response(418, "I'm a teapot", Headers({"X-Pot": "short"}), b"stout")

    async with front.serve(echo, process_request=process) as server:
        with pytest.raises(InvalidStatus) as caught:
            await front.connect(server)
        response = caught.value.response
        assert response.status_code == 418
        assert response.headers["X-Pot"] == "short"
        assert response.body == b"stout"


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), HttpError(403, "not you")])
async def test_process_request_may_raise(front, kind, error, unlogged):
    def fail(ws, request):
        raise error

    async def fail_later(ws, request):
        await front.turns()
        raise error

    async with front.serve(echo, process_request=fail if kind == "plain" else fail_later) as server:
        with pytest.raises(InvalidStatus) as caught:
            await front.connect(server)
        response = caught.value.response
        if isinstance(error, HttpError):
            assert response.status_code == 403
            assert b"not you" in response.body
        else:
            assert response.status_code == 500
            assert b"secret" not in response.body
            await front.until(lambda: unlogged)
            assert [record.exc_info[1] for record in unlogged] == [error]
            unlogged.clear()


async def test_what_comes_with_the_handshake_is_not_lost(front):
    """Frames in the same segment as the request, while an async hook still runs."""
    got = []

    async def process_request(ws, request):
        await front.turns(20)

    async def handler(ws):
        got.extend([await ws.recv(), await ws.recv()])

    async with front.serve(handler, process_request=process_request) as server:
        async with front.raw(server, handshake=False) as peer:
            request = (
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n"
            )
            wire = request + peer.frame(TEXT, b"one") + peer.frame(TEXT, b"two")
            await front.thread(peer.send_bytes, wire)
            await front.thread(peer.read_head)
            assert await front.thread(peer.recv_close) == (1000, "")
    assert got == ["one", "two"]


async def test_what_the_server_says_with_its_answer_is_not_lost(front):
    async with front.raw_listener() as listener:
        extra = listener.accept
        connecting = front.spawn(opened(front.connect(listener)))
        peer = await front.thread(extra)
        await front.thread(peer.send_bytes, peer.frame(TEXT, b"at once") * 3)
        ws = await connecting
        assert [await ws.recv() for _ in range(3)] == ["at once"] * 3
        peer.close()
        await ws.wait_closed()


async def opened(connecting):
    return await connecting


async def test_a_client_does_not_wait_for_ever_to_be_let_in(front):
    async with front.raw_listener() as listener:
        accepting = front.spawn(front.thread(listener.accept, handshake=False))
        started = front.now()
        with pytest.raises(TimeoutError, match="opening handshake"):
            await front.connect(listener, open_timeout=0.15)
        assert front.now() - started < 2
        (await accepting).close()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_server_does_not_wait_for_ever_for_a_request(front, sent):
    async with front.serve(echo, open_timeout=0.15, close_timeout=0.15) as server:
        async with front.raw(server, handshake=False) as peer:
            started = front.now()
            await front.thread(peer.send_bytes, sent)
            data = await front.thread(peer.sock.recv, 65536)
            assert data == b"" or data.startswith(b"HTTP/1.1 408 ")
            assert front.now() - started < 2
            peer.close()
            await front.until(lambda: not server.opening)


async def test_a_server_that_says_nothing_and_leaves(front):
    async with front.raw_listener() as listener:
        connecting = front.spawn(opened(front.connect(listener)))
        peer = await front.thread(listener.accept, handshake=False)
        peer.close()
        with pytest.raises((InvalidHandshake, OSError)):
            await connecting


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]
)
async def test_a_server_that_is_none(front, answer):
    async with front.raw_listener() as listener:
        connecting = front.spawn(opened(front.connect(listener)))
        peer = await front.thread(listener.accept, handshake=False)
        await front.thread(peer.send_bytes, answer)
        peer.close()
        with pytest.raises(InvalidHandshake):
            await connecting


async def test_nobody_listens(front):
    async with front.raw_listener() as listener:
        uri = front.uri(listener)
    with pytest.raises(OSError, match=r".+"):
        await front.connect(uri)


@pytest.mark.plain_only
async def test_an_address_that_is_none(front):
    for uri in ("http://localhost", "ws://", "localhost", "ws://localhost/#fragment", "ws://a b/"):
        with pytest.raises(InvalidURI):
            front.connect(uri)


@pytest.mark.plain_only
async def test_arguments_that_are_wrong(front):
    for wrong in (
        {"ping_interval": -1},
        {"max_size": 0},
        {"compression": "gzip"},
        {"subprotocols": ["not a token"]},
        {"additional_headers": {"X": "a\r\nb"}},
    ):
        with pytest.raises(ValueError):
            front.connect("ws://localhost", **wrong)
    with pytest.raises(TypeError):
        front.connect("ws://localhost", open_timeout="soon")
    with pytest.raises(TypeError):
        front.connect("ws://localhost", subprotocols="chat")


async def test_too_many_connections(front):
    async with front.serve(echo, limits=Limits(max_connections=1)) as server:
        async with front.connect(server):
            with pytest.raises(InvalidStatus) as caught:
                await front.connect(server)
            assert caught.value.response.status_code == 503
        await front.until(lambda: not server.connections)
        async with front.connect(server):
            pass


async def test_a_foreign_origin_is_refused(front):
    async with front.serve(echo) as server:
        with pytest.raises(InvalidStatus) as caught:
            await front.connect(server, origin="https://evil.example")
        assert caught.value.response.status_code == 403
        own = front.uri(server).replace("ws", "http", 1).rstrip("/")
        async with front.connect(server, origin=own):
            pass
    async with front.serve(echo, origins=["https://good.example"]) as server:
        async with front.connect(server, origin="https://good.example"):
            pass
        with pytest.raises(InvalidStatus):
            await front.connect(server, origin=own)


# -- TLS -------------------------------------------------------------------------------------------


async def test_a_certificate_that_is_not_trusted(front):
    if not front.secure:
        return
    async with front.serve(echo) as server:
        stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trustme.CA().configure_trust(stranger)
        with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)verify.failed"):
            await front.connect(server, ssl=stranger)
        front.forgiven.append("SSL handshake failed")
        await front.until(lambda: not server.opening and not server.connections)
        async with front.connect(server) as ws:
            await ws.send("trusted")
            assert await ws.recv() == "trusted"


async def test_a_certificate_for_another_host(front):
    if not front.secure:
        return
    async with front.serve(echo) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)hostname mismatch"):
            await front.connect(server, server_hostname="example.com")
        front.forgiven.append("SSL handshake failed")


async def test_plain_bytes_to_a_port_with_tls(front):
    if not front.secure:
        return
    async with front.serve(echo) as server:
        context, front.client_context = front.client_context, None
        async with front.raw(server, handshake=False) as peer:
            await front.thread(peer.send_bytes, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await front.thread(drained, peer)
        front.forgiven.append("SSL handshake failed")
        front.client_context = context
        await front.until(lambda: not server.opening)
        async with front.connect(server):
            pass


def drained(peer):
    try:
        while peer.sock.recv(65536):
            pass
    except OSError:
        pass


# -- Unix sockets ----------------------------------------------------------------------------------


async def test_unix_sockets(front, tmp_path):
    path = str(tmp_path / "socket")
    async with front.serve(echo, path=path), front.unix_connect(path) as ws:
        await ws.send("through a file")
        assert await ws.recv() == "through a file"
        assert ws.request.headers["Host"] == "localhost"
        await ws.close()
        assert ws.close_code == 1000


# -- connecting again and again --------------------------------------------------------------------


async def test_iterating_connect_reconnects(front):
    served = []

    async def handler(ws):
        served.append(ws)
        await ws.send(str(len(served)))

    refusals = [500, 503, None, 502]

    def process_request(ws, request):
        status = refusals.pop() if refusals else None
        return None if status is None else ws.respond(status, "not yet")

    got = []
    async with front.serve(handler, process_request=process_request) as server:
        async with front.timeout():
            async for ws in front.connect(server, retry=Retry(base=0.01)):
                got.extend([message async for message in ws])
                if len(got) == 3:
                    break
            await front.until(lambda: not server.connections)
    assert got == ["1", "2", "3"]
    assert refusals == []


async def test_iterating_connect_stops_at_an_error_that_is_final(front):
    def process_request(ws, request):
        return ws.respond(404, "nothing here")

    async with front.serve(echo, process_request=process_request) as server:
        with pytest.raises(InvalidStatus):
            async for _ in front.connect(server):
                pass
        with pytest.raises(ZeroDivisionError):
            async for _ in front.connect(server, process_exception=lambda exc: ZeroDivisionError()):
                pass
