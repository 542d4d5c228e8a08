"""What follows a refusal: redirects, credentials, cookies; turns."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
from http.cookiejar import CookieJar
from typing import Any

import pytest

from duplexer.driver.connecting import ConnectBase
from duplexer.driver.opening import Opening
from duplexer.driver.steps import Call, StartTls
from duplexer.driver.turns import TURNS
from duplexer.errors import InvalidHeader, InvalidStatus, SecurityError
from duplexer.http.headers import Headers
from duplexer.http.messages import Response
from duplexer.limits import Limits


def opening(uri: str = "ws://example.com/chat", **kwargs: Any) -> Opening:
    """One whose first request has been sent."""
    started = ConnectBase(uri, **kwargs).new_opening()
    started.handshake()
    return started


def answer(status: int, *headers: tuple[str, str]) -> InvalidStatus:
    return InvalidStatus(Response(status, "", Headers(headers)))


def refuse(one: Opening, status: int, *headers: tuple[str, str]) -> Headers:
    """The headers of the next request, after calls that were made."""
    steps = one.refused(answer(status, *headers))
    value = None
    try:
        while True:
            step = steps.send(value)
            assert isinstance(step, Call)
            value = step.function(*step.args)
    except StopIteration:
        return one.handshake().request.headers


def redirect(one: Opening, location: str, status: int = 302) -> Headers:
    return refuse(one, status, ("Location", location))


# -- redirects ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_not_followed_unless_asked_for(status: int) -> None:
    with pytest.raises(InvalidStatus):
        redirect(opening(), "/there", status)
    one = opening(redirects=1)
    redirect(one, "/there", status)
    assert str(one.uri) == "ws://example.com/there"


@pytest.mark.parametrize("status", [200, 300, 304, 305, 404, 500])
def test_other_answers_are_the_last_word(status: int) -> None:
    with pytest.raises(InvalidStatus):
        redirect(opening(redirects=1), "/there", status)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/there", "ws://example.com/there"),
        ("there?x=1", "ws://example.com/a/there?x=1"),
        ("../there", "ws://example.com/there"),
        ("?x=1", "ws://example.com/a/b?x=1"),
        ("//example.org/x", "ws://example.org/x"),
        ("ws://example.org:81", "ws://example.org:81/"),
        ("wss://example.com/", "wss://example.com/"),
        ("http://example.com/c", "ws://example.com/c"),
        ("https://example.com/c#part", "wss://example.com/c"),
        ("HTTPS://EXAMPLE.com/c", "wss://example.com/c"),
    ],
)
def test_where_it_leads(location: str, expected: str) -> None:
    one = opening("ws://example.com/a/b", redirects=1)
    redirect(one, location)
    assert str(one.uri) == expected


@pytest.mark.parametrize("location", ["ftp://example.com/", "http://:80/", "http://[", "ws://a b/"])
def test_a_location_that_is_no_address(location: str) -> None:
    with pytest.raises(InvalidHeader, match="Location") as raised:
        redirect(opening(redirects=1), location)
    assert isinstance(raised.value.__cause__, InvalidStatus)


def test_no_location_or_two() -> None:
    with pytest.raises(InvalidHeader, match="missing Location"):
        refuse(opening(redirects=1), 302)
    with pytest.raises(InvalidHeader, match="twice"):
        refuse(opening(redirects=1), 302, ("Location", "/a"), ("Location", "/b"))


@pytest.mark.parametrize("location", ["ws://example.com/", "http://example.com/"])
def test_never_from_wss_to_ws(location: str) -> None:
    with pytest.raises(SecurityError, match="not secure"):
        redirect(opening("wss://example.com/", redirects=5), location)


def test_so_many_and_no_more() -> None:
    one = opening(redirects=2)
    redirect(one, "/1")
    redirect(one, "/2")
    with pytest.raises(SecurityError, match="more than 2 redirects"):
        redirect(one, "/3")


def test_a_circle() -> None:
    one = opening(redirects=9)
    redirect(one, "/1")
    with pytest.raises(SecurityError, match="in a circle"):
        redirect(one, "/chat")


def test_a_redirect_to_itself_with_a_cookie_is_no_circle() -> None:
    one = opening(redirects=9, cookies=CookieJar())
    headers = refuse(one, 302, ("Location", "/chat"), ("Set-Cookie", "login=1"))
    assert headers["Cookie"] == "login=1"
    with pytest.raises(SecurityError, match="in a circle"):
        redirect(one, "/chat")


def test_the_same_origin_gets_the_same_credentials() -> None:
    one = opening("ws://user:pass@example.com/", redirects=1, additional_headers={"X-Key": "k"})
    headers = redirect(one, "ws://other:words@example.com:80/x")
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()
    assert headers["X-Key"] == "k"


@pytest.mark.parametrize(
    "location", ["ws://example.org/", "ws://example.com:81/", "wss://example.com/"]
)
@pytest.mark.parametrize("userinfo", ["user:pass@", ""])
def test_another_origin_gets_none(location: str, userinfo: str) -> None:
    one = opening(
        f"ws://{userinfo}example.com/",
        redirects=3,
        origin="http://example.com",
        subprotocols=["chat"],
        auth=None if userinfo else "token",
        additional_headers=[
            ("X-Key", "k"),
            ("Cookie", "c=1"),
            ("Proxy-Authorization", "p"),
            ("Host", "example.com"),
            ("Accept-Language", "en"),
        ],
    )
    headers = redirect(one, location)
    names = {name.lower() for name, _ in headers.raw_items()}
    assert not names & {"authorization", "x-key", "cookie", "proxy-authorization"}
    assert headers["Host"] == one.uri.host_header
    assert headers["Accept-Language"] == "en" and headers["Origin"] == "http://example.com"
    assert headers["Sec-WebSocket-Protocol"] == "chat"
    back = redirect(one, "wss://example.com/back" if one.uri.secure else "ws://example.com/back")
    assert "Authorization" not in back and "X-Key" not in back
    with pytest.raises(InvalidStatus):  # nor when it asks for them
        refuse(one, 401, ("WWW-Authenticate", "Basic realm=x"))


def test_where_tcp_goes() -> None:
    one = opening("wss://example.com/", redirects=2, host="127.0.0.1", port=81, server_hostname="x")
    assert (one.where.host, one.where.port, one.server_hostname) == ("127.0.0.1", 81, "x")
    redirect(one, "/same")
    assert (one.where.host, one.where.port, one.server_hostname) == ("127.0.0.1", 81, "x")
    redirect(one, "wss://example.org:82/")
    assert (one.where.host, one.where.port) == ("example.org", 82)
    assert one.server_hostname == "example.org"


def test_a_unix_socket_is_not_left() -> None:
    one = opening("ws://localhost/", redirects=2, path="/run/socket")
    redirect(one, "/there")
    assert one.where.path == "/run/socket"
    with pytest.raises(SecurityError, match="Unix"):
        redirect(one, "ws://example.com/")


def test_a_socket_is_used_once() -> None:
    left, right = socket.socketpair()
    with left, right, pytest.raises(InvalidStatus):
        redirect(opening(redirects=1, sock=left), "/there")


def test_ws_to_wss_has_a_context() -> None:
    one = opening(redirects=1)
    redirect(one, "wss://example.com/")
    assert one.context.check_hostname


@pytest.mark.parametrize("location", ["wss://example.com:81/", "https://example.org/"])
def test_a_context_is_for_the_origin_that_the_user_named(location: str) -> None:
    given = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it may hold a client certificate
    one = opening("wss://example.com/", redirects=3, ssl=given)
    redirect(one, "/same")
    assert one.context is given
    redirect(one, location)
    assert one.context is not given and one.context.check_hostname
    redirect(one, "wss://example.com/back")
    assert one.context is not given


def test_a_certificate_that_the_other_origin_would_have_needed_the_users_context_for() -> None:
    one = opening("wss://example.com/", redirects=1, proxy=None, ssl=ssl.create_default_context())
    redirect(one, "wss://example.org/?token=secret")
    steps = one.route()
    next(steps)  # connect
    assert isinstance(next(steps), StartTls)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        steps.throw(ssl.SSLCertVerificationError("unknown authority"))
    (note,) = caught.value.__notes__
    assert "wss://example.org/, and ssl= is for the first origin" in note


def test_tokens_in_addresses_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    one = opening("wss://user:secret@example.com/", redirects=1)
    with caplog.at_level(logging.DEBUG):
        redirect(one, "wss://other:secret@example.com/there?token=secret")
    assert "redirected to wss://example.com/there" in caplog.text
    told = [caplog.text]
    for location in ("/on?token=secret", "/there?token=secret", "ws://u:secret@b/?t=secret"):
        with pytest.raises(SecurityError) as caught:
            redirect(one, location)
        told.append(str(caught.value))
    with pytest.raises(InvalidHeader) as bad:
        redirect(opening(redirects=1), "ftp://user:secret@example.com/?token=secret")
    told.append(str(bad.value))
    assert "secret" not in " ".join(told)


# -- 401 ----------------------------------------------------------------------------------------


def test_credentials_answer_a_401() -> None:
    one = opening(auth=("user", "pass"))
    assert "Authorization" not in one.handshake().request.headers
    headers = refuse(one, 401, ("WWW-Authenticate", 'Basic realm="x"'))
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()
    with pytest.raises(InvalidStatus):
        refuse(one, 401, ("WWW-Authenticate", 'Basic realm="x"'))


def test_without_credentials_a_401_is_the_last_word() -> None:
    with pytest.raises(InvalidStatus, match="401"):
        refuse(opening(), 401, ("WWW-Authenticate", "Basic realm=x"))


# -- cookies ------------------------------------------------------------------------------------


def test_cookies_go_out_and_come_in() -> None:
    jar = CookieJar()
    one = opening(cookies=jar)
    one.opened(Response(101, "", Headers([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])))
    headers = opening(cookies=jar).handshake().request.headers
    assert set(headers["Cookie"].split("; ")) == {"a=1", "b=2"}
    with pytest.raises(InvalidStatus):
        refuse(one, 403, ("Set-Cookie", "a=3"))
    assert "a=3" in opening(cookies=jar).handshake().request.headers["Cookie"]


def test_a_cookie_header_of_the_users_wins() -> None:
    jar = CookieJar()
    opening(cookies=jar).opened(Response(101, "", Headers({"Set-Cookie": "a=1"})))
    one = opening(cookies=jar, additional_headers={"Cookie": "mine=1"})
    assert one.handshake().request.headers.get_all("Cookie") == ["mine=1"]


# -- turns --------------------------------------------------------------------------------------


def test_turns() -> None:
    address = ("192.0.2.77", 80)
    first, second = opening(), opening()
    granted = first.take_turn(address)
    waiting = second.take_turn(address)
    assert granted is not None and granted.granted
    assert waiting is not None and not waiting.granted
    first.leave_turns()
    assert waiting.granted
    second.leave_turns()
    third = TURNS.enter(address, 1)
    assert third.granted
    third.leave()


def test_no_turns_here_or_without_the_bound() -> None:
    assert opening().take_turn(("127.0.0.1", 80)) is None
    free = opening(limits=Limits(max_connecting=None))
    assert free.take_turn(("192.0.2.77", 80)) is None
