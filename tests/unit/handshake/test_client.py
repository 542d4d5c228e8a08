"""The client's side of the opening handshake."""

from __future__ import annotations

import binascii
import dataclasses
from typing import Any

import pytest

from duplexer.core.extension import Extension, Parameters
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import (
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderFormat,
    InvalidHeaderValue,
    InvalidStatus,
    InvalidUpgrade,
    NegotiationError,
)
from duplexer.handshake.client import ClientHandshake
from duplexer.handshake.server import ServerOptions, accept
from duplexer.http.h1 import RequestReader, ResponseReader
from duplexer.http.headers import Headers
from duplexer.http.messages import USER_AGENT, Response
from duplexer.http.uri import URI, parse_uri
from duplexer.limits import DEFAULT_LIMITS

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ABSENT = object()


class Factory:
    """Offers ``good``; accepts ``yes`` only."""

    def __init__(self, name: str = "x-a", rsv: int = 4) -> None:
        self.name = name
        self.rsv = rsv

    def offer(self) -> Parameters:
        return [("good", None), ("n", "1")]

    def accept(self, answer: Any, accepted: Any) -> Any:
        """Both factories' method: the server's call wants a pair."""
        if answer == [("good", None), ("n", "1")]:
            return [("yes", None)], self.make()
        if answer != [("yes", None)]:
            raise NegotiationError("unexpected parameters")
        return self.make()

    def make(self) -> Extension:
        extension = Extension()
        extension.name, extension.rsv = self.name, self.rsv
        return extension


def handshake(uri: str = "ws://example.com/chat", /, **options: Any) -> ClientHandshake:
    options.setdefault("key", KEY)
    return ClientHandshake(parse_uri(uri), dialect=RFC6455, **options)


def response(**changes: Any) -> Response:
    """The usual answer with some headers changed; underscores stand for dashes."""
    values: dict[str, Any] = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": ACCEPT,
    }
    for name, value in changes.items():
        values[name.replace("_", "-")] = value
    headers = Headers()
    for name, value in values.items():
        if value is not ABSENT:
            for one in value if isinstance(value, list) else [value]:
                headers[name] = one
    return Response(101, "", headers)


class TestRequest:
    def test_usual(self) -> None:
        assert handshake().request.serialize() == (
            b"GET /chat HTTP/1.1\r\n"
            b"Host: example.com\r\n"
            b"Upgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n"
            b"User-Agent: " + USER_AGENT.encode() + b"\r\n"
            b"\r\n"
        )

    def test_everything(self) -> None:
        headers = handshake(
            "wss://user:p%40ss@example.com:444/?q",
            origin="http://site",
            subprotocols=["a", "b"],
            extensions=[Factory("x-a"), Factory("x-b")],
            additional_headers={"X-More": "1"},
            user_agent_header="me",
        ).request.headers
        assert headers["Host"] == "example.com:444"
        assert headers["Origin"] == "http://site"
        assert headers["Sec-WebSocket-Protocol"] == "a, b"
        assert headers["Sec-WebSocket-Extensions"] == "x-a; good; n=1, x-b; good; n=1"
        assert headers["Authorization"] == "Basic dXNlcjpwQHNz"
        assert headers["X-More"] == "1"
        assert headers["User-Agent"] == "me"

    def test_keys_are_fresh(self) -> None:
        keys = {handshake(key=None).key for _ in range(100)}
        assert len(keys) == 100
        for key in keys:
            assert len(binascii.a2b_base64(key, strict_mode=True)) == 16

    def test_no_user_agent(self) -> None:
        assert "User-Agent" not in handshake(user_agent_header=None).request.headers

    def test_some_headers_may_be_replaced(self) -> None:
        own = {
            "host": "other",
            "user-agent": "me",
            "authorization": "Bearer x",
            "origin": "http://o",
        }
        headers = handshake("ws://u:p@example.com", additional_headers=own).request.headers
        for name, value in own.items():
            assert headers.get_all(name) == [value]

    def test_additional_headers_may_repeat(self) -> None:
        headers = handshake(additional_headers=[("Cookie", "a"), ("Cookie", "b")]).request.headers
        assert headers.get_all("Cookie") == ["a", "b"]

    @pytest.mark.parametrize(
        "name",
        [
            "Upgrade", "connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
            "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol", "SEC-WEBSOCKET-EXTENSIONS",
            "Content-Length", "Transfer-Encoding",
        ],
    )  # fmt: skip
    def test_reserved_headers(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"{name.lower()} cannot be in additional_headers: "):
            handshake(additional_headers={name: "x"})

    @pytest.mark.parametrize("name", ["Host", "Origin", "User-Agent", "Authorization"])
    def test_singletons(self, name: str) -> None:
        with pytest.raises(ValueError, match="several times"):
            handshake(additional_headers=[(name, "a"), (name, "a")])

    @pytest.mark.parametrize("host", ["", "a b", "a/b", "u@a"])
    def test_host(self, host: str) -> None:
        with pytest.raises(ValueError, match="invalid Host"):
            handshake(additional_headers={"Host": host})

    def test_origin_twice(self) -> None:
        with pytest.raises(ValueError, match="twice"):
            handshake(origin="http://a", additional_headers={"Origin": "http://a"})

    def test_origin_in_the_drafts(self) -> None:
        draft = dataclasses.replace(RFC6455, version=8)
        headers = ClientHandshake(
            parse_uri("ws://a"), dialect=draft, origin="http://b"
        ).request.headers
        assert headers["Sec-WebSocket-Version"] == "8"
        assert headers["Sec-WebSocket-Origin"] == "http://b"
        assert "Origin" not in headers

    @pytest.mark.parametrize("char", ["\r", "\n", "\r\nX: 1", "\0", "\u010d", "\x7f"])
    def test_injection(self, char: str) -> None:
        for options in (
            {"origin": f"a{char}"},
            {"subprotocols": [f"a{char}"]},
            {"additional_headers": {f"A{char}": "1"}},
            {"additional_headers": {"A": f"1{char}"}},
            {"user_agent_header": f"a{char}"},
            {"key": f"a{char}"},
        ):
            with pytest.raises(ValueError, match="invalid"):
                handshake(**options)
        for uri in (
            URI(False, "a", 80, f"/{char}", ""),
            URI(False, "a", 80, "/", char),
            URI(False, f"a{char}", 80, "/", ""),
        ):
            with pytest.raises(ValueError, match="invalid"):
                ClientHandshake(uri, dialect=RFC6455)

    def test_subprotocols(self) -> None:
        with pytest.raises(TypeError):
            handshake(subprotocols="chat")
        with pytest.raises(ValueError, match="duplicate"):
            handshake(subprotocols=["a", "a"])


class TestCheck:
    def test_example_of_the_rfc(self) -> None:
        answer = response()
        agreement = handshake().check(answer)
        assert agreement.response is answer
        assert agreement.subprotocol is None
        assert agreement.extensions == ()
        assert agreement.dialect is RFC6455

    @pytest.mark.parametrize(
        "changes",
        [
            {"Upgrade": "WebSocket"},
            {"Connection": "upgrade"},
            {"Connection": "keep-alive, Upgrade"},
            {"Connection": ["keep-alive", "upgrade"]},
            {"Sec_WebSocket_Accept": f"  {ACCEPT}\t"},
        ],
    )
    def test_forms_that_are_as_good(self, changes: dict[str, Any]) -> None:
        handshake().check(response(**changes))

    @pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404, 426, 503])
    def test_status(self, status: int) -> None:
        answer = response()
        answer.status_code = status
        with pytest.raises(InvalidStatus) as raised:
            handshake().check(answer)
        assert raised.value.response is answer

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"Upgrade": ABSENT}, InvalidUpgrade),
            ({"Upgrade": "h2c"}, InvalidUpgrade),
            ({"Upgrade": "websockets"}, InvalidUpgrade),
            ({"Upgrade": "websocket, h2c"}, InvalidUpgrade),
            ({"Upgrade": ["websocket", "websocket"]}, InvalidUpgrade),
            ({"Upgrade": ""}, InvalidHeaderFormat),
            ({"Upgrade": "web socket"}, InvalidHeaderFormat),
            ({"Connection": ABSENT}, InvalidUpgrade),
            ({"Connection": "close"}, InvalidUpgrade),
            ({"Connection": "Upgraded"}, InvalidUpgrade),
            ({"Connection": "a b"}, InvalidHeaderFormat),
            ({"Sec_WebSocket_Accept": ABSENT}, InvalidHeader),
            ({"Sec_WebSocket_Accept": ""}, InvalidHeaderValue),
            ({"Sec_WebSocket_Accept": KEY}, InvalidHeaderValue),
            ({"Sec_WebSocket_Accept": ACCEPT[:-1]}, InvalidHeaderValue),
            ({"Sec_WebSocket_Accept": ACCEPT.lower()}, InvalidHeaderValue),
            ({"Sec_WebSocket_Accept": ACCEPT + "="}, InvalidHeaderValue),
            ({"Sec_WebSocket_Accept": f"{ACCEPT}, {ACCEPT}"}, InvalidHeaderValue),
            ({"Sec_WebSocket_Accept": [ACCEPT, ACCEPT]}, InvalidHeader),
            ({"Sec_WebSocket_Accept": "\xe9" * 5000}, InvalidHeaderValue),
            ({"Sec_WebSocket_Protocol": "c"}, NegotiationError),
            ({"Sec_WebSocket_Protocol": "A"}, NegotiationError),
            ({"Sec_WebSocket_Protocol": ""}, InvalidHeaderFormat),
            ({"Sec_WebSocket_Protocol": "a, b"}, InvalidHeader),
            ({"Sec_WebSocket_Protocol": ["a", "a"]}, InvalidHeader),
            ({"Sec_WebSocket_Protocol": "a b"}, InvalidHeaderFormat),
            ({"Sec_WebSocket_Extensions": "x-c"}, NegotiationError),
            ({"Sec_WebSocket_Extensions": "x-a"}, NegotiationError),
            ({"Sec_WebSocket_Extensions": "x-a; yes; yes"}, NegotiationError),
            ({"Sec_WebSocket_Extensions": "x-a; yes, x-a; yes"}, NegotiationError),
            ({"Sec_WebSocket_Extensions": "x-a; yes, x-c"}, NegotiationError),
            ({"Sec_WebSocket_Extensions": "x-a; yes, x-same; yes"}, NegotiationError),
            ({"Sec_WebSocket_Extensions": ""}, InvalidHeaderFormat),
            ({"Sec_WebSocket_Extensions": "x-a; yes;"}, InvalidHeaderFormat),
            ({"Sec_WebSocket_Extensions": 'x-a; yes="'}, InvalidHeaderFormat),
        ],
    )
    def test_faulty(self, changes: dict[str, Any], error: type[InvalidHandshake]) -> None:
        attempt = handshake(
            subprotocols=["a", "b"],
            extensions=[Factory("x-a"), Factory("x-b", 2), Factory("x-same")],
        )
        with pytest.raises(error) as raised:
            attempt.check(response(**changes))
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 250

    @pytest.mark.parametrize("header", ["Sec_WebSocket_Protocol", "Sec_WebSocket_Extensions"])
    def test_nothing_was_offered(self, header: str) -> None:
        with pytest.raises(NegotiationError, match="not offered"):
            handshake().check(response(**{header: "x"}))

    def test_subprotocol(self) -> None:
        agreement = handshake(subprotocols=["a", "b"]).check(response(Sec_WebSocket_Protocol="b"))
        assert agreement.subprotocol == "b"

    def test_server_may_go_on_without_subprotocol(self) -> None:
        assert handshake(subprotocols=["a"]).check(response()).subprotocol is None

    @pytest.mark.parametrize("header", ["x-b; yes, x-a; yes", ["x-b; yes", "x-a; yes"]])
    def test_extensions_in_the_servers_order(self, header: Any) -> None:
        attempt = handshake(extensions=[Factory("x-a"), Factory("x-b", 2), Factory("x-c", 1)])
        agreement = attempt.check(response(Sec_WebSocket_Extensions=header))
        assert [extension.name for extension in agreement.extensions] == ["x-b", "x-a"]


@pytest.mark.parametrize("secure", [False, True])
def test_both_sides(secure: bool) -> None:
    """What the client sends, the server agrees to; what that answers, the client agrees to."""
    scheme = "s" if secure else ""
    attempt = ClientHandshake(
        parse_uri(f"ws{scheme}://[::1]:8765/chat?x=\xe9"),
        dialect=RFC6455,
        origin=f"http{scheme}://[::1]:8765",
        subprotocols=["a", "b"],
        extensions=[Factory()],
    )
    request = RequestReader(DEFAULT_LIMITS).feed(attempt.request.serialize())
    assert request == attempt.request
    options = ServerOptions(subprotocols=["b"], extensions=[Factory()])
    theirs = accept(request, options, secure=secure, dialects=(RFC6455,))
    answer = ResponseReader(DEFAULT_LIMITS).feed(theirs.response.serialize())
    assert answer is not None
    ours = attempt.check(answer)
    assert ours.subprotocol == theirs.subprotocol == "b"
    assert [one.name for one in ours.extensions] == ["x-a"]
    assert [one.name for one in theirs.extensions] == ["x-a"]
