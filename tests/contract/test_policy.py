"""Who may come in: origins, hosts, authentication, routes; the same on every front."""

from __future__ import annotations

import base64
import logging
import re
import types

import pytest

from duplexer import ANY_ORIGIN, SAME_HOST, ConnectionClosed, InvalidStatus, Limits
from duplexer.carriers.routes import text
from duplexer.driver import admission
from duplexer.driver.tickets import Tickets
from duplexer.http.messages import make_response
from duplexer.policy.authentication import Grant
from duplexer.policy.basic import Basic
from duplexer.policy.bearer import Bearer
from duplexer.policy.router import Router
from tests.contract.peers import PING, PONG, TEXT

pytestmark = pytest.mark.plain_only

HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
PATIENT = Limits(open_timeout=60.0, first_message_timeout=60.0)


async def who(ws):
    await ws.send(f"{ws.user} {ws.subprotocol}")
    await ws.wait_closed()


async def closed(ws):
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await ws.recv()
    return caught.value.rcvd


async def refused(front, server, **kwargs):
    with pytest.raises(InvalidStatus) as caught:
        await front.connect(server, **kwargs)
    return caught.value.response


async def answer(front, server, *headers, path="/", host=None):
    """The status line and the rest of the answer to a handshake, up to the end of the stream."""
    async with front.raw(server, handshake=False) as peer:
        address = server.sockets[0].getsockname()
        host = host or f"127.0.0.1:{address[1]}"
        lines = "".join(f"{header}\r\n" for header in headers)
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{HANDSHAKE}{lines}\r\n".encode()

        def exchange():
            peer.send_bytes(request)
            head = peer.read_head()
            if head.startswith(b"HTTP/1.1 101"):
                return 101, head
            peer.send_bytes(request)  # of whatever follows a refusal there is no answer
            try:
                while data := peer.sock.recv(65536):
                    peer.buffer += data
            except ConnectionResetError:
                pass
            assert b"HTTP/1.1" not in peer.buffer
            return int(head[9:12]), head + peer.buffer

        return await front.thread(exchange)


# -- origins and hosts ---------------------------------------------------------------------------


async def test_pages_of_the_same_host_by_default(front):
    async with front.serve(who) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await answer(front, server))[0] == 101
        for origin, host, status in (
            (f"http://127.0.0.1:{port}", None, 101),
            (f"http://127.0.0.1:{port + 1}", None, 403),
            ("http://127.0.0.1", None, 403),
            ("null", None, 403),
            ("", None, 403),
            ("http://a:b", None, 403),
            (f"http://127.0.0.1:{port}.evil.test", None, 403),
            ("http://EXAMPLE.com", "example.com:80", 101),
            ("https://example.com", "example.com", 101),
            ("https://sub.example.com", "example.com", 403),
        ):
            found = await answer(front, server, f"Origin: {origin}", host=host)
            assert found[0] == status, (origin, found)
            if status == 403:
                assert b"see origins=" in found[1] and b"Connection: close\r\n" in found[1]


@pytest.mark.parametrize("origins", [ANY_ORIGIN, None])
async def test_pages_of_any_site(front, origins):
    async with front.serve(who, origins=origins) as server:
        assert (await answer(front, server, "Origin: http://evil.test"))[0] == 101


async def test_pages_of_some_sites(front):
    origins = [SAME_HOST, "https://a.test", re.compile(r"https://[a-z]+\.b\.test")]
    async with front.serve(who, origins=origins) as server:
        for origin, status in (("https://a.test", 101), ("https://x.b.test", 101),
                               ("https://b.test", 403), ("https://x.b.test.c", 403)):  # fmt: skip
            assert (await answer(front, server, f"Origin: {origin}"))[0] == status, origin
        assert (await answer(front, server))[0] == 101


async def test_names_that_are_not_ours(front):
    async with front.serve(who, allowed_hosts=["localhost", "*.example.com"]) as server:
        for host, status in (("localhost:1", 101), ("a.example.com", 101), ("evil.test", 421)):
            origin = f"Origin: http://{host}"
            assert (await answer(front, server, origin, host=host))[0] == status, host


# -- authenticate --------------------------------------------------------------------------------


async def test_a_function_says_who_it_is(front):
    seen = []

    async def authenticate(ws, request):
        seen.append((ws.user, request is ws.request))
        return {"name": request.path[1:]}

    async with front.serve(who, authenticate=authenticate) as server:
        async with front.connect(front.uri(server, "/ada")) as ws:
            assert await ws.recv() == "{'name': 'ada'} None"
        async with front.connect(front.uri(server, "/bob")) as ws:
            assert await ws.recv() == "{'name': 'bob'} None"
        assert seen == [(None, True), (None, True)]


async def test_a_function_that_gives_back_no_user(front):
    answers = {
        "/none": None,
        "/false": False,
        "/late": Grant("ada", 1.0),
        "/busy": make_response(429, b"later"),
    }
    async with front.serve(who, authenticate=lambda ws, request: answers[request.path]) as server:
        for path, status in (("/none", 403), ("/false", 403), ("/late", 403), ("/busy", 429)):
            assert (await answer(front, server, path=path))[0] == status
        assert not server.connections


async def test_a_function_that_fails_is_logged(front, unlogged):
    def authenticate(ws, request):
        raise ZeroDivisionError("private")

    async with front.serve(who, authenticate=authenticate) as server:
        status, rest = await answer(front, server)
        assert status == 500 and b"private" not in rest
        await front.until(lambda: unlogged)
    assert [type(record.exc_info[1]) for record in unlogged] == [ZeroDivisionError]
    unlogged.clear()


async def test_nobody_is_asked_about_what_is_refused_anyway(front):
    def authenticate(ws, request):
        raise AssertionError("asked")

    async with front.serve(who, authenticate=authenticate, http={"/": text("hello")}) as server:
        assert (await answer(front, server, "Origin: http://evil.test"))[0] == 403
        assert (await answer(front, server, "Sec-WebSocket-Key: twice"))[0] == 400


async def test_user_names_and_passwords(front):
    async with front.serve(who, authenticate=Basic([("ada", "pass"), ("bob", "x")])) as server:
        async with front.connect(server, auth=("ada", "pass")) as ws:
            assert await ws.recv() == "ada None"
        response = await refused(front, server)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic realm=")


async def test_a_token_wherever_it_is(front, caplog):
    caplog.set_level(logging.DEBUG, "duplexer")
    seen = []

    async def handler(ws):
        seen.append(repr(ws.request) + repr(ws.response) + str(ws.request.headers) + repr(ws))
        await who(ws)

    bearer = Bearer({"s3cret": "ada"}, via=["header", "subprotocol", "cookie", "query"])
    async with front.serve(handler, authenticate=bearer) as server:
        uri = front.uri(server, "/x?ticket=s3cret")
        for where, kwargs, subprotocol in (
            (server, {"auth": "s3cret"}, None),
            (server, {"subprotocols": ["bearer", "s3cret"]}, "bearer"),
            (server, {"additional_headers": {"Cookie": "a=b; token=s3cret"}}, None),
            (uri, {}, None),
        ):
            async with front.connect(where, **kwargs) as ws:
                assert await ws.recv() == f"ada {subprotocol}"
        response = await refused(front, server, auth="s3cre")
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].endswith('error="invalid_token"')
        await refused(front, front.uri(server, "/?ticket=s3cret&ticket=s3cret"))
    assert len(seen) == 4
    servers = [r.getMessage() for r in caplog.records if r.name == "duplexer.server"]
    assert "s3cret" not in " ".join(seen + servers)


async def test_a_ticket_is_good_for_once(front):
    tickets = Tickets()
    bearer = Bearer(tickets.redeem, via="query")
    async with front.serve(who, authenticate=bearer) as server:
        uri = front.uri(server, f"/?ticket={tickets.issue('ada')}")
        # What is refused anyway does not use it up.
        assert (await answer(front, server, "Origin: http://evil.test", path=uri[-52:]))[0] == 403
        async with front.connect(uri) as ws:
            assert await ws.recv() == "ada None"
        assert (await refused(front, uri)).status_code == 401


# -- the first message ---------------------------------------------------------------------------

MESSAGE = Bearer({"s3cret": "ada"}, via=["header", "message"])


async def test_a_token_in_the_first_message(front):
    async def echo(ws):
        await ws.send(ws.user)
        async for message in ws:
            await ws.send(message)

    async with front.serve(echo, authenticate=MESSAGE, limits=PATIENT) as server:
        async with front.connect(server) as ws:
            await ws.send("s3cret")
            await ws.send("x" * 100_000)  # only the first one has to be short
            assert await ws.recv() == "ada"
            assert await ws.recv() == "x" * 100_000
        async with front.connect(server, auth="s3cret") as ws:
            assert await ws.recv() == "ada"


async def test_a_token_right_behind_the_handshake(front):
    async with front.serve(who, authenticate=MESSAGE, limits=PATIENT) as server:
        async with front.raw(server) as peer:
            await front.thread(
                peer.send_bytes, peer.frame(PING, b"p") + peer.frame(TEXT, b"s3cret")
            )
            pong = await front.thread(peer.recv)
            assert (pong.opcode, pong.payload) == (PONG, b"p")
            assert (await front.thread(peer.recv)).payload == b"ada None"


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("wrong", 3000, "wrong token"),
        (b"s3cret", 3000, "wrong token"),
        ("x" * 9000, 1009, None),
    ],
)
async def test_a_wrong_first_message(front, message, code, reason):
    handled = []
    async with front.serve(handled.append, authenticate=MESSAGE, limits=PATIENT) as server:
        async with front.connect(server) as ws:
            await ws.send(message)
            close = await closed(ws)
            assert close.code == code and reason in (None, close.reason)
        struck = {"first_message": 1} if code == 1009 else {}
        await front.until(lambda: not server.connections and server.struck == struck)
    assert not handled


async def test_guesses_after_the_handshake(front):
    asked = []

    def verify(token):
        asked.append(token)
        return "ada" if token == "s3cret" else None

    async def handler(ws):
        await ws.send("in")
        async for token in ws:
            await ws.send(str(ws.renew(token)))

    bearer = Bearer(verify, via=["header", "message"])
    limits = PATIENT.replace(failure_rate=0.001, failure_burst=3)
    async with front.serve(handler, authenticate=bearer, limits=limits) as server:
        async with front.connect(server, auth="s3cret") as ws:
            assert await ws.recv() == "in"
            await ws.send("guess")
            assert await ws.recv() == "False"
            for guess, code in (("one", 3000), ("two", 3000)):
                async with front.connect(server) as stranger:
                    await stranger.send(guess)
                    assert (await closed(stranger)).code == code
            await ws.send("s3cret")
            assert await ws.recv() == "False"
        assert (await answer(front, server))[0] == 429
    assert asked == ["s3cret", "guess", "one", "two"]


async def test_no_first_message(front):
    handled = []
    limits = PATIENT.replace(first_message_timeout=0.1)
    async with front.serve(handled.append, authenticate=MESSAGE, limits=limits) as server:
        async with front.connect(server) as ws:
            close = await closed(ws)
            assert (close.code, close.reason) == (3008, "no token came in time")
        async with front.connect(server):
            pass  # who leaves without a word is no failure
        await front.until(lambda: server.struck == {"first_message_timeout": 1})
    assert not handled


# -- for how long --------------------------------------------------------------------------------


@pytest.fixture
def stopped_clock(monkeypatch):
    """The time of tokens; that of connections goes on."""
    monkeypatch.setattr(admission, "time", types.SimpleNamespace(time=lambda: 1000.0))


async def test_a_token_expires(front, stopped_clock):
    def verify(token):
        return Grant("ada", 1000.2)

    for via, kwargs in (("header", {"auth": "x"}), ("message", {})):
        bearer = Bearer(verify, via=via)
        async with front.serve(who, authenticate=bearer, limits=PATIENT) as server:
            async with front.connect(server, **kwargs) as ws:
                if via == "message":
                    await ws.send("x")
                assert await ws.recv() == "ada None"
                close = await closed(ws)
                assert (close.code, close.reason) == (3000, "token expired")


async def test_another_token_takes_its_place(front, stopped_clock, unlogged):
    grants = {
        "first": Grant("ada", 5000.0),
        "stolen": Grant("bob", 6000.0),
        "second": Grant("ada, still", 1000.2),
    }

    def same_user(old, new):
        return old[:3] == new[:3]

    async def handler(ws):
        async for message in ws:
            await ws.send(f"{ws.renew(message)}, {ws.user}")

    bearer = Bearer(grants.get, same_user=same_user)
    async with front.serve(handler, authenticate=bearer, limits=PATIENT) as server:
        async with front.connect(server, auth="first") as ws:
            for token in ("wrong", "stolen"):
                await ws.send(token)
                assert await ws.recv() == "False, ada"
            await ws.send("second")
            assert await ws.recv() == "True, ada, still"
            assert (await closed(ws)).code == 3000
    (record,) = unlogged
    assert "another user" in record.getMessage() and "bob" not in record.getMessage()
    unlogged.clear()


# -- routes --------------------------------------------------------------------------------------


async def test_routes(front):
    router = Router()

    @router.route("/rooms/{room}/{n:int}", subprotocols=["chat"])
    async def room(ws, room, n):
        await ws.send(f"{room!r} {n!r} {ws.subprotocol} {ws.user} {dict(ws.path_parameters)}")

    @router.route("/small", limits=Limits(max_message=5, open_timeout=60.0))
    async def small(ws):
        async for message in ws:
            await ws.send(message)

    @router.route("/secret", authenticate=Bearer({"s3cret": "ada"}), origins=["http://a.test"])
    async def secret(ws):
        await ws.send(ws.user)

    async with front.serve(router, http={"/page": text("hello\n")}) as server:
        uri = front.uri(server, "/rooms/caf%C3%A9/7?x=y")
        async with front.connect(uri, subprotocols=["x", "chat"]) as ws:
            assert await ws.recv() == "'café' 7 chat None {'room': 'café', 'n': 7}"
        async with front.connect(front.uri(server, "/small")) as ws:
            await ws.send("12345")
            assert await ws.recv() == "12345"
            await ws.send("123456")
            assert (await closed(ws)).code == 1009
        for path, status in (
            ("/", 404),
            ("/rooms/a/b", 404),
            ("/rooms/../7", 404),
            ("/rooms/..%2F..%2Fetc/7", 404),
            ("/small/", 404),
            ("/page", 404),
            ("/rooms/a/1", 400),  # without its subprotocol
            ("/secret", 403),  # without Origin
        ):
            assert (await answer(front, server, path=path))[0] == status, path
        page = "Origin: http://a.test"
        assert (await answer(front, server, page, path="/secret"))[0] == 401
        token = "Authorization: Bearer s3cret"
        assert (await answer(front, server, page, token, path="/secret"))[0] == 101


async def test_messages_of_one_route(front):
    router = Router()
    slow = Limits(message_rate=0.001, message_burst=2, open_timeout=60.0)

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    router.add("/slow", echo, limits=slow)
    router.add("/fast", echo, limits=PATIENT)
    async with front.serve(router, limits=slow.replace(message_burst=1)) as server:
        for path, most in (("/slow", 2), ("/fast", 5)):
            async with front.connect(front.uri(server, path)) as ws:
                for n in range(most):
                    await ws.send(str(n))
                    assert await ws.recv() == str(n)
                if path == "/slow":
                    await ws.send("one more")
                    assert (await closed(ws)).code == 1008
    async with front.serve(router) as server, front.connect(front.uri(server, "/slow")) as ws:
        for _ in range(3):
            await ws.send("x")
        assert (await closed(ws)).code == 1008


async def test_basic_credentials_are_not_seen(front):
    seen = []

    async def handler(ws):
        seen.append(ws.request.headers["Authorization"])

    async with front.serve(handler, authenticate=Basic(("ada", "pass"))) as server:
        header = base64.b64encode(b"ada:pass").decode()
        assert (await answer(front, server, f"Authorization: Basic {header}"))[0] == 101
        await front.until(lambda: seen)
    assert seen == ["Basic ***"]


async def test_who_has_not_come_in_hears_nothing(front):
    async with front.serve(who, authenticate=MESSAGE, limits=PATIENT) as server:
        async with front.connect(server) as ws, front.connect(server, auth="s3cret") as friend:
            assert await friend.recv() == "ada None"
            await front.until(lambda: len(server.connections) == 2)
            front.names.broadcast(server.connections, "for friends")
            assert await friend.recv() == "for friends"
            await ws.send("s3cret")
            assert await ws.recv() == "ada None"
            front.names.broadcast(server.connections, "for friends")
            assert await ws.recv() == "for friends"
