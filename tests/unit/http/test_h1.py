"""Reading requests and responses: the same verdict however the bytes are cut."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexer.errors import HttpError, InvalidMessage
from duplexer.http.h1 import MAX_INTERIM, RequestReader, ResponseReader
from duplexer.http.headers import Headers
from duplexer.http.messages import Request, Response
from duplexer.limits import DEFAULT_LIMITS, Limits

UPGRADE = (
    b"GET /chat?x=1 HTTP/1.1\r\n"
    b"Host: localhost:8765\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"\r\n"
)

Verdict = tuple[object, ...]


def read(pieces: Iterable[bytes], limits: Limits = DEFAULT_LIMITS) -> Verdict:
    """What a server makes of one request: itself and what is left, a status, or nothing yet."""
    reader = RequestReader(limits)
    request: Request | None = None
    rest = b""
    try:
        for piece in pieces:
            if request is None:
                request = reader.feed(piece)
                if request is not None:
                    rest = piece[reader.stop :]
            else:
                rest += piece
    except HttpError as error:
        return ("error", error.status)
    return ("incomplete",) if request is None else ("request", request, rest)


def cuts(data: bytes, sizes: Iterable[int] = (1, 2, 3, 7, 64)) -> Iterator[list[bytes]]:
    """Ways to cut ``data``: whole, in two at every place, and in equal pieces."""
    yield [data]
    places = range(len(data) + 1) if len(data) < 700 else range(0, len(data) + 1, 97)
    for place in places:
        yield [data[:place], data[place:]]
    for size in sizes:
        yield [data[i : i + size] for i in range(0, len(data), size)]


def verdict(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Verdict:
    """The verdict, after making sure that it is the same for all cuts."""
    expected = read([data], limits)
    for pieces in cuts(data):
        assert read(pieces, limits) == expected, pieces[:2]
    return expected


def accepted(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Request:
    kind, request, *_ = *verdict(data, limits), None
    assert kind == "request", kind
    assert isinstance(request, Request)
    return request


def refused(data: bytes, limits: Limits = DEFAULT_LIMITS) -> int:
    kind, status, *_ = *verdict(data, limits), None
    assert kind == "error", (kind, status)
    assert isinstance(status, int)
    return status


def get(*lines: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: h\r\n") -> bytes:
    return line + b"\r\n" + host + b"".join([text + b"\r\n" for text in lines]) + b"\r\n"


class TestRequest:
    def test_upgrade(self) -> None:
        request = accepted(UPGRADE)
        assert request == Request(
            "/chat?x=1",
            Headers(
                {
                    "Host": "localhost:8765",
                    "Connection": "Upgrade",
                    "Upgrade": "websocket",
                    "Sec-WebSocket-Version": "13",
                    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                }
            ),
        )
        assert request.serialize() == UPGRADE

    def test_what_follows_is_kept(self) -> None:
        assert verdict(UPGRADE + b"\x81\x85frame")[2] == b"\x81\x85frame"

    def test_no_headers(self) -> None:
        assert accepted(b"GET / HTTP/1.0\r\n\r\n").version == "HTTP/1.0"

    def test_headers(self) -> None:
        request = accepted(get(b"A:1", b"B: \t 2 \t", b"C:", b"a: 3", b"D: \xe9\x80"))
        headers = request.headers
        assert headers.get_all("A") == ["1", "3"]
        assert headers["B"] == "2"
        assert headers["C"] == ""
        assert headers["D"] == "\xe9\x80"
        assert [name for name, _ in headers.raw_items()] == ["Host", "A", "B", "C", "a", "D"]

    def test_one_empty_line_before(self) -> None:
        assert accepted(b"\r\n" + UPGRADE).path == "/chat?x=1"
        assert refused(b"\r\n\r\n" + UPGRADE) == 400

    @pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"BREW", b"get", b"M-SEARCH"])
    def test_methods(self, method: bytes) -> None:
        assert accepted(get(line=method + b" / HTTP/1.1")).method == method.decode()

    def test_one_reader_reads_many(self) -> None:
        reader = RequestReader(DEFAULT_LIMITS)
        data = get() + get(b"Content-Length: 2", line=b"POST /2 HTTP/1.1") + b"hi" + get()
        paths = []
        while reader.stop < len(data):
            request = reader.feed(data, reader.stop)
            assert request is not None
            paths.append((request.path, request.body))
        assert paths == [("/", b""), ("/2", b"hi"), ("/", b"")]

    def test_started(self) -> None:
        reader = RequestReader(DEFAULT_LIMITS)
        seen = [reader.started]
        for piece in (b"G", get(b"Content-Length: 1")[1:], b"x"):
            reader.feed(piece)
            seen.append(reader.started)
        assert seen == [False, True, True, False]


class TestRequestLine:
    @pytest.mark.parametrize(
        ("line", "status"),
        [
            (b"GET /", 400),
            (b"GET", 400),
            (b"GET  / HTTP/1.1", 400),
            (b"GET / HTTP/1.1 ", 400),
            (b" GET / HTTP/1.1", 400),
            (b"GET /a b HTTP/1.1", 400),
            (b"GET\t/\tHTTP/1.1", 400),
            (b"G(T / HTTP/1.1", 400),
            (b"G\xc3T / HTTP/1.1", 400),
            (b": / HTTP/1.1", 400),
            (b"GET / http/1.1", 400),
            (b"GET / HTTP/1.1x", 400),
            (b"GET / HTTP/11", 400),
            (b"GET / HTTP/1", 400),
            (b"GET / HTTP/a.b", 400),
            (b"GET / HTTP/\xb2.0", 400),
            (b"GET / HTTPS/1.1", 400),
            (b"GET / HTTP/1.2", 505),
            (b"GET / HTTP/2.0", 505),
            (b"GET / HTTP/0.9", 505),
            (b"PRI * HTTP/2.0", 505),
            (b"GET /# HTTP/1.1", 400),
            (b"GET /a#b HTTP/1.1", 400),
            (b"GET /\xe9 HTTP/1.1", 400),
            (b"GET /\xc2\xa0 HTTP/1.1", 400),
            (b"GET * HTTP/1.1", 400),
            (b"OPTIONS * HTTP/1.1", 400),
            (b"GET path HTTP/1.1", 400),
            (b"GET h:80 HTTP/1.1", 400),
            (b"GET ?a HTTP/1.1", 400),
            (b"CONNECT h:80 HTTP/1.1", 405),
            (b"GET ftp://h/ HTTP/1.1", 400),
            (b"GET http:// HTTP/1.1", 400),
            (b"GET http:///x HTTP/1.1", 400),
            (b"GET http://u@h/ HTTP/1.1", 400),
            (b"GET http://other/ HTTP/1.1", 400),
            (b"GET http://h:80/ HTTP/1.1", 400),
        ],
    )
    def test_refused(self, line: bytes, status: int) -> None:
        assert refused(get(line=line)) == status

    @pytest.mark.parametrize("byte", [*range(0x20), 0x7F])
    def test_controls(self, byte: int) -> None:
        char = bytes([byte])
        for line in (
            b"GET /a" + char + b"b HTTP/1.1",
            b"GE" + char + b"T / HTTP/1.1",
            b"GET / HTTP/1.1" + char,
            b"GET / HTTP/1" + char + b".1",
        ):
            assert refused(get(line=line)) == 400

    @pytest.mark.parametrize(
        ("target", "path"),
        [
            (b"http://h/a?b", "/a?b"),
            (b"HTTP://H/a", "/a"),
            (b"ws://h", "/"),
            (b"wss://h?x", "/?x"),
            (b"https://h/http://x?y?z", "/http://x?y?z"),
        ],
    )
    def test_absolute_form(self, target: bytes, path: str) -> None:
        assert accepted(get(line=b"GET " + target + b" HTTP/1.1")).path == path

    def test_absolute_form_is_forgotten(self) -> None:
        reader = RequestReader(DEFAULT_LIMITS)
        assert reader.feed(get(line=b"GET http://h/ HTTP/1.1"))
        assert reader.feed(get(host=b"Host: other\r\n"))

    def test_other_characters_are_taken(self) -> None:
        path = b"/!$&'()*+,;=:@%41%zz[]{}|^`\"<>\\~/../.;/?a?b"
        assert accepted(get(line=b"GET " + path + b" HTTP/1.1")).path == path.decode()

    @pytest.mark.parametrize("start", [b"\x16\x03\x01\x02\x00", b"\0", b"\x80\x2e", b"\xff", b"\n"])
    def test_other_protocols_are_seen_at_the_first_byte(self, start: bytes) -> None:
        reader = RequestReader(DEFAULT_LIMITS)
        with pytest.raises(HttpError) as raised:
            reader.feed(start[:1])
        assert raised.value.status == 400
        assert ("TLS" in raised.value.text) is (start[0] == 0x16)
        assert refused(start + b"x" * 10_000) == 400


class TestHeaderLines:
    @pytest.mark.parametrize("byte", [*range(0x20), 0x7F])
    def test_controls(self, byte: int) -> None:
        char = bytes([byte])
        for line in (b"X" + char + b"Y: 1", char + b"X: 1", b"X" + char + b": 1"):
            assert refused(get(line)) == 400
            assert refused(UPGRADE[:-2] + line + b"\r\n\r\n") == 400
        for line in (b"X: 1" + char + b"2", b"X:" + char, b"X: 1" + char):
            if byte != 9:
                assert refused(get(line)) == 400
                assert refused(get(line, b"Y: 1")) == 400
            else:
                accepted(get(line))

    @pytest.mark.parametrize(
        "line",
        [
            b"X", b": 1", b"X : 1", b"X\t: 1", b" X: 1", b"\tX: 1", b"X Y: 1", b"X(: 1",
            b"X\xe9: 1",             b'"X": 1', b"X,Y: 1", b"Host", b"X=1", b"\xa0X: 1",
            b"Upgrade", b"X/Y: 1", b"X@: 1",
        ],
    )  # fmt: skip
    def test_malformed(self, line: bytes) -> None:
        assert refused(get(line)) == 400
        assert refused(get(b"A: 1", line, b"B: 2")) == 400

    @pytest.mark.parametrize("fold", [b" ", b"\t", b"  \t"])
    def test_no_folding(self, fold: bytes) -> None:
        assert refused(get(b"X: 1\r\n" + fold + b"2")) == 400

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.1\nHost: h\n\n",
            b"GET / HTTP/1.1\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\n\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nA: 1\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\r\nA: 1\r\n\r\n",
            b"GET / HTTP/1.1\rHost: h\r\n\r\n",
            b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        ],
    )
    def test_line_ends(self, data: bytes) -> None:
        assert refused(data) == 400

    def test_bare_line_feeds_are_told_at_once(self) -> None:
        """Not when a deadline strikes, because CRLF CRLF never comes."""
        with pytest.raises(HttpError) as raised:
            RequestReader(DEFAULT_LIMITS).feed(b"GET / HTTP/1.1\n")
        assert raised.value.status == 400

    def test_incomplete(self) -> None:
        for end in range(1, len(UPGRADE)):
            assert read([UPGRADE[:end]]) == ("incomplete",)


class TestHost:
    @pytest.mark.parametrize(
        "host",
        [
            b"",
            b"Host: h\r\nHost: h\r\n",
            b"Host: h\r\nhost: i\r\n",
            b"Host:\r\nHost:\r\n",
            b"Host: a b\r\n",
            b"Host: a/b\r\n",
            b"Host: u@a\r\n",
            b"Host: a:b\r\n",
            b"Host: a, b\r\n",
            b"Host: \xe9\r\n",
            b"Host: http://a\r\n",
            b"Host: [::1\r\n",
        ],
    )
    def test_refused(self, host: bytes) -> None:
        assert refused(get(host=host)) == 400

    def test_not_needed_in_1_0(self) -> None:
        accepted(get(line=b"GET / HTTP/1.0", host=b""))
        assert refused(get(line=b"GET / HTTP/1.0", host=b"Host: a\r\nHost: a\r\n")) == 400

    def test_may_be_empty(self) -> None:
        accepted(get(host=b"Host:\r\n"))


SMALL = Limits(max_request_line=40, max_header_line=50, max_header_bytes=120, max_headers=5)


class TestBounds:
    def test_request_line(self) -> None:
        fits = b"GET /" + b"a" * 26 + b" HTTP/1.1"
        assert len(fits) == 40
        accepted(get(line=fits), SMALL)
        assert refused(get(line=b"GET /a" + fits[5:]), SMALL) == 414
        assert refused(b"G" * 41, SMALL) == 414
        assert read([b"G" * 40], SMALL) == ("incomplete",)
        assert read([b"G" * 40 + b"\r"], SMALL) == ("incomplete",)

    def test_header_line(self) -> None:
        fits = b"A: " + b"a" * 47
        accepted(get(fits), SMALL)
        assert refused(get(fits + b"a"), SMALL) == 431
        assert refused(get()[:-2] + b"a" * 51, SMALL) == 431
        assert read([get()[:-2] + b"a" * 50 + b"\r"], SMALL) == ("incomplete",)

    def test_header_bytes(self) -> None:
        lines = [b"A: " + b"a" * 43] * 2
        assert len(get(*lines, line=b"", host=b"")) == 100
        accepted(get(*lines, b"B: 1234567", line=b"GET / HTTP/1.0", host=b""), SMALL)
        assert refused(get(*lines, b"B: " + b"1" * 30), SMALL) == 431

    def test_count(self) -> None:
        accepted(get(*[b"A: 1"] * 4), SMALL)
        assert refused(get(*[b"A: 1"] * 5), SMALL) == 431

    def test_flood_of_headers(self) -> None:
        many = [b"x%d: y" % number for number in range(5000)]
        assert refused(get(*many)) == 431
        assert refused(get(*many, b"Upgrade: websocket")) == 431
        assert refused(get(b"Upgrade: websocket", *many)) == 431

    def test_defaults(self) -> None:
        assert refused(b"GET /" + b"a" * 9000) == 414
        assert refused(b"GET / HTTP/1.1\r\nA: " + b"a" * 9000) == 431
        assert refused(get(*[b"A: " + b"a" * 4000] * 5)) == 431
        accepted(get(*[b"A: " + b"a" * 4000] * 4))

    def test_first_offence_decides(self) -> None:
        assert refused(get(b"A : 1", b"B: " + b"b" * 60), SMALL) == 400
        assert refused(get(b"B: " + b"b" * 60, b"A : 1"), SMALL) == 431
        assert refused(get(b"A : 1", *[b"B: 1"] * 9), SMALL) == 400
        assert refused(get(*[b"B: 1"] * 9, b"A : 1"), SMALL) == 431
        assert refused(get(b"A : 1", line=b"GET /" + b"a" * 60), SMALL) == 414

    def test_memory_is_bounded(self) -> None:
        reader = RequestReader(DEFAULT_LIMITS)
        with pytest.raises(HttpError):
            for _ in range(1 << 20):
                reader.feed(b"a")
        assert len(reader._buffer) <= DEFAULT_LIMITS.max_request_line + 1

    def test_a_byte_is_looked_at_once(self) -> None:
        """Sixteen times the bytes, one at a time, in far less than 16 * 16 times the time."""

        def cost(size: int) -> float:
            data = get(b"A: " + b"a" * size)
            limits = Limits(max_header_line=1 << 20, max_header_bytes=1 << 20)
            reader = RequestReader(limits)
            start = time.thread_time()
            for i in range(len(data)):
                reader.feed(data[i : i + 1])
            return time.thread_time() - start

        assert any(cost(32_000) < 80 * cost(2_000) for _ in range(5))


class TestBody:
    def test_by_length(self) -> None:
        data = get(b"Content-Length: 5", line=b"POST / HTTP/1.1") + b"hello"
        assert accepted(data).body == b"hello"
        assert verdict(data + b"GET")[2] == b"GET"
        assert verdict(data[:-1]) == ("incomplete",)
        assert accepted(get(b"Content-Length: 0")).body == b""
        assert accepted(get(b"Content-Length: 005") + b"hello").body == b"hello"

    @pytest.mark.parametrize(
        "value",
        [
            b"", b"-1", b"+1", b"1_0", b"0x1", b"1.0", b"1 1", b"1,1", b"1, 1", b"a", b"\xb2",
            "\u0663".encode(), b"9" * 20, b'"1"', b"1;", b"\xef\xbc\x91",
        ],
    )  # fmt: skip
    def test_malformed_length(self, value: bytes) -> None:
        assert refused(get(b"Content-Length: " + value) + b"x") == 400

    def test_several_lengths(self) -> None:
        assert refused(get(b"Content-Length: 1", b"content-length: 1") + b"x") == 400
        assert refused(get(b"Content-Length: 0", b"Content-Length: 0")) == 400

    def test_length_and_coding(self) -> None:
        for lines in ([b"Content-Length: 1", b"Transfer-Encoding: chunked"],) * 2:
            assert refused(get(*lines) + b"0\r\n\r\n") == 400
            lines.reverse()

    @pytest.mark.parametrize(
        ("value", "status"),
        [
            (b"gzip", 501),
            (b"gzip, chunked", 501),
            (b"chunked, chunked", 501),
            (b"identity", 501),
            (b"", 501),
            (b"xchunked", 501),
            (b"\x0bchunked", 400),
            (b"chunked\r\nTransfer-Encoding: chunked", 400),
        ],
    )
    def test_other_codings(self, value: bytes, status: int) -> None:
        assert refused(get(b"Transfer-Encoding: " + value) + b"0\r\n\r\n") == status

    def test_chunked_in_1_0(self) -> None:
        data = get(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0") + b"0\r\n\r\n"
        assert refused(data) == 400

    def test_chunked(self) -> None:
        head = get(b"Transfer-Encoding: Chunked", line=b"POST / HTTP/1.1")
        data = head + b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nTrailer: x\r\n\r\n"
        assert accepted(data).body == b"hello!"
        assert verdict(data + b"GET")[2] == b"GET"
        assert verdict(data[:-1]) == ("incomplete",)
        assert "Trailer" not in accepted(data).headers

    def test_bound(self) -> None:
        limits = Limits(max_body=10)
        assert accepted(get(b"Content-Length: 10") + b"x" * 10, limits).body == b"x" * 10
        assert refused(get(b"Content-Length: 11") + b"x" * 11, limits) == 413
        assert refused(get(b"Content-Length: " + b"9" * 19), limits) == 413
        with pytest.raises(HttpError) as raised:  # before any of the body
            RequestReader(limits).feed(get(b"Content-Length: 11"))
        assert raised.value.status == 413
        chunked = get(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n"
        assert accepted(chunked + b"5\r\nhello\r\n0\r\n\r\n", limits).body == b"hellohello"
        assert refused(chunked + b"6\r\n", limits) == 413
        assert refused(chunked + b"fFfFfFfFfFfFfFfF\r\n", limits) == 413

    @pytest.mark.parametrize(
        "lines",
        [
            [b"Content-Length: 30"],
            [b"Content-Length: 1"],
            [b"Content-Length: +0"],
            [b"Content-Length: 0", b"Content-Length: 30"],
            [b"Transfer-Encoding: chunked"],
            [b"Transfer-Encoding: gzip"],
            [b"Transfer-Encoding: "],
            [b"Transfer-Encoding: chunked", b"Content-Length: 0"],
        ],
    )
    def test_none_on_an_upgrade(self, lines: list[bytes]) -> None:
        smuggled = b"GET /smuggled HTTP/1.1\r\n\r\n"
        data = UPGRADE[:-2] + b"\r\n".join(lines) + b"\r\n\r\n" + smuggled
        assert refused(data) == 400
        data = get(b"Upgrade: h2c, WebSocket", b"Connection: upgrade", *lines) + smuggled
        assert refused(data) == 400

    def test_announced_but_empty_on_an_upgrade(self) -> None:
        accepted(UPGRADE[:-2] + b"Content-Length: 0\r\n\r\n")

    def test_draft_76_may_announce_its_eight_bytes(self) -> None:
        head = get(b"Upgrade: WebSocket", b"Sec-WebSocket-Key1: 1 2", b"Content-Length: 8")
        assert accepted(head + b"12345678").body == b"12345678"
        assert refused(head.replace(b": 8", b": 9") + b"123456789") == 400
        assert refused(head.replace(b"Key1", b"Key") + b"12345678") == 400

    def test_upgrade_to_something_else_may_have_one(self) -> None:
        data = get(b"Upgrade: h2c", b"Connection: upgrade", b"Content-Length: 1") + b"x"
        assert accepted(data).body == b"x"

    def test_expect(self) -> None:
        head = get(b"Expect: 100-Continue", b"Content-Length: 2")
        reader = RequestReader(DEFAULT_LIMITS)
        seen = [reader.expects_continue]
        for piece in (head[:9], head[9:], b"x", b"y"):
            reader.feed(piece)
            seen.append(reader.expects_continue)
        assert seen == [False, False, True, False, False]
        assert refused(get(b"Expect: 200-ok", b"Content-Length: 2")) == 417
        assert refused(get(b"Expect: 100-continue", b"Expect: 100-continue")) == 417

    def test_expect_with_chunks(self) -> None:
        reader = RequestReader(DEFAULT_LIMITS)
        seen = []
        for piece in (get(b"Expect: 100-continue", b"Transfer-Encoding: chunked"), b"1"):
            reader.feed(piece)
            seen.append(reader.expects_continue)
        assert seen == [True, False]

    def test_expect_in_1_0_is_ignored(self) -> None:
        reader = RequestReader(DEFAULT_LIMITS)
        reader.feed(get(b"Expect: 100-continue", b"Content-Length: 2", line=b"POST / HTTP/1.0"))
        assert reader.pending is not None
        assert not reader.expects_continue


PARTS = st.sampled_from(
    [
        b"GET", b" ", b"/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\r", b"\n", b"Host", b":", b"h",
        b"a" * 30, b"Content-Length", b"3", b"Transfer-Encoding", b"chunked", b"0", b"\0", b"\xe9",
        b"\t", b"#", b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n", b"Upgrade: websocket\r\n",
        b";",         b"A: b\r\n", b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n",
        b"Content-Length: 3\r\n",
    ]
)  # fmt: skip


@given(st.lists(PARTS | st.binary(max_size=4), max_size=14), st.data())
@settings(max_examples=300)
def test_verdict_does_not_depend_on_cuts(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    limits = Limits(max_request_line=40, max_header_line=45, max_header_bytes=100, max_headers=4)
    expected = read([stream], limits)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    edges = [0, *places, len(stream)]
    assert read([stream[a:b] for a, b in pairwise(edges)], limits) == expected
    assert read([stream[i : i + 1] for i in range(len(stream))], limits) == expected


# -- responses -----------------------------------------------------------------------------------


def answer(pieces: Iterable[bytes], *, connect: bool = False, eof: bool = False) -> Verdict:
    reader = ResponseReader(DEFAULT_LIMITS, connect=connect)
    response: Response | None = None
    rest = b""
    try:
        for piece in pieces:
            if response is None:
                response = reader.feed(piece)
                if response is not None:
                    rest = reader.rest
            else:
                rest += piece
        if response is None and eof:
            response = reader.feed_eof()
    except InvalidMessage as error:
        text = str(error)
        return ("error",) if text.isprintable() and len(text) < 250 else ("unfit", text)
    return ("incomplete",) if response is None else ("response", response, rest)


def answered(data: bytes, *, connect: bool = False, eof: bool = False) -> Verdict:
    expected = answer([data], connect=connect, eof=eof)
    for pieces in cuts(data):
        assert answer(pieces, connect=connect, eof=eof) == expected, pieces[:2]
    return expected


class TestResponse:
    def test_101(self) -> None:
        data = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00"
        response = Response(101, "Switching Protocols", Headers(Upgrade="websocket"))
        assert answered(data) == ("response", response, b"\x81\x00")

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"HTTP/1.1 101 ", ""),
            (b"HTTP/1.1 101", ""),
            (b"HTTP/1.1 101 WebSocket Protocol Handshake", "WebSocket Protocol Handshake"),
            (b"HTTP/1.1 101 \xe9\t!", "\xe9\t!"),
        ],
    )
    def test_reasons(self, line: bytes, reason: str) -> None:
        _, response, _ = answered(line + b"\r\nA: b\r\n\r\n")
        assert isinstance(response, Response)
        assert response.reason_phrase == reason

    @pytest.mark.parametrize(
        "line", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"TE: x"]
    )
    def test_101_has_no_body(self, line: bytes) -> None:
        _, response, rest = answered(b"HTTP/1.1 101 X\r\n" + line + b"\r\n\r\n\x81\x00")
        assert isinstance(response, Response)
        assert (response.body, rest) == (b"", b"\x81\x00")

    @pytest.mark.parametrize("status", [b"204", b"304"])
    def test_others_without_body(self, status: bytes) -> None:
        kind, _, rest = answered(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 5\r\n\r\nrest")
        assert (kind, rest) == ("response", b"rest")

    def test_interim_ones_are_skipped(self) -> None:
        data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
        data += b"HTTP/1.1 101 \r\n\r\n"
        _, response, rest = answered(data + b"x")
        assert response == Response(101, "", Headers())
        assert rest == b"x"

    def test_interim_ones_are_counted(self) -> None:
        interim = b"HTTP/1.1 103 Early\r\n\r\n"
        final = b"HTTP/1.1 101 \r\n\r\n"
        assert answered(interim * MAX_INTERIM + final)[0] == "response"
        assert answered(interim * (MAX_INTERIM + 1) + final)[0] == "error"

    @pytest.mark.parametrize(
        "data",
        [
            b"HTTP/1.0 101 X\r\n\r\n",
            b"HTTP/2.0 101 X\r\n\r\n",
            b"HTTP/1.1 99 X\r\n\r\n",
            b"HTTP/1.1 099 X\r\n\r\n",
            b"HTTP/1.1 1010 X\r\n\r\n",
            b"HTTP/1.1 +10 X\r\n\r\n",
            b"HTTP/1.1 1\xb20 X\r\n\r\n",
            b"HTTP/1.1  101 X\r\n\r\n",
            b"HTTP/1.1\t101 X\r\n\r\n",
            b"HTTP/1.1 101 X\0\r\n\r\n",
            b"HTTP/1.1 101 X\n\n",
            b"HTTP/1.1 101 X\r\nA : b\r\n\r\n",
            b"HTTP/1.1 101 X\r\nA: b\r\n c\r\n\r\n",
            b"HTTP/1.1 101 X\r\nA: b\n\r\n",
            b"HTTP/1.1 101 X\r\nA: \x1b\r\n\r\n",
            b"http/1.1 101 X\r\n\r\n",
            b"SSH-2.0-OpenSSH_9\r\n",
            b"\r\nHTTP/1.1 101 X\r\n\r\n",
            b"\x15\x03\x03\x00\x02",
            b"HTTP/1.1 200 X\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 X\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            b"HTTP/1.1 200 X\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 X\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"HTTP/1.1 101 " + b"x" * 9000,
            b"HTTP/1.1 101 X\r\nA: " + b"x" * 9000,
            b"HTTP/1.1 101 X\r\n" + (b"A: " + b"x" * 4000 + b"\r\n") * 5,
            b"HTTP/1.1 101 X\r\n" + b"A: b\r\n" * 101,
        ],
    )
    def test_malformed(self, data: bytes) -> None:
        assert answered(data) == ("error",)

    def test_body_by_length(self) -> None:
        _, response, rest = answered(b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhellox")
        assert isinstance(response, Response)
        assert (response.body, rest) == (b"hello", b"x")
        assert answered(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")[0] == "response"

    def test_body_by_chunks(self) -> None:
        head = b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n"
        _, response, rest = answered(head + b"5\r\nhello\r\n0\r\n\r\nx")
        assert isinstance(response, Response)
        assert (response.body, rest) == (b"hello", b"x")

    @pytest.mark.parametrize(
        "headers",
        [b"", b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n"],
    )
    def test_body_until_the_end(self, headers: bytes) -> None:
        body = b"5\r\nhello\r\n" if b"chunked" in headers else b"hello"
        data = b"HTTP/1.1 403 No\r\n" + headers + b"\r\n" + body
        assert answered(data) == ("incomplete",)
        _, response, rest = answered(data, eof=True)
        assert isinstance(response, Response)
        assert (response.body, rest) == (b"hello", b"")

    @pytest.mark.parametrize(
        "headers", [b"", b"Content-Length: 999999999\r\n", b"Transfer-Encoding: chunked\r\n"]
    )
    @pytest.mark.parametrize("piece", [1000, 1 << 20])
    def test_long_body_is_cut(self, headers: bytes, piece: int) -> None:
        reader = ResponseReader(DEFAULT_LIMITS)
        assert reader.feed(b"HTTP/1.1 403 No\r\n" + headers + b"\r\n") is None
        data = b"x" * piece
        if b"chunked" in headers:
            data = b"%x\r\n%b\r\n" % (piece, data)
        for _ in range(100):
            response = reader.feed(data)
            if response is not None:
                break
        assert response is not None
        assert response.body == b"x" * DEFAULT_LIMITS.max_error_body

    @pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200", b"HTTP/1.1 100 X\r\n\r\n"])
    def test_end_without_response(self, data: bytes) -> None:
        assert answered(data, eof=True) == ("error",)

    def test_answer_of_a_proxy(self) -> None:
        data = b"HTTP/1.0 200 Connection established\r\nContent-Length: 5\r\n\r\nTLS"
        kind, _, rest = answered(data, connect=True)
        assert (kind, rest) == ("response", b"TLS")
        assert answered(data) == ("incomplete",)
        refusal = b"HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\nhello"
        _, response, _ = answered(refusal, connect=True)
        assert isinstance(response, Response)
        assert response.body == b"hello"

    def test_a_byte_is_looked_at_once(self) -> None:
        def cost(size: int) -> float:
            data = b"HTTP/1.1 200 " + b"x" * size + b"\r\n\r\n"
            reader = ResponseReader(Limits(max_request_line=1 << 20, max_header_bytes=1 << 20))
            start = time.thread_time()
            for i in range(len(data)):
                reader.feed(data[i : i + 1])
            return time.thread_time() - start

        assert any(cost(32_000) < 80 * cost(2_000) for _ in range(5))


@given(st.binary(max_size=60) | st.lists(PARTS, max_size=10).map(b"".join))
def test_any_response(tail: bytes) -> None:
    for data in (tail, b"HTTP/1.1 " + tail, b"HTTP/1.1 403 No\r\n" + tail):
        expected = answer([data], eof=True)
        assert answer([data[i : i + 1] for i in range(len(data))], eof=True) == expected
