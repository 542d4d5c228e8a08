"""``duplexer connect`` in a pipe."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.sync.server import ServerConnection, serve

from tests.integration.cli_process import process, run, server


@contextlib.contextmanager
def scripted(handler: Callable[[ServerConnection], None], **options: object) -> Iterator[str]:
    """A server, not of ours, that does what ``handler`` says; its address."""
    with serve(handler, "127.0.0.1", 0, **options) as running:  # type: ignore[arg-type]
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            scheme = "wss" if "ssl" in options else "ws"
            yield f"{scheme}://127.0.0.1:{running.socket.getsockname()[1]}"
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    with server("echo") as (_, url):
        yield url


def objects(text: str) -> list[dict[str, object]]:
    """One JSON object a line."""
    return [json.loads(line) for line in text.splitlines()]


# -- messages ------------------------------------------------------------------------------------


def test_lines_become_messages_and_messages_lines(echo: str) -> None:
    done = run("connect", "-n", "3", echo, stdin="one\nGrüße\r\nno line feed")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\nGrüße\nno line feed\n", "")


def test_after_the_end_of_input_replies_are_waited_for(echo: str) -> None:
    done = run("connect", "--linger", "0.5", echo, stdin="".join(f"{i}\n" for i in range(5000)))
    assert done.returncode == 0
    assert done.stdout == "".join(f"{i}\n" for i in range(5000))


def test_linger_is_counted_from_the_last_message() -> None:
    def handler(ws: ServerConnection) -> None:
        ws.recv()
        for number in range(6):  # 1.2 s in all, each well within the second
            ws.send(str(number))
            with contextlib.suppress(TimeoutError):
                ws.recv(timeout=0.2)
        with contextlib.suppress(Exception):
            ws.recv()

    with scripted(handler) as url:
        done = run("connect", "--linger", "0.8", url, stdin="go\n")
    assert (done.returncode, done.stdout) == (0, "0\n1\n2\n3\n4\n5\n")


def test_linger_for_ever_waits_for_the_close() -> None:
    def handler(ws: ServerConnection) -> None:
        with contextlib.suppress(TimeoutError):
            ws.recv(timeout=1.5)  # longer than it lingers unless told
        ws.send("late")

    with scripted(handler) as url:
        done = run("connect", "--linger", "inf", url)
    assert (done.returncode, done.stdout) == (0, "late\n")


def test_no_linger_closes_at_once(echo: str) -> None:
    assert run("connect", "--linger", "0", echo).returncode == 0


def test_binary_both_ways(echo: str) -> None:
    done = run("connect", "-n", "2", "--binary", echo, stdin="00ff\n0x01, 02:03\n")
    assert (done.returncode, done.stdout) == (0, "00ff\n010203\n")


def test_json(echo: str) -> None:
    done = run("connect", "--json", "-n", "1", echo, stdin="Grüße\n")
    assert done.returncode == 0
    assert done.stdout.isascii()
    sent, received, close = objects(done.stdout)
    assert (sent["direction"], received["direction"]) == ("sent", "received")
    for record in (sent, received):
        assert (record["type"], record["size"], record["data"]) == ("text", 7, "Grüße")
        assert str(record["time"]).endswith("+00:00")
    assert (close["type"], close["direction"], close["code"]) == ("close", "sent", 1000)
    assert close["explanation"]


def test_json_binary(echo: str) -> None:
    done = run("connect", "--json", "--binary", "-n", "1", echo, stdin="00 ff\n")
    assert [record.get("data") for record in objects(done.stdout)] == ["00ff", "00ff", None]
    assert [record["type"] for record in objects(done.stdout)] == ["binary", "binary", "close"]


def test_control_characters_do_not_reach_json() -> None:
    with scripted(lambda ws: ws.send("\x1b]0;title\x07\x9b31m")) as url:
        done = run("connect", "--json", "-n", "1", url)
    assert "\x1b" not in done.stdout
    assert "\x9b" not in done.stdout
    assert objects(done.stdout)[0]["data"] == "\x1b]0;title\x07\x9b31m"


def test_in_a_pipe_text_is_written_as_it_is() -> None:
    with scripted(lambda ws: ws.send("\x1b[31mred")) as url:
        assert run("connect", "-n", "1", url).stdout == "\x1b[31mred\n"


def test_replies_come_while_the_input_is_open(echo: str) -> None:
    with process("connect", echo) as running:
        for word in ("first", "second"):
            running.write(f"{word}\n")
            running.wait_for(f"{word}\n")
        assert running.finish()[0] == 0


def test_a_big_message_both_ways(echo: str) -> None:
    text = "x" * 900_000
    done = run("connect", "-n", "1", echo, stdin=f"{text}\n")
    assert (done.returncode, done.stdout) == (0, f"{text}\n")


def test_a_reader_that_leaves_ends_it_quietly(echo: str) -> None:
    with process("connect", "--linger", "inf", echo) as running:
        running.write("one\n")
        running.wait_for("one\n")
        assert running.popen.stdout is not None
        running.popen.stdout.close()
        running.write("two\n")
        assert running.end() == 0
        assert running.popen.stderr is not None
        assert running.popen.stderr.read() == b""


def test_wrong_lines_are_named(echo: str) -> None:
    done = run("connect", echo, stdin=b"fine\n\xff\n")
    assert done.returncode == 2
    assert "line 2 of the input is not UTF-8" in done.stderr
    done = run("connect", "--binary", echo, stdin="00\nzz\n")
    assert done.returncode == 2
    assert "line 2 of the input is not hex: 'z'" in done.stderr


# -- the handshake -------------------------------------------------------------------------------


def test_headers_origin_subprotocol_and_compression() -> None:
    def handler(ws: ServerConnection) -> None:
        headers = ws.request.headers
        names = ("Authorization", "X-Two", "Origin", "Sec-WebSocket-Extensions")
        ws.send(json.dumps([headers.get(name) for name in names] + [ws.subprotocol]))

    options = ("-H", "Authorization: Bearer secret", "--header", "X-Two:2", "--origin")
    more = ("https://example.com", "--subprotocol", "b", "--subprotocol", "a", "--no-compress")
    with scripted(handler, subprotocols=["a", "b"]) as url:
        done = run("connect", "-n", "1", *options, *more, url)
        seen = json.loads(done.stdout)
        done = run("connect", "-n", "1", "--subprotocol", "a", url)
    assert seen[:4] == ["Bearer secret", "2", "https://example.com", None]
    assert seen[4] in {"a", "b"}
    assert "permessage-deflate" in json.loads(done.stdout)[3]


@pytest.mark.parametrize(
    ("header", "words"),
    [("no colon", "no colon"), ("B@d: x", "'B@d'"), ("A: x\r\nB: y", "control character")],
)
def test_wrong_headers_are_named(header: str, words: str) -> None:
    done = run("connect", "-H", header, "ws://127.0.0.1:1")
    assert done.returncode == 2
    assert words in done.stderr


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(pem)
    with scripted(lambda ws: ws.send("secret"), ssl=context) as url:
        trusted = run("connect", "-n", "1", "--ca", str(pem), url)
        unknown = run("connect", "-n", "1", url)
        insecure = run("connect", "-n", "1", "--insecure-no-certificate-check", url)
    assert (trusted.returncode, trusted.stdout, trusted.stderr) == (0, "secret\n", "")
    assert unknown.returncode == 3
    assert "is not trusted" in unknown.stderr
    assert "--ca FILE" in unknown.stderr
    assert (insecure.returncode, insecure.stdout) == (0, "secret\n")
    assert "not checked" in insecure.stderr


def test_tls_where_there_is_none_and_none_where_there_is(echo: str, tmp_path: Path) -> None:
    done = run("connect", echo.replace("ws://", "wss://"))
    assert done.returncode == 3
    assert "write ws://" in done.stderr
    pem = tmp_path / "server.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    with server("echo", "--certfile", str(pem)) as (_, url):
        done = run("connect", url.replace("wss://", "ws://"))
    assert done.returncode in {3, 6}
    assert "Traceback" not in done.stderr


def test_tls_options_without_tls() -> None:
    done = run("connect", "--insecure-no-certificate-check", "ws://127.0.0.1:1")
    assert done.returncode == 2
    assert "wss://" in done.stderr


def test_a_file_without_certificates(tmp_path: Path) -> None:
    pem = tmp_path / "empty.pem"
    pem.write_text("nothing")
    done = run("connect", "--ca", str(pem), "wss://127.0.0.1:1")
    assert done.returncode == 2
    assert str(pem) in done.stderr


# -- exit status -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"), [(1000, 0), (1001, 0), (1011, 1), (1008, 1), (4000, 1)]
)
def test_closed_by_the_server(code: int, status: int) -> None:
    with scripted(lambda ws: ws.close(code, "\x1b[31mwhy")) as url:
        done = run("connect", "--linger", "inf", url)
    assert done.returncode == status
    assert "\x1b" not in done.stderr
    if status:
        assert str(code) in done.stderr
        assert "why" in done.stderr


def test_lost() -> None:
    with scripted(lambda ws: ws.socket.shutdown(socket.SHUT_RDWR)) as url:
        done = run("connect", "--json", "--linger", "inf", url)
    assert done.returncode == 1
    assert objects(done.stdout)[-1]["code"] == 1006


@pytest.mark.parametrize(
    ("uri", "cure"),
    [
        ("http://127.0.0.1:1/x", "ws://127.0.0.1:1/x"),
        ("https://127.0.0.1", "wss://127.0.0.1"),
        ("127.0.0.1:1", "ws://127.0.0.1:1"),
        ("ws://", "looks like"),
    ],
)
def test_wrong_addresses(uri: str, cure: str) -> None:
    done = run("connect", uri)
    assert done.returncode == 2
    assert cure in done.stderr


def test_could_not_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for uri in (f"ws://127.0.0.1:{port}", "ws://no.such.host.invalid/"):
        done = run("connect", uri)
        assert done.returncode == 3
        assert uri in done.stderr
        assert "cure: " in done.stderr
        assert "Traceback" not in done.stderr


def test_refused() -> None:
    def refuse(_ws: ServerConnection, _request: object) -> Response:
        body = b"no token\x1b]0;x\x07\nask for one"
        headers = Headers({"Retry-After": "7", "Content-Length": str(len(body))})
        return Response(401, "Unauthorized", headers, body)

    with scripted(lambda _: None, process_request=refuse) as url:
        done = run("connect", url)
    assert done.returncode == 4
    for words in ("HTTP 401", "no token", "ask for one", "after 7"):
        assert words in done.stderr
    assert "\x1b" not in done.stderr


def test_timeout_while_opening() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        done = run("connect", "--timeout", "0.3", url)
    assert done.returncode == 5
    assert "--timeout" in done.stderr


def test_timeout_while_waiting_for_messages(echo: str) -> None:
    done = run("connect", "--timeout", "1", "-n", "2", echo, stdin="only one\n")
    assert (done.returncode, done.stdout) == (5, "only one\n")


def test_no_websocket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            client, _ = other.accept()
            with client:
                client.recv(4096)
                client.sendall(b"220 mail.example ESMTP\r\n\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        done = run("connect", f"ws://127.0.0.1:{other.getsockname()[1]}")
        thread.join()
    assert done.returncode == 6
    assert "does" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(echo: str, number: signal.Signals, status: int) -> None:
    with process("connect", echo) as running:
        running.write("hello\n")
        running.wait_for("hello")
        assert running.stop(number) == (status, "hello\n", "")


def test_interrupted_while_opening() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with process("connect", f"ws://127.0.0.1:{silent.getsockname()[1]}") as running:
            silent.accept()[0].close()
        with process("connect", f"ws://127.0.0.1:{silent.getsockname()[1]}") as running:
            client, _ = silent.accept()
            with client:
                client.recv(10)  # the handshake has begun, so the signals are taken
                assert running.stop()[0] == 143


def test_help_documents_the_exit_statuses() -> None:
    done = run("connect", "--help")
    assert done.returncode == 0
    for words in ("Exit status", "--linger", "IN A PIPE", "\n    130  interrupted"):
        assert words in done.stdout


@pytest.mark.parametrize("front", ["asyncio", "sync", "trio"])
def test_by_every_front(front: str, echo: str) -> None:
    done = run("connect", "--front", front, "-n", "2", echo, stdin="one\ntwo\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\ntwo\n", "")


def test_through_a_proxy(echo: str) -> None:
    done = run("connect", "--proxy", "http://127.0.0.1:1", "-n", "1", echo, stdin="one\n")
    assert (done.returncode, done.stdout) == (3, "")
    assert "proxy http://127.0.0.1:1" in done.stderr
    assert run("connect", "--proxy", "ftp://x", echo).returncode == 2
    done = run("connect", "--proxy", "none", "-n", "1", echo, stdin="one\n")
    assert (done.returncode, done.stdout) == (0, "one\n")


@pytest.mark.parametrize("front", ["asyncio", "sync", "trio"])
def test_retry_goes_on_where_it_was(front: str) -> None:
    """The server leaves after each message; what is typed then goes over the next connection."""
    opened = threading.Semaphore(0)
    answered = 0

    def handler(ws: ServerConnection) -> None:
        nonlocal answered
        opened.release()
        answered += 1
        ws.send(f"{answered}: {ws.recv()}")
        ws.close(1001)

    options = ("--front", front, "--proxy", "none", "--retry", "inf", "-n", "3")
    with scripted(handler) as url, process("connect", *options, url) as client:
        for number in (1, 2, 3):
            # What is sent while the server leaves is lost: not before the next one is there.
            assert opened.acquire(timeout=20)
            client.write(f"line {number}\n")
            client.wait_for(f"{number}: line {number}\n")
        assert client.end() == 0


def test_retry_gives_up() -> None:
    done = run("connect", "--retry", "0.2", "--proxy", "none", "ws://127.0.0.1:1", stdin="x\n")
    assert done.returncode == 3
    assert "nothing listens" in done.stderr
