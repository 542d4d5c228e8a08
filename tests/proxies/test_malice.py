"""Proxies that mean no good, and those that are only odd: played by the test, on plain sockets."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from duplexer.errors import InvalidProxyMessage, InvalidProxyStatus, ProxyError

PATIENCE = 60.0


class Scripted:
    """A proxy on a thread: ``requests`` are the heads that it has read, one a connection.

    ``behave(conn, n)`` is called for the connection number ``n`` after its first head.
    """

    def __init__(self, behave):
        self.requests = []
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = []
        self._thread = threading.Thread(target=self._run)

    @property
    def url(self):
        return f"http://user:secret@127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *args):
        self._listener.shutdown(socket.SHUT_RDWR)
        for conn in self._open:
            with contextlib.suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self._listener.close()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self._listener.accept()
                conn.settimeout(PATIENCE)
                self._open.append(conn)
                with conn, contextlib.suppress(OSError):
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        data = conn.recv(1)
                        if not data:
                            break
                        head += data
                    self.requests.append(head)
                    self._behave(conn, len(self.requests))


def says(*answers):
    """Answers each connection with the next of these, and the last to all others."""

    def behave(conn, n):
        conn.sendall(answers[min(n, len(answers)) - 1])
        conn.shutdown(socket.SHUT_WR)
        while conn.recv(65536):
            pass

    return behave


def challenge(text, body=b"no"):
    head = f"HTTP/1.1 407 No\r\nProxy-Authenticate: {text}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def connect(front, proxy, **kwargs):
    scheme = "wss" if front.secure else "ws"
    uri = f"{scheme}://me:mine@example.invalid/path?query"
    return front.connect(uri, proxy=proxy, **kwargs)


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        (b"", InvalidProxyMessage, "without an HTTP response"),
        (b"HTTP/1.1 200 OK\r\nA: b", InvalidProxyMessage, "in the middle"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", InvalidProxyMessage, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", InvalidProxyMessage, "header"),
        (b"HTTP/1.1 200 OK\nA: b\n\n", InvalidProxyMessage, "cannot be read"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 X\r\n\r\n", ProxyError, "more than its answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03", ProxyError, "more than its answer"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", InvalidProxyStatus, "HTTP 101"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\n\r\n", InvalidProxyStatus, "HTTP 302"),
        (challenge("Basic realm=a"), InvalidProxyStatus, "HTTP 407"),
        (challenge('Basic realm="a'), InvalidProxyStatus, "HTTP 407"),
    ],
)  # fmt: skip
async def test_answers(front, answer, error, why):
    with Scripted(says(answer)) as proxy:
        with pytest.raises(error, match=why) as raised:
            await connect(front, proxy.url)
    assert len(proxy.requests) == 1
    assert "secret" not in str(raised.value) + repr(raised.value) + raised.value.explain()


@pytest.mark.plain_only
async def test_what_a_proxy_is_told(front):
    with Scripted(says(b"HTTP/1.1 403 No\r\n\r\n")) as proxy:
        with pytest.raises(InvalidProxyStatus):
            await connect(
                front,
                proxy.url,
                additional_headers={"X-Token": "token"},
                subprotocols=["chat"],
                origin="http://origin",
            )
    [request] = proxy.requests
    names = [line.partition(b":")[0] for line in request.split(b"\r\n")[1:-2]]
    assert request.startswith(b"CONNECT example.invalid:80 HTTP/1.1\r\n")
    assert names == [b"Host", b"User-Agent", b"Proxy-Authorization"]


@pytest.mark.plain_only
@pytest.mark.parametrize("line", [b"X-%d: " + b"x" * 100 + b"\r\n", b"x"])
async def test_an_answer_without_an_end(front, line):
    def behave(conn, n):
        conn.sendall(b"HTTP/1.1 200 OK\r\n")
        i = 0
        while True:  # until the client has had enough
            i += 1
            conn.sendall(b"".join(line % j if b"%" in line else line for j in range(i, i + 100)))

    with Scripted(behave) as proxy:
        with pytest.raises(InvalidProxyMessage, match="cannot be read"):
            await connect(front, proxy.url)


@pytest.mark.plain_only
async def test_a_refusal_without_an_end(front):
    def behave(conn, n):
        conn.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        while True:
            conn.sendall(b"x" * 10_000)

    with Scripted(behave) as proxy:
        with pytest.raises(InvalidProxyStatus, match="could not reach") as raised:
            await connect(front, proxy.url)
    assert raised.value.body == b"x" * 65536


@pytest.mark.plain_only
async def test_silence(front):
    done = threading.Event()

    def behave(conn, n):
        done.wait(PATIENCE)

    with Scripted(behave) as proxy:
        try:
            with pytest.raises(TimeoutError):
                await connect(front, proxy.url, open_timeout=0.3)
        finally:
            done.set()


@pytest.mark.plain_only
async def test_questions_for_ever(front):
    """Each time another nonce, and the old one is said to be stale."""
    answers = [challenge(f"Digest realm=a, nonce={i}, qop=auth, stale=true") for i in range(20)]
    with Scripted(says(*answers)) as proxy:
        with pytest.raises(InvalidProxyStatus, match="407"):
            await connect(front, proxy.url)
    assert len(proxy.requests) == 4
    assert len(set(proxy.requests)) == 4


@pytest.mark.plain_only
async def test_credentials_are_for_one_proxy(front):
    """What the second one of a chain asks the first one's client for, it does not get."""

    def behave(conn, n):
        if n % 2:
            conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += conn.recv(1)
            seen.append(head)
            conn.sendall(challenge("Digest realm=a, nonce=n, Basic realm=a"))

    seen: list[bytes] = []
    with Scripted(behave) as proxy:
        with pytest.raises(InvalidProxyStatus, match=r"second.invalid.* HTTP 407"):
            await connect(front, [proxy.url, "http://second.invalid"])
    assert len(proxy.requests) == len(seen) == 1
    assert b"Proxy-Authorization: Basic" in proxy.requests[0]
    assert b"uthorization" not in seen[0]
