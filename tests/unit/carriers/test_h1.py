"""One HTTP/1.1 connection of a server, request by request."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.carriers.h1 import CONTINUE, ServerCarrier
from duplexer.carriers.routes import Routes, text
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import HttpError
from duplexer.handshake.server import ServerOptions, accept, is_upgrade
from duplexer.http.headers import Headers
from duplexer.http.messages import SERVER, Request, Response
from duplexer.limits import DEFAULT_LIMITS, Limits

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def carrier(routes: Any = None, limits: Limits = DEFAULT_LIMITS, **options: Any) -> ServerCarrier:
    return ServerCarrier(limits, Routes(routes), **options)


def received(server: ServerCarrier, data: bytes) -> Request:
    request = server.receive(data)
    assert request is not None
    return request


def serve(server: ServerCarrier, data: bytes) -> bytes:
    """What a front does with ``data``, up to the end of the connection; gives what it writes."""
    written = b""
    try:
        request = server.receive(data)
        while request is not None:
            if is_upgrade(request):
                options = ServerOptions()
                agreement = accept(request, options, secure=False, dialects=(RFC6455,))
                return written + agreement.response.serialize() + b"<" + server.take_rest() + b">"
            response = server.target(request).call(request)
            assert isinstance(response, Response)
            written += server.respond(request, response, date=DATE)
            request = server.next_request()
        written += server.interim()
    except HttpError as error:
        written += server.refuse(error, date=DATE)
    return written


def head(data: bytes) -> tuple[bytes, Headers, bytes]:
    """Status line, headers and what follows."""
    start, _, rest = data.partition(b"\r\n\r\n")
    line, _, lines = start.partition(b"\r\n")
    return line, Headers.from_lines(lines), rest


class TestAnswers:
    def test_usual(self) -> None:
        server = carrier({"/": text("hello")})
        assert serve(server, GET) == (
            b"HTTP/1.1 200 OK\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 5\r\n"
            b"Date: " + DATE.encode() + b"\r\n"
            b"Server: " + SERVER.encode() + b"\r\n"
            b"\r\n"
            b"hello"
        )
        assert not server.closing

    def test_head(self) -> None:
        server = carrier({"/": text("hello")})
        _, headers, rest = head(serve(server, GET.replace(b"GET", b"HEAD")))
        assert headers["Content-Length"] == "5"
        assert rest == b""
        assert not server.closing

    def test_head_may_have_another_length(self) -> None:
        large = Response(200, "OK", Headers({"Content-Length": "1000000"}))
        server = carrier({"/": large})
        _, headers, rest = head(serve(server, GET.replace(b"GET", b"HEAD")))
        assert (headers["Content-Length"], rest) == ("1000000", b"")

    def test_length_is_that_of_the_body(self) -> None:
        wrong = Response(
            200, "OK", Headers([("content-length", "99"), ("Content-Length", "1")]), b"ab"
        )
        _, headers, rest = head(serve(carrier({"/": wrong}), GET))
        assert headers.get_all("Content-Length") == ["2"]
        assert rest == b"ab"

    @pytest.mark.parametrize("status", [204, 304])
    def test_no_body(self, status: int) -> None:
        empty = Response(status, "", Headers({"Content-Length": "5"}), b"never")
        _, headers, rest = head(serve(carrier({"/": empty}), GET))
        assert rest == b""
        assert ("Content-Length" in headers) is (status == 304)

    def test_what_concerns_the_connection_is_ours(self) -> None:
        odd = text("x", headers={"Transfer-Encoding": "chunked", "Keep-Alive": "5", "Trailer": "a"})
        _, headers, _ = head(serve(carrier({"/": odd}), GET))
        for name in ("Transfer-Encoding", "Keep-Alive", "Trailer", "Connection"):
            assert name not in headers

    def test_a_constant_stays_as_it_is(self) -> None:
        constant = text("x", headers={"Connection": "close"})
        before = constant.headers.copy()
        for _ in range(2):
            serve(carrier({"/": constant}), GET)
        assert list(constant.headers.raw_items()) == list(before.raw_items())

    def test_headers_of_the_user_win(self) -> None:
        mine = text("x", headers={"Server": "me", "Date": "today"})
        _, headers, _ = head(serve(carrier({"/": mine}), GET))
        assert headers.get_all("Server") == ["me"]
        assert headers.get_all("Date") == ["today"]

    def test_without_date_and_server(self) -> None:
        server = carrier(server_header=None)
        request = received(server, GET)
        _, headers, _ = head(server.respond(request, text("x")))
        assert "Date" not in headers
        assert "Server" not in headers

    @pytest.mark.parametrize("status", [100, 101, 103])
    def test_not_final(self, status: int) -> None:
        server = carrier()
        request = received(server, GET)
        with pytest.raises(ValueError, match="cannot be the last answer"):
            server.respond(request, Response(status, "", Headers()))
        server.respond(request, text("instead"))

    @pytest.mark.parametrize("result", ["ok", None, 200, b"ok"])
    def test_not_a_response(self, result: Any) -> None:
        server = carrier()
        request = received(server, GET)
        with pytest.raises(TypeError, match="must give back a Response, not"):
            server.respond(request, result)

    def test_injection(self) -> None:
        server = carrier()
        request = received(server, GET)
        with pytest.raises(ValueError, match="reason"):
            server.respond(request, Response(200, "OK\r\nX: 1", Headers()))


class TestKeepingAlive:
    def test_many_requests(self) -> None:
        server = carrier({"/": text("a")})
        for _ in range(3):
            assert serve(server, GET).startswith(b"HTTP/1.1 200 OK\r\n")
            assert not server.closing

    def test_pipeline(self) -> None:
        server = carrier({"/": text("a"), "/b": text("b")})
        written = serve(server, GET + GET.replace(b"/ ", b"/b ") + GET[:10])
        assert written.count(b"HTTP/1.1 200 OK") == 2
        assert written.endswith(b"b")
        assert server.started
        assert serve(server, GET[10:]).count(b"HTTP/1.1 200 OK") == 1

    @pytest.mark.parametrize(
        ("line", "closing"),
        [
            (b"Connection: close", True),
            (b"Connection: Close", True),
            (b"Connection: x, close", True),
            (b"Connection: x\r\nConnection: close", True),
            (b"Connection: keep-alive", False),
            (b"Connection: closed", False),
            (b"Upgrade: h2c\r\nConnection: Upgrade", False),
        ],
    )
    def test_clients_wish(self, line: bytes, closing: bool) -> None:
        server = carrier({"/": text("a")})
        written = serve(server, GET[:-2] + line + b"\r\n\r\n" + GET)
        assert server.closing is closing
        assert written.count(b"HTTP/1.1 200") == (1 if closing else 2)
        _, headers, _ = head(written)
        assert headers.get("Connection") == ("close" if closing else None)

    def test_servers_wish(self) -> None:
        server = carrier({"/": text("a", headers={"Connection": "close"})})
        written = serve(server, GET + GET)
        assert written.count(b"HTTP/1.1 200") == 1
        assert head(written)[1]["Connection"] == "close"
        assert server.closing

    def test_1_0_is_closed(self) -> None:
        server = carrier({"/": text("a")})
        written = serve(server, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert head(written)[1]["Connection"] == "close"
        assert server.closing

    def test_no_route(self) -> None:
        server = carrier()
        line, headers, _ = head(serve(server, GET))
        assert line == b"HTTP/1.1 426 Upgrade Required"
        assert headers["Upgrade"] == "websocket"
        assert headers["Connection"] == "Upgrade"
        assert not server.closing

    def test_post(self) -> None:
        seen = []

        def hook(request: Request) -> Response:
            seen.append(request.body)
            return text("")

        server = carrier({"/": {"POST": hook}})
        post = GET.replace(b"GET", b"POST")[:-2]
        serve(server, post + b"Content-Length: 3\r\n\r\nabc" + GET)
        serve(server, post + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
        assert seen == [b"abc", b"x"]

    def test_finish(self) -> None:
        server = carrier({"/": text("a")})
        server.finish()
        assert server.closing
        server = carrier({"/": text("a")})
        request = received(server, GET)
        server.finish()
        closing = [server.closing]
        assert head(server.respond(request, text("")))[1]["Connection"] == "close"
        assert [*closing, server.closing] == [False, True]


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"GET / HTTP/1.1\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\n", b"400"),
            (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", b"505"),
            (b"GET /" + b"a" * 9000, b"414"),
            (GET[:-2] + b"A: " + b"a" * 9000, b"431"),
            (GET[:-2] + b"Content-Length: 9999999\r\n\r\n", b"413"),
            (GET[:-2] + b"Transfer-Encoding: gzip\r\n\r\n", b"501"),
            (GET[:-2] + b"Expect: x\r\n\r\n", b"417"),
            (b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", b"405"),
        ],
    )
    def test_malformed(self, data: bytes, status: bytes) -> None:
        server = carrier({"/": text("a")})
        written = serve(server, data)
        line, headers, rest = head(written)
        assert line.split(b" ")[1] == status
        assert headers["Connection"] == "close"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Date"] == DATE
        assert headers["Content-Length"] == str(len(rest))
        assert server.closing
        assert serve(server, GET) == b""
        assert server.next_request() is None

    def test_host(self) -> None:
        server = carrier({"/": text("a")}, allowed_hosts=["h"])
        assert serve(server, GET).startswith(b"HTTP/1.1 200 ")
        assert serve(server, GET.replace(b": h", b": evil")).startswith(b"HTTP/1.1 421 ")
        assert server.closing
        with pytest.raises(TypeError):
            carrier(allowed_hosts="h")

    @pytest.mark.parametrize(
        "lines",
        [
            b"Origin: http://evil.com\r\n",
            b"Content-Length: 30\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Sec-WebSocket-Version: 8\r\n",
        ],
    )
    def test_refused_upgrade_ends_the_connection(self, lines: bytes) -> None:
        smuggled = []
        server = carrier({"/": lambda request: smuggled.append(request)})
        written = serve(server, UPGRADE + lines + b"\r\n" + GET)
        assert written.count(b"HTTP/1.1 ") == 1
        assert head(written)[1]["Connection"] == "close"
        assert server.closing
        assert serve(server, GET) == b""
        assert smuggled == []

    def test_upgrade_that_is_answered_as_a_page_ends_the_connection(self) -> None:
        server = carrier()
        request = received(server, UPGRADE + b"\r\n" + GET)
        assert head(server.respond(request, text("no")))[1]["Connection"] == "close"
        assert server.closing
        assert server.next_request() is None

    def test_first_frames_are_dropped_then(self) -> None:
        server = carrier()
        assert b"\x81\x00" not in serve(server, UPGRADE + b"Origin: http://evil\r\n\r\n\x81\x00")
        assert server.take_rest() == b""


class TestUpgrade:
    def test_first_frames(self) -> None:
        written = serve(carrier(), UPGRADE + b"\r\n\x81\x85frame")
        assert written.startswith(b"HTTP/1.1 101 ")
        assert written.endswith(b"\r\n\r\n<\x81\x85frame>")

    def test_frames_that_come_while_it_is_decided(self) -> None:
        server = carrier()
        received(server, UPGRADE + b"\r\n\x81")
        assert server.paused
        assert server.receive(b"\x85fra") is None
        assert server.take_rest() == b"\x81\x85fra"

    def test_after_plain_requests(self) -> None:
        written = serve(carrier({"/": text("a")}), GET + UPGRADE + b"\r\n")
        assert written.count(b"HTTP/1.1 200") == 1
        assert written.count(b"HTTP/1.1 101") == 1


class TestContinue:
    POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"

    def test_told_once(self) -> None:
        server = carrier({"/": {"POST": text("a")}})
        assert serve(server, self.POST) == CONTINUE
        assert server.interim() == b""
        assert serve(server, b"ab").startswith(b"HTTP/1.1 200 ")
        assert serve(server, self.POST) == CONTINUE

    def test_not_needed(self) -> None:
        server = carrier({"/": {"POST": text("a")}})
        assert serve(server, self.POST + b"a") == b""
        assert serve(server, b"b").startswith(b"HTTP/1.1 200 ")

    def test_too_large(self) -> None:
        server = carrier(limits=Limits(max_body=1))
        assert serve(server, self.POST).startswith(b"HTTP/1.1 413 ")


class TestBounds:
    def test_one_request_at_a_time(self) -> None:
        server = carrier({"/": text("a")})
        pauses = [server.paused]
        request = received(server, GET + GET)
        pauses.append(server.paused)
        assert server.receive(GET) is None
        assert server.next_request() is None
        server.respond(request, text(""))
        pauses.append(server.paused)
        assert pauses == [False, True, False]
        for _ in range(2):
            following = server.next_request()
            assert following is not None
            server.respond(following, text(""))
        assert server.next_request() is None

    def test_pipelined_flood(self) -> None:
        server = carrier({"/": text("a")}, Limits(max_ahead=100 * len(GET)))
        received(server, GET)
        for _ in range(10):
            server.receive(GET * 10)
        with pytest.raises(BufferError, match="max_ahead"):
            server.receive(GET)

    def test_many_pipelined_requests(self) -> None:
        server = carrier({"/": text("a")})
        written = serve(server, GET * 2000)
        assert written.count(b"HTTP/1.1 200 OK") == 2000

    @pytest.mark.parametrize(
        "one",
        [
            GET,
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nX: "
            + b"x" * 7000
            + b"\r\nY: "
            + b"y" * 7000
            + b"\r\n\r\n",
        ],
        ids=["plain", "length", "chunked", "long"],
    )
    @pytest.mark.parametrize("cut", [0, 20], ids=["whole", "cut"])
    def test_pipelined_requests_are_not_copied_with_each(self, one: bytes, cut: int) -> None:
        """What a read brings is gone through once, however many requests it has."""
        server = carrier({"/": {"GET": text("page"), "POST": text("page")}})
        data = one * (1_000_000 // len(one))
        if cut:
            assert server.receive(data[:cut]) is None
            data = data[cut:]
        request, most = received(server, data), 0
        tracemalloc.start()
        try:
            for _ in range(20):
                server.respond(request, text("page"))
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                following = server.next_request()
                assert following is not None
                request = following
                most = max(most, tracemalloc.get_traced_memory()[1] - before)
        finally:
            tracemalloc.stop()
        assert most < 200_000


class TestDeadlines:
    def test_stages(self) -> None:
        limits = Limits(open_timeout=10, keep_alive_timeout=30)
        server = carrier({"/": text("a")}, limits)
        stages = [(server.stage, server.timeout)]

        def note() -> None:
            stages.append((server.stage, server.timeout))

        server.receive(GET[:5])
        note()
        request = received(server, GET[5:])
        note()
        server.respond(request, text(""))
        note()
        server.receive(GET[:5])
        note()
        server.receive(GET[5:9])
        note()
        received(server, GET[9:])
        note()
        assert stages == [(0, 10), (0, 10), (1, None), (2, 30), (3, 10), (3, 10), (4, None)]

    def test_expiry(self) -> None:
        server = carrier()
        assert server.expire() == b""
        assert server.closing
        for start in (b"G", GET[:-2], GET[:-2] + b"Content-Length: 5\r\n\r\nab"):
            server = carrier()
            assert server.receive(start) is None
            line, headers, _ = head(server.expire(date=DATE))
            assert line == b"HTTP/1.1 408 Request Timeout"
            assert headers["Connection"] == "close"
            assert server.closing
            assert server.timeout is None

    def test_no_bound(self) -> None:
        assert carrier(limits=Limits(open_timeout=None)).timeout is None

    def test_secure(self) -> None:
        assert b"wss://h/" in serve(carrier(secure=True), GET)
        assert b"ws://h/" in serve(carrier(), GET)


STREAM = st.lists(
    st.sampled_from(
        [
            GET,
            GET.replace(b"GET", b"HEAD"),
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            GET[:-2] + b"Connection: close\r\n\r\n",
            UPGRADE + b"\r\n",
            b"\r\n",
            b"x",
            b"\x81\x00",
        ]
    ),
    max_size=6,
)


@given(STREAM, st.data())
def test_output_does_not_depend_on_cuts(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)

    def run(pieces: list[bytes]) -> bytes:
        server = carrier({"/": text("a")})
        written = b""
        upgraded = False
        for piece in pieces:
            if upgraded:
                written = written[:-1] + piece + b">"
            else:
                written += serve(server, piece)
                upgraded = b"HTTP/1.1 101 " in written
        return written

    cut = data.draw(st.integers(0, len(stream)))
    assert run([stream[:cut], stream[cut:]]) == run([stream])
    assert run([stream[i : i + 1] for i in range(len(stream))]) == run([stream])
