"""Refusals with a response of the application's own, as bytes."""

from __future__ import annotations

import pytest

from duplexer.asgi.denial import Denial, answer, headers_from

SERVER = [(b"server", b"uvicorn")]


def started(status: int = 401, *headers: tuple[bytes, bytes]) -> Denial:
    denial = Denial(SERVER)
    denial.start(status, headers)
    return denial


def test_whole() -> None:
    denial = started(401, (b"www-authenticate", b"Bearer"))
    assert denial.body(b"who?", False) == (
        b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer\r\nContent-Length: 4\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nserver: uvicorn\r\nConnection: close\r\n\r\n"
        b"who?"
    )
    assert denial.complete


def test_in_pieces_of_a_length_that_is_known() -> None:
    denial = started(400, (b"Content-Length", b"6"), (b"Content-Type", b"text/csv"))
    head, _, body = denial.body(b"abc", True).partition(b"\r\n\r\n")
    assert (b"Content-Length: 6" in head, b"chunked" in head, body) == (True, False, b"abc")
    assert not denial.complete
    assert denial.body(b"def", False) == b"def"
    assert denial.complete


def test_in_pieces_of_a_length_that_is_not() -> None:
    denial = started()
    head, _, body = denial.body(b"x" * 17, True).partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert body == b"11\r\n" + b"x" * 17 + b"\r\n"
    assert denial.body(b"", True) == b""  # a chunk of no bytes would be the end
    assert denial.body(b"yz", False) == b"2\r\nyz\r\n0\r\n\r\n"


def test_longer_than_promised() -> None:
    denial = started(400, (b"content-length", b"2"))
    with pytest.raises(RuntimeError, match="longer than its Content-Length"):
        denial.body(b"abc", False)


@pytest.mark.parametrize("status", [204, 304])
def test_without_a_body(status: int) -> None:
    sent = started(status).body(b"nobody sees this", False)
    assert sent.endswith(b"\r\n\r\n")
    assert b"Content-" not in sent


def test_what_concerns_the_connection_is_ours() -> None:
    sent = started(
        403, (b"connection", b"keep-alive"), (b"transfer-encoding", b"gzip"), (b"upgrade", b"h2c")
    ).body(b"", False)
    assert sent.count(b"onnection") == 1
    assert b"Connection: close" in sent
    assert b"gzip" not in sent and b"h2c" not in sent


def test_defaults_give_way() -> None:
    assert b"uvicorn" not in started(403, (b"Server", b"mine")).body(b"", False)


@pytest.mark.parametrize("status", [700, 600, 199, 101, 99, True, "404", None])
def test_invalid_status(status: object) -> None:
    with pytest.raises(RuntimeError, match="Invalid HTTP status code"):
        Denial(SERVER).start(status, ())


@pytest.mark.parametrize(
    "pair", [(b"a b", b""), (b"a", b"x\r\ny: z"), (b"", b""), (b"content-length", b"-1")]
)
def test_invalid_headers(pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="invalid"):
        Denial(SERVER).start(403, [pair])


def test_bytes_beyond_ascii_are_kept() -> None:
    assert "a: \xe4" in str(headers_from([(b"a", b"\xe4")]))


def test_answer() -> None:
    sent = answer(500, "Internal Server Error", SERVER)
    assert sent.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert sent.endswith(b"\r\n\r\nInternal Server Error")
