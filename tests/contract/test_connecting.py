"""What follows a refused handshake, where a connection goes, and what it says of itself."""

from __future__ import annotations

from http.cookiejar import CookieJar

import pytest

from duplexer import InvalidStatus, Limits
from duplexer.errors import SecurityError


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def who(ws):
    await ws.send(ws.request.path)


def with_headers(response, *headers):
    for name, value in headers:
        response.headers[name] = value
    return response


# -- redirects -----------------------------------------------------------------------------------


def redirecting(ws, request):
    """``/n`` leads to ``/n-1``, and ``/0`` is a WebSocket."""
    left = int(request.path.removeprefix("/"))
    if not left:
        return None
    return with_headers(ws.respond(302, "further on"), ("Location", f"/{left - 1}"))


async def test_redirects_are_followed_on_request(front):
    async with front.serve(who, process_request=redirecting) as server:
        async with front.connect(front.uri(server, "/3"), redirects=3) as ws:
            assert await ws.recv() == "/0"
        with pytest.raises(SecurityError, match="more than 2 redirects"):
            await front.connect(front.uri(server, "/3"), redirects=2)


async def test_redirects_are_not_followed_by_default(front):
    async with front.serve(who, process_request=redirecting) as server:
        with pytest.raises(InvalidStatus, match="redirects=") as caught:
            await front.connect(front.uri(server, "/3"))
        assert caught.value.response.headers["Location"] == "/2"


async def test_credentials_do_not_follow_to_another_origin(front, authority, monkeypatch, tmp_path):
    # Nor does ssl=: the other origin is one that the system trusts.
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    seen = []

    def look(ws, request):
        seen.append(request.headers)

    async with front.serve(who, process_request=look) as other:

        def send_there(ws, request):
            seen.append(request.headers)
            return with_headers(ws.respond(307, "there"), ("Location", front.uri(other, "/there")))

        async with front.serve(who, process_request=send_there) as first:
            async with front.connect(
                first, redirects=1, auth="secret", additional_headers={"X-Api-Key": "secret"}
            ) as ws:
                assert await ws.recv() == "/there"
    before, after = seen
    assert before["Authorization"] == "Bearer secret" and before["X-Api-Key"] == "secret"
    assert "secret" not in str(after)


# -- who it is -----------------------------------------------------------------------------------


def guarded(scheme, expected):
    def process_request(ws, request):
        if request.headers.get("Authorization") == expected:
            return None
        response = ws.respond(401, "who are you?")
        return with_headers(response, ("WWW-Authenticate", f'{scheme} realm="here"'))

    return process_request


async def test_a_401_is_answered(front):
    basic = guarded("Basic", "Basic dXNlcjpwYXNz")
    async with front.serve(echo, process_request=basic) as server:
        async with front.connect(server, auth=("user", "pass")) as ws:
            await ws.send("let in")
            assert await ws.recv() == "let in"
        for auth in (None, ("user", "wrong")):
            with pytest.raises(InvalidStatus, match="401") as caught:
                await front.connect(server, auth=auth)
            assert caught.value.response.body == b"who are you?"


async def test_a_function_answers_a_401(front):
    asked = []

    def auth(challenges):
        asked.extend(challenges)
        return "fresh"

    async with front.serve(echo, process_request=guarded("Bearer", "Bearer fresh")) as server:
        async with front.connect(
            server, auth=auth, additional_headers={"Authorization": "Bearer expired"}
        ):
            pass
    assert [(one.scheme, one.params) for one in asked] == [("bearer", {"realm": "here"})]


async def test_what_a_function_raises_is_raised(front):
    def auth(challenges):
        raise ZeroDivisionError

    async with front.serve(echo, process_request=guarded("Bearer", "never")) as server:
        with pytest.raises(ZeroDivisionError):
            await front.connect(server, auth=auth)


async def test_cookies(front):
    seen = []

    def process_request(ws, request):
        seen.append(request.headers.get("Cookie"))
        if "second" not in request.path:
            response = with_headers(ws.respond(302, "there"), ("Location", "/second"))
            return with_headers(response, ("Set-Cookie", "session=1; HttpOnly"))
        return None

    def process_response(ws, request, response):
        response.headers["Set-Cookie"] = "seen=yes; Path=/"

    jar = CookieJar()
    async with front.serve(
        echo, process_request=process_request, process_response=process_response
    ) as server:
        async with front.connect(server, cookies=jar, redirects=1):
            pass
        async with front.connect(front.uri(server, "/second"), cookies=jar):
            pass
    assert seen[0] is None
    assert {frozenset(header.split("; ")) for header in seen[1:]} == {
        frozenset({"session=1", "seen=yes"})
    }


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "token"), (403, "origin"), (404, "path"), (429, "wait"), (503, "later"), (504, "time")],
)
async def test_a_refusal_says_what_to_look_at(front, status, hint):
    def process_request(ws, request):
        return with_headers(ws.respond(status, "the reason"), ("X-Why", "because"))

    async with front.serve(echo, process_request=process_request) as server:
        with pytest.raises(InvalidStatus, match=hint) as caught:
            await front.connect(server)
        assert caught.value.response.status_code == status
        assert caught.value.response.headers["X-Why"] == "because"
        assert caught.value.response.body == b"the reason"


async def test_so_much_of_a_refusal_is_kept(front):
    def process_request(ws, request):
        return ws.respond(500, "x" * 10_000)

    async with front.serve(echo, process_request=process_request) as server:
        with pytest.raises(InvalidStatus) as caught:
            await front.connect(server, limits=Limits(max_error_body=1000))
        assert caught.value.response.body == b"x" * 1000


# -- where it goes -------------------------------------------------------------------------------


async def test_tcp_may_go_elsewhere(front):
    async with front.serve(who) as server:
        host, port = server.sockets[0].getsockname()[:2]
        uri = f"{'wss' if front.secure else 'ws'}://localhost:8/x"
        async with front.connect(uri, host=host, port=port) as ws:
            assert await ws.recv() == "/x"
            assert ws.request.headers["Host"] == "localhost:8"


async def test_a_name_with_several_addresses(front):
    async with front.serve(who) as server:
        port = server.sockets[0].getsockname()[1]
        uri = f"{'wss' if front.secure else 'ws'}://localhost:{port}/x"
        async with front.connect(uri) as ws:  # ::1 may come first, where nobody listens
            assert await ws.recv() == "/x"


async def test_nobody_there(front):
    async with front.raw_listener() as listener:
        uri = front.uri(listener)
    address = uri.partition("//")[2].rstrip("/")
    with pytest.raises(ConnectionRefusedError, match=address):
        await front.connect(uri)


async def test_one_block_at_a_time(front):
    async with front.serve(who) as server:
        connector = front.connect(server)
        async with connector as ws:
            with pytest.raises(RuntimeError, match="another with block"):
                async with connector:
                    pass
        assert ws.state.name == "CLOSED"
        async with connector as again:
            assert await again.recv() == "/"
    for _ in range(2):  # a failure leaves it free
        with pytest.raises(OSError):
            async with connector:
                pass
