"""The server's side of the opening handshake."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.core.extension import Extension, Parameters
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import (
    HttpError,
    InvalidHeader,
    InvalidOrigin,
    InvalidUpgrade,
    NegotiationError,
)
from duplexer.handshake.negotiate import Agreement
from duplexer.handshake.server import (
    ANY_ORIGIN,
    SAME_HOST,
    ServerOptions,
    accept,
    accept_key,
    check_host,
    check_origin,
    is_upgrade,
    refuse,
)
from duplexer.http.h1 import RequestReader
from duplexer.http.headers import Headers
from duplexer.http.messages import SERVER, Request
from duplexer.limits import DEFAULT_LIMITS

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HYBI10 = dataclasses.replace(RFC6455, name="hybi10", version=8)
HYBI07 = dataclasses.replace(RFC6455, name="hybi07", version=7)
HIXIE76 = dataclasses.replace(RFC6455, name="hixie76", version=None)
ALL = (RFC6455, HYBI10, HYBI07, HIXIE76)

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

#: Removes a header of the usual request.
ABSENT = object()


def request(method: str = "GET", /, **changes: Any) -> Request:
    """The usual request with some headers changed; underscores stand for dashes."""
    values: dict[str, Any] = {
        "Host": "example.com",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    for name, value in changes.items():
        values[name.replace("_", "-")] = value
    headers = Headers()
    for name, value in values.items():
        if value is not ABSENT:
            for one in value if isinstance(value, list) else [value]:
                headers[name] = one
    return Request("/chat", headers, method)


def agree(
    request: Request, secure: bool = False, dialects: Any = (RFC6455,), **options: Any
) -> Agreement:
    return accept(request, ServerOptions(**options), secure=secure, dialects=dialects)


def refused(request: Request, secure: bool = False, **options: Any) -> HttpError:
    with pytest.raises(HttpError) as raised:
        agree(request, secure, **options)
    error = raised.value
    assert error.text.isprintable()
    assert len(error.text) < 500
    return error


class Reverse(Extension):
    """Stands for any extension."""

    def __init__(self, name: str, rsv: int, parameters: Parameters) -> None:
        self.name = name
        self.rsv = rsv
        self.parameters = parameters


class Factory:
    """Accepts offers with ``good`` as a parameter, or with none."""

    def __init__(self, name: str = "x-reverse", rsv: int = 4) -> None:
        self.name = name
        self.rsv = rsv

    def accept(self, offer: Parameters, accepted: Any) -> tuple[Parameters, Extension]:
        for name, _ in offer:
            if name != "good":
                raise NegotiationError(f"unknown parameter: {name}")
        return [("answer", None), ("n", str(len(accepted)))], Reverse(self.name, self.rsv, offer)


class TestAgreement:
    def test_example_of_the_rfc(self) -> None:
        agreement = agree(request())
        assert agreement.subprotocol is None
        assert agreement.extensions == ()
        assert agreement.dialect is RFC6455
        response = agreement.response
        assert response.status_code == 101
        assert dict(response.headers) == {
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "server": SERVER,
        }
        assert response.serialize() == (
            b"HTTP/1.1 101 Switching Protocols\r\n"
            b"Upgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            b"Server: " + SERVER.encode() + b"\r\n"
            b"\r\n"
        )

    def test_response_can_be_added_to(self) -> None:
        response = agree(request()).response
        response.headers["X-More"] = "1"
        assert response.serialize().endswith(b"\r\nX-More: 1\r\n\r\n")

    def test_server_header(self) -> None:
        assert "Server" not in agree(request(), server_header=None).response.headers
        assert agree(request(), server_header="me").response.headers["Server"] == "me"

    def test_accept_key(self) -> None:
        assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert accept_key("\xff") != accept_key("\xfe")

    @pytest.mark.parametrize(
        "changes",
        [
            {"Upgrade": "WebSocket"},
            {"Upgrade": "WEBSOCKET"},
            {"Upgrade": "h2c, websocket"},
            {"Upgrade": ["h2c", "websocket"]},
            {"Connection": "upgrade"},
            {"Connection": "keep-alive, Upgrade"},
            {"Connection": "keep-alive,UPGRADE"},
            {"Connection": "Upgrade, HTTP2-Settings"},
            {"Connection": ["keep-alive", "Upgrade"]},
            {"Host": "[::1]:8080"},
            {
                "Sec_WebSocket_Key": "AQIDBAUGBwgJCgsMDQ4PEC=="
            },  # the RFC's, with bits in the padding
            {"Sec_WebSocket_Key": "+/+/+/+/+/+/+/+/+/+/+w=="},
        ],
    )
    def test_forms_that_are_as_good(self, changes: dict[str, Any]) -> None:
        assert agree(request(**changes)).response.status_code == 101

    def test_what_a_browser_sends(self) -> None:
        reader = RequestReader(DEFAULT_LIMITS)
        browser = reader.feed(
            b"GET /chat HTTP/1.1\r\nHost: localhost:8765\r\nConnection: Upgrade\r\n"
            b"Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0\r\n"
            b"Upgrade: websocket\r\nOrigin: http://localhost:8765\r\nSec-WebSocket-Version: 13\r\n"
            b"Accept-Encoding: gzip, deflate\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        )
        assert browser is not None
        assert is_upgrade(browser)
        assert agree(browser).response.status_code == 101


class TestRefusals:
    @pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "OPTIONS", "BREW", "get"])
    def test_method(self, method: str) -> None:
        error = refused(request(method))
        assert error.status == 405
        assert error.headers == (("Allow", "GET"),)
        assert method in error.text

    def test_version_of_http(self) -> None:
        old = request()
        old.version = "HTTP/1.0"
        assert refused(old).status == 400
        assert "proxy_http_version 1.1" in refused(old).text

    def test_body(self) -> None:
        big = request()
        big.body = b"x"
        assert refused(big).status == 400

    @pytest.mark.parametrize(
        "changes",
        [
            {"Upgrade": ABSENT},
            {"Upgrade": "h2c"},
            {"Upgrade": "websockets"},
            {"Upgrade": "websocket/13"},
            {"Connection": ABSENT},
            {"Connection": "close"},
            {"Connection": "Upgraded, keep-alive"},
            {"Connection": ["close", "keep-alive"]},
        ],
    )
    def test_upgrade(self, changes: dict[str, Any]) -> None:
        error = refused(request(**changes))
        assert error.status == 426
        assert dict(error.headers) == {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        assert "proxy_set_header" in error.text
        assert isinstance(error.__cause__, InvalidUpgrade)

    @pytest.mark.parametrize(
        "changes",
        [
            {"Upgrade": ""},
            {"Upgrade": "web socket"},
            {"Connection": ""},
            {"Connection": "Upgrade; x"},
            {"Host": ""},
            {"Sec_WebSocket_Version": ABSENT},
            {"Sec_WebSocket_Version": ""},
            {"Sec_WebSocket_Version": "x"},
            {"Sec_WebSocket_Version": "13, 13"},
            {"Sec_WebSocket_Version": "013"},
            {"Sec_WebSocket_Version": "+13"},
            {"Sec_WebSocket_Version": "-1"},
            {"Sec_WebSocket_Version": "1\xb3"},
            {"Sec_WebSocket_Version": "1313"},
            {"Sec_WebSocket_Version": ["13", "13"]},
            {"Sec_WebSocket_Version": ["13", "8"]},
            {"Sec_WebSocket_Key": ABSENT},
            {"Sec_WebSocket_Key": ""},
            {"Sec_WebSocket_Key": [KEY, KEY]},
            {"Sec_WebSocket_Key": KEY[:-1]},
            {"Sec_WebSocket_Key": KEY[:-2]},
            {"Sec_WebSocket_Key": KEY + "="},
            {"Sec_WebSocket_Key": KEY[:20] + "===="},
            {"Sec_WebSocket_Key": KEY[:21] + "==="},
            {"Sec_WebSocket_Key": KEY[:22] + "A="},
            {"Sec_WebSocket_Key": "MTIzNDU2Nzg5MDEyMzQ1"},  # 15 bytes
            {"Sec_WebSocket_Key": "MTIzNDU2Nzg5MDEyMzQ1Njc="},  # 17 bytes
            {"Sec_WebSocket_Key": "-_" + KEY[2:]},
            {"Sec_WebSocket_Key": "\xe9" + KEY[1:]},
            {"Sec_WebSocket_Key": KEY[:10] + " " + KEY[11:]},
            {"Sec_WebSocket_Key": f"{KEY}, {KEY}"},
            {"Sec_WebSocket_Protocol": ""},
            {"Sec_WebSocket_Protocol": ","},
            {"Sec_WebSocket_Protocol": "a b"},
            {"Sec_WebSocket_Protocol": "a, b, a"},
            {"Sec_WebSocket_Protocol": ["a", "a"]},
            {"Sec_WebSocket_Protocol": "a;b"},
            {"Sec_WebSocket_Extensions": "foo; a="},
            {"Sec_WebSocket_Extensions": 'foo; a="'},
            {"Sec_WebSocket_Extensions": ["foo", "bar baz"]},
        ],
    )
    def test_malformed(self, changes: dict[str, Any]) -> None:
        error = refused(request(**changes))
        assert error.status == 400
        [name] = changes
        assert name.replace("_", "-") in error.text
        assert error.__cause__ is None or isinstance(error.__cause__, InvalidHeader)

    @pytest.mark.parametrize("version", ["0", "8", "12", "14", "255"])
    def test_version(self, version: str) -> None:
        error = refused(request(Sec_WebSocket_Version=version))
        assert error.status == 426
        assert dict(error.headers) == {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        assert version in error.text

    def test_all_versions_are_listed(self) -> None:
        error = refused(request(Sec_WebSocket_Version="9"), dialects=ALL)
        assert dict(error.headers)["Sec-WebSocket-Version"] == "13, 8, 7"
        error = refused(request(Sec_WebSocket_Version="13"), dialects=(HIXIE76,))
        assert error.headers == (("Upgrade", "websocket"),)

    def test_text_is_escaped_and_short(self) -> None:
        for changes in (
            {"Sec_WebSocket_Key": "\xe9" * 5000},
            {"Origin": "http://\xe9" + "x" * 5000},
            {"Sec_WebSocket_Protocol": "\t".join("ab" * 2000)},
        ):
            assert len(refused(request(**changes)).text) < 400


class TestRefuse:
    def test_response(self) -> None:
        response = refuse(HttpError(403, "No."))
        assert response.serialize() == (
            b"HTTP/1.1 403 Forbidden\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 4\r\n"
            b"Connection: close\r\n"
            b"Cache-Control: no-store\r\n"
            b"Server: " + SERVER.encode() + b"\r\n"
            b"\r\n"
            b"No.\n"
        )

    def test_headers_of_the_error(self) -> None:
        response = refuse(refused(request(Sec_WebSocket_Version="9")), None)
        assert response.status_code == 426
        assert response.headers["Upgrade"] == "websocket"
        assert response.headers["Sec-WebSocket-Version"] == "13"
        assert response.headers["Connection"] == "close, Upgrade"
        assert "Server" not in response.headers


class TestDrafts:
    """Versions 7 and 8 differ in a few headers only."""

    def test_chosen_by_version(self) -> None:
        for version, dialect in (("13", RFC6455), ("8", HYBI10), ("7", HYBI07)):
            agreement = agree(request(Sec_WebSocket_Version=version), dialects=ALL)
            assert agreement.dialect is dialect
            assert agreement.response.headers["Sec-WebSocket-Accept"] == accept_key(KEY)

    def test_key_of_another_size(self) -> None:
        changes = {"Sec_WebSocket_Version": "8", "Sec_WebSocket_Key": "OC0xNzk1MTQwMjc3Mzg5"}
        agreement = agree(request(**changes), dialects=ALL)
        assert agreement.response.status_code == 101
        changes["Sec_WebSocket_Key"] = ""
        assert refused(request(**changes), dialects=ALL).status == 400

    def test_origin_has_another_name(self) -> None:
        site = "http://example.com"
        for changes in (
            {"Sec_WebSocket_Origin": site},
            {"Sec_WebSocket_Origin": site, "Origin": "example.com:80"},
            {"Origin": site},
        ):
            agree(request(Sec_WebSocket_Version="8", **changes), dialects=ALL)
        for changes in (
            {"Sec_WebSocket_Origin": "http://other"},
            {"Sec_WebSocket_Origin": "http://other", "Origin": site},
            {"Origin": "http://other"},
        ):
            error = refused(request(Sec_WebSocket_Version="8", **changes), dialects=ALL)
            assert error.status == 403
        agree(request(Sec_WebSocket_Origin="http://other"), dialects=ALL)  # not in the RFC

    def test_extensions_are_of_the_rfc(self) -> None:
        changes = {"Sec_WebSocket_Version": "8", "Sec_WebSocket_Extensions": "x-reverse, ; ="}
        agreement = agree(request(**changes), dialects=ALL, extensions=[Factory()])
        assert agreement.extensions == ()


SAME = [
    # origin, host, secure
    (None, "example.com", False),
    ("http://example.com", "example.com", False),
    ("https://example.com", "example.com", True),
    ("http://example.com:80", "example.com", False),
    ("http://example.com", "example.com:80", False),
    ("https://example.com:443", "example.com", True),
    ("https://example.com", "example.com:443", True),
    ("http://EXAMPLE.com", "example.COM", False),
    ("http://localhost:8765", "localhost:8765", False),
    ("http://127.0.0.1:8765", "127.0.0.1:8765", False),
    ("http://[::1]:8765", "[::1]:8765", False),
    ("http://[::1]", "[::1]:80", False),
    # behind a proxy that ends TLS
    ("https://example.com", "example.com", False),
    ("https://example.com:8443", "example.com:8443", False),
]

OTHER = [
    ("http://other.com", "example.com", False),
    ("null", "example.com", False),
    ("", "example.com", False),
    ("file://", "example.com", False),
    ("file://example.com", "example.com", False),
    ("chrome-extension://example.com", "example.com", False),
    ("ws://example.com", "example.com", False),
    ("example.com", "example.com", False),
    ("//example.com", "example.com", False),
    ("http:example.com", "example.com", False),
    ("http", "", False),
    ("http://", "", False),
    ("http://example.com.evil.com", "example.com", False),
    ("http://evil.com/example.com", "example.com", False),
    ("http://evilexample.com", "example.com", False),
    ("http://sub.example.com", "example.com", False),
    ("http://example.com.", "example.com", False),
    ("http://example.com:81", "example.com", False),
    ("http://example.com", "example.com:81", False),
    ("http://example.com:8765", "example.com:8766", False),
    ("http://example.com:443", "example.com", False),
    ("https://example.com:80", "example.com", False),
    ("http://example.com:080", "example.com", False),
    ("http://example.com:", "example.com", False),
    ("http://a:b", "example.com", False),
    ("http://a:b", "a", False),
    ("http://example.com/", "example.com", False),
    ("http://example.com/path", "example.com", False),
    ("http://user@example.com", "example.com", False),
    ("http://example.com@evil.com", "example.com", False),
    ("http://example.com http://evil.com", "example.com", False),
    ("http://example.com, http://example.com", "example.com", False),
    ("http://example.com\\", "example.com", False),
    ("http://1.2.3.4", "example.com", False),
    ("http://[::1]", "[::2]", False),
    ("http://::1", "[::1]", False),
    ("http://[::1", "[::1]", False),
    ("http://\xe9", "example.com", False),
    # a page that came in the clear, to a server that is asked over TLS
    ("http://example.com", "example.com", True),
    ("http://example.com:443", "example.com", True),
    ("http://example.com:8443", "example.com:8443", True),
    ("https://example.com:444", "example.com", True),
]


class TestOrigin:
    @pytest.mark.parametrize(("origin", "host", "secure"), SAME)
    def test_same_host(self, origin: str | None, host: str, secure: bool) -> None:
        agree(request(Origin=ABSENT if origin is None else origin, Host=host), secure)
        check_origin(origin, host, SAME_HOST, secure=secure)

    @pytest.mark.parametrize(("origin", "host", "secure"), OTHER)
    def test_other_host(self, origin: str, host: str, secure: bool) -> None:
        with pytest.raises(InvalidOrigin):
            check_origin(origin, host, SAME_HOST, secure=secure)
        if host:
            error = refused(request(Origin=origin, Host=host), secure)
            assert error.status == 403
            assert isinstance(error.__cause__, InvalidOrigin)
            agree(request(Origin=origin, Host=host), secure, origins=None)

    def test_several(self) -> None:
        error = refused(request(Origin=["http://example.com", "http://example.com"]))
        assert error.status == 403

    def test_list(self) -> None:
        origins = ["http://a", re.compile(r"https://.*\.example\.com"), re.compile("http://b")]
        for good in ("http://a", "https://x.example.com", "http://b"):
            agree(request(Origin=good), origins=origins)
        for bad in (ABSENT, "http://A", "http://a/", "http://bb", "https://x.example.com.evil.com",
                    "http://example.com", ""):  # fmt: skip
            assert refused(request(Origin=bad), origins=origins).status == 403
        agree(request(), origins=["http://a", None])
        agree(request(Origin="http://a"), origins=["http://a", None])
        assert refused(request(Origin="http://b"), origins=["http://a", None]).status == 403
        assert refused(request(), origins=[]).status == 403

    @pytest.mark.parametrize("origins", [None, ANY_ORIGIN])
    def test_anybody(self, origins: str | None) -> None:
        agree(request(), origins=origins)
        agree(request(Origin="http://evil.com"), origins=origins)
        agree(request(Origin=["a", "b"]), origins=origins)

    def test_the_same_host_and_others(self) -> None:
        origins = [SAME_HOST, "https://partner.example"]
        for good in (ABSENT, "http://example.com", "https://partner.example"):
            agree(request(Origin=good), origins=origins)
        for bad in ("http://evil.com", "same-host", "null"):
            assert refused(request(Origin=bad), origins=origins).status == 403

    def test_a_pattern_has_to_match_all_of_it(self) -> None:
        error = refused(request(Origin="http://a.evil.com"), origins=[re.compile("http://a")])
        assert error.status == 403

    def test_options(self) -> None:
        for wrong in ("*", "any-origin"):
            with pytest.raises(ValueError, match="ANY_ORIGIN"):
                ServerOptions(origins=[wrong])
        with pytest.raises(ValueError, match=r"no path: 'https://example\.com/'"):
            ServerOptions(origins=["https://example.com/"])
        with pytest.raises(TypeError, match="a list"):
            ServerOptions(origins="https://example.com")
        ServerOptions(origins=["null", "https://a:1", None, SAME_HOST])

    def test_answer_says_what_is_wrong(self) -> None:
        error = refused(request(Origin="http://evil.com"))
        assert "http://evil.com" in error.text
        assert "example.com" in error.text
        assert "origins=" in error.text

    @given(st.text(), st.sampled_from(["example.com", "example.com:80", "[::1]"]), st.booleans())
    def test_anything(self, origin: str, host: str, secure: bool) -> None:
        for candidate in (origin, f"http://{origin}", f"http://{host}{origin}"):
            try:
                check_origin(candidate, host, SAME_HOST, secure=secure)
            except InvalidOrigin:
                continue
            name = host.removesuffix(":80")
            assert re.fullmatch(re.escape(name) + "(:80|:443|)", candidate.split("://")[1].lower())


class TestHost:
    """A page whose name was made to point here after it was loaded."""

    @pytest.mark.parametrize(
        "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8765", "[::1]", "[::1]:8765"]
    )
    def test_ours(self, host: str) -> None:
        agree(request(Host=host), allowed_hosts=LOOPBACK)
        check_host(request(Host=host), LOOPBACK)

    @pytest.mark.parametrize(
        "host",
        ["evil.test", "evil.test:8765", "localhost.evil.test", "127.0.0.2", "localhost.", "[::2]"],
    )
    def test_others(self, host: str) -> None:
        rebound = request(Host=host, Origin=f"http://{host}")
        agree(rebound)
        error = refused(rebound, allowed_hosts=LOOPBACK)
        assert error.status == 421
        assert host in error.text

    def test_no_browser_omits_it(self) -> None:
        check_host(request(Host=ABSENT), LOOPBACK)

    def test_options(self) -> None:
        for wrong in ("localhost", [1]):
            with pytest.raises(TypeError):
                ServerOptions(allowed_hosts=wrong)  # type: ignore[arg-type]
        for bad in ("", "A", "::1", "a b", "http://a", "*", "*.", "*.*.a", "a.*", "*a", "a:b"):
            with pytest.raises(ValueError, match="an allowed host"):
                ServerOptions(allowed_hosts=[bad])
        ServerOptions(allowed_hosts=[])

    @pytest.mark.parametrize(
        ("host", "is_allowed"),
        [
            ("a.example.com", True),
            ("A.Example.com:8765", True),
            ("a.b.example.com", True),
            ("example.com", False),
            (".example.com", False),
            ("badexample.com", False),
            ("a.example.com.evil.test", False),
            ("a.secure.test:8443", True),
            ("a.secure.test", False),
            ("a.secure.test:80", False),
            ("one.test:1", True),
            ("one.test:2", False),
            ("one.test", False),
            ("[::2]:9", True),
            ("[::2]", False),
            ("10.0.0.1:5", True),
        ],
    )
    def test_subdomains_and_ports(self, host: str, is_allowed: bool) -> None:
        allowed = ["*.example.com", "*.secure.test:8443", "one.test:1", "[::2]:9", "10.0.0.1"]
        ServerOptions(allowed_hosts=allowed)
        if is_allowed:
            check_host(request(Host=host), allowed)
        else:
            with pytest.raises(HttpError, match="allowed_hosts"):
                check_host(request(Host=host), allowed)


class TestSubprotocols:
    def test_none_configured(self) -> None:
        agreement = agree(request(Sec_WebSocket_Protocol="chat"))
        assert agreement.subprotocol is None
        assert "Sec-WebSocket-Protocol" not in agreement.response.headers

    def test_servers_preference(self) -> None:
        for offer in ("a, b, c", ["a", "b,c"]):
            agreement = agree(request(Sec_WebSocket_Protocol=offer), subprotocols=["x", "c", "b"])
            assert agreement.subprotocol == "c"
            assert agreement.response.headers.get_all("Sec-WebSocket-Protocol") == ["c"]

    def test_case_matters(self) -> None:
        error = refused(request(Sec_WebSocket_Protocol="Chat"), subprotocols=["chat"])
        assert error.status == 400
        assert "expected one of chat" in error.text
        assert isinstance(error.__cause__, NegotiationError)

    def test_missing(self) -> None:
        error = refused(request(), subprotocols=["chat"])
        assert error.status == 400
        assert "missing subprotocol" in error.text

    def test_select(self) -> None:
        seen = []

        def select(offers: Any) -> str | None:
            seen.append(list(offers))
            return offers[-1] if offers else None

        agreement = agree(request(Sec_WebSocket_Protocol="a, b"), select_subprotocol=select)
        assert agreement.subprotocol == "b"
        assert agree(request(), select_subprotocol=select).subprotocol is None
        assert seen == [["a", "b"], []]

    def test_select_refuses(self) -> None:
        def select(offers: Any) -> str | None:
            raise NegotiationError("not today")

        error = refused(request(Sec_WebSocket_Protocol="a"), select_subprotocol=select)
        assert (error.status, "not today" in error.text) == (400, True)

    def test_select_is_wrong(self) -> None:
        with pytest.raises(ValueError, match="'c', which the client does not offer"):
            agree(request(Sec_WebSocket_Protocol="a"), select_subprotocol=lambda offers: "c")


class TestExtensions:
    def answer(self, header: Any, *factories: Factory) -> tuple[str | None, list[str]]:
        agreement = agree(request(Sec_WebSocket_Extensions=header), extensions=factories)
        values = agreement.response.headers.get_all("Sec-WebSocket-Extensions")
        assert len(values) <= 1
        return values[0] if values else None, [extension.name for extension in agreement.extensions]

    def test_accepted(self) -> None:
        assert self.answer("x-reverse; good", Factory()) == (
            "x-reverse; answer; n=0",
            ["x-reverse"],
        )

    @pytest.mark.parametrize(
        "header",
        [
            "other",
            "x-reverse; bad",
            "X-Reverse",
            "constructor; __class__=1",
            "x-reverse; good; bad",
        ],
    )
    def test_declined(self, header: str) -> None:
        assert self.answer(header, Factory()) == (None, [])

    def test_next_offer_is_tried(self) -> None:
        header = "x-reverse; bad, other, x-reverse; good=1, x-reverse"
        agreement = agree(request(Sec_WebSocket_Extensions=header), extensions=[Factory()])
        [extension] = agreement.extensions
        assert extension.parameters == [("good", "1")]

    def test_order_is_the_clients(self) -> None:
        for header in ("b, a", ["b", "a"]):
            assert self.answer(header, Factory("a", 4), Factory("b", 2)) == (
                "b; answer; n=0, a; answer; n=1",
                ["b", "a"],
            )

    def test_reserved_bits_are_given_once(self) -> None:
        assert self.answer("a, b, c", Factory("a", 4), Factory("b", 4), Factory("c", 2))[1] == [
            "a",
            "c",
        ]

    def test_many_offers_are_linear(self) -> None:
        def cost(count: int) -> float:
            offer = request(Sec_WebSocket_Extensions=", ".join(["x-reverse; bad"] * count))
            start = time.thread_time()
            agree(offer, extensions=[Factory()])
            return time.thread_time() - start

        assert any(cost(16_000) < 80 * cost(1_000) for _ in range(5))


class TestOptions:
    def test_subprotocols(self) -> None:
        with pytest.raises(TypeError):
            ServerOptions(subprotocols="chat")
        for bad in (["a b"], ["a", "a"], ["a\r\n"], [""]):
            with pytest.raises(ValueError, match="subprotocol"):
                ServerOptions(subprotocols=bad)

    def test_origins(self) -> None:
        with pytest.raises(TypeError, match="must be a list"):
            ServerOptions(origins="http://a")
        with pytest.raises(TypeError, match="an origin must be"):
            ServerOptions(origins=[1])  # type: ignore[list-item]

    def test_server_header(self) -> None:
        for bad in ("a\r\nb", "\0", "\u010d"):
            with pytest.raises(ValueError, match="server_header"):
                ServerOptions(server_header=bad)

    def test_frozen(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            ServerOptions().origins = None  # type: ignore[misc]


NAMES = st.sampled_from(
    ["Host", "Upgrade", "Connection", "Origin", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
     "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"]
)  # fmt: skip
VALUES = st.sampled_from(
    ["websocket", "upgrade", "13", "8", KEY, "a", "a; b=c", ",", "http://h", "h"]
)


@given(st.lists(st.tuples(NAMES, VALUES | st.text(st.characters(max_codepoint=255), max_size=9))))
def test_agreement_or_documented_error(pairs: list[tuple[str, str]]) -> None:
    headers = Headers()
    for name, value in pairs:
        try:
            headers[name] = value
        except ValueError:
            continue
    try:
        agreement = agree(Request("/", headers), dialects=ALL, extensions=[Factory("a")])
    except HttpError as error:
        answer = refuse(error).serialize()
        status = error.status
    else:
        answer = agreement.response.serialize()
        status = 101
    assert status in {101, 400, 403, 426}
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert not any(set(line) & {0, 10, 13} for line in lines)
