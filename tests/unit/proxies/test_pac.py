"""PAC files: finding them, running them apart, and reading what they say."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from duplexer.errors import InvalidProxy, ProxyError
from duplexer.http.uri import parse_uri
from duplexer.limits import DEFAULT_LIMITS, Limits
from duplexer.proxies import pac
from duplexer.proxies.address import Proxy
from duplexer.proxies.pac import is_pac, pac_routes, parse_answer

#: A busy machine may need some time to start a Python.
PATIENT = DEFAULT_LIMITS.replace(open_timeout=50)
SECRET = parse_uri("wss://example.com/secret?token=secret")


@pytest.fixture(autouse=True)
def no_answers() -> None:
    pac._answers.clear()


def find(proxy: str, limits: Limits = PATIENT) -> list[tuple[Proxy, ...]]:
    return pac_routes(proxy, SECRET, limits)


def script(path: Path, body: str) -> str:
    """The address of a PAC file."""
    file = path / "proxy.pac"
    file.write_text(f"function FindProxyForURL(url, host) {{ {body} }}")
    return f"pac+{file.as_uri()}"


@pytest.fixture
def website() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Its address, and its pages."""
    pages: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            self.send_response(404 if page is None else 200)
            self.end_headers()
            self.wfile.write(page or b"")

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", pages
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("pac+http://a/b.pac", True),
        ("pac+file:///b.pac", True),
        ("wpad:", True),
        ("http://a", False),
        ("", False),
    ],
)
def test_which_are_configurations(text: str, result: bool) -> None:
    assert is_pac(text) is result


@pytest.mark.parametrize(
    ("answer", "routes"),
    [
        ("", [()]),
        ("DIRECT", [()]),
        (" ; ;", [()]),
        ("PROXY a:8080", [(Proxy("http", "a", 8080),)]),
        ("proxy  a:8080 ;direct;", [(Proxy("http", "a", 8080),), ()]),
        (
            "HTTPS a:1; HTTP b:2; SOCKS c:3; SOCKS4 d:4; SOCKS5 e:5",
            [
                (Proxy("https", "a", 1),),
                (Proxy("http", "b", 2),),
                (Proxy("socks5h", "c", 3),),
                (Proxy("socks4a", "d", 4),),
                (Proxy("socks5h", "e", 5),),
            ],
        ),
        ("QUIC a:1; PROXY; PROXY b:x; PROXY c", [(Proxy("http", "c", 80),)]),
    ],
)
def test_answers(answer: str, routes: list[tuple[Proxy, ...]]) -> None:
    assert parse_answer(answer, "p") == routes


@pytest.mark.parametrize("answer", ["QUIC a:1", "PROXY", "what?\x00"])
def test_no_way_that_we_know(answer: str) -> None:
    with pytest.raises(ProxyError, match="names no proxy that we know"):
        parse_answer(answer, "p")


def test_paths_and_queries_are_not_told(tmp_path: Path) -> None:
    address = script(tmp_path, "return 'PROXY ' + (url == 'wss://example.com/' ? host : 'no');")
    assert find(address) == [(Proxy("http", "example.com", 80),)]


def test_neither_is_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "secret")
    address = script(
        tmp_path, "return 'PROXY ' + (typeof process == 'object' && process.env.SECRET || 'none');"
    )
    assert find(address) == [(Proxy("http", "none", 80),)]


def test_a_script_that_does_not_end(tmp_path: Path) -> None:
    with pytest.raises(ProxyError, match="did not say within"):
        find(script(tmp_path, "while (true) {}"), DEFAULT_LIMITS.replace(open_timeout=0.5))


@pytest.mark.parametrize("body", ["return what;", "}"])
def test_a_script_that_fails(tmp_path: Path, body: str) -> None:
    with pytest.raises(ProxyError, match="has failed"):
        find(script(tmp_path, body))


def test_answers_are_kept_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = script(tmp_path, "return 'PROXY a';")
    assert find(address) == [(Proxy("http", "a", 80),)]
    script(tmp_path, "return 'PROXY b';")
    assert find(address) == [(Proxy("http", "a", 80),)]
    later = pac.time.monotonic() + pac.LIFETIME
    monkeypatch.setattr(pac.time, "monotonic", lambda: later)
    assert find(address) == [(Proxy("http", "b", 80),)]


def test_how_many_are_kept(tmp_path: Path) -> None:
    pac._answers.update({("", str(i)): (0.0, "") for i in range(pac.MAX_ANSWERS)})
    find(script(tmp_path, "return 'DIRECT';"))
    assert len(pac._answers) == pac.MAX_ANSWERS


def test_from_a_website(website: tuple[str, dict[str, bytes]]) -> None:
    address, pages = website
    pages["/proxy.pac"] = "\ufefffunction FindProxyForURL() { return 'PROXY a'; } // ä".encode()
    pages["/old.pac"] = "function FindProxyForURL() { return 'PROXY b'; } // ä".encode("latin-1")
    assert find(f"pac+{address}/proxy.pac") == [(Proxy("http", "a", 80),)]
    assert find(f"pac+{address}/old.pac") == [(Proxy("http", "b", 80),)]
    with pytest.raises(ProxyError, match=r"cannot be read: .*404"):
        find(f"pac+{address}/none.pac")


def test_a_large_one(tmp_path: Path) -> None:
    address = script(tmp_path, "return 'PROXY a';" + " " * 1000)
    with pytest.raises(ProxyError, match="larger than 1000"):
        find(address, PATIENT.replace(max_pac=1000))


def test_one_that_comes_byte_by_byte() -> None:
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while not over.wait(0.02):
                    self.wfile.write(b" ")

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        address = f"pac+http://127.0.0.1:{server.server_port}/"
        enough = threading.Timer(60, over.set)
        enough.start()
        try:
            with pytest.raises(ProxyError, match=r"did not come within|timed out"):
                find(address, DEFAULT_LIMITS.replace(open_timeout=0.5))
        finally:
            enough.cancel()
            over.set()
            server.shutdown()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_headers_that_never_end(scheme: str) -> None:
    """Each line comes in time; over TLS, not even the first byte does."""
    over = threading.Event()
    lines = itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"X-More: yes\r\n"))

    def drip() -> None:
        with listener.accept()[0] as sock, contextlib.suppress(OSError):
            for line in lines if scheme == "http" else ():
                sock.sendall(line)
                if over.wait(0.05):
                    return
            over.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        address = f"pac+{scheme}://127.0.0.1:{listener.getsockname()[1]}/"
        try:
            with pytest.raises(ProxyError, match=r"did not come within|timed out"):
                find(address, DEFAULT_LIMITS.replace(open_timeout=0.5))
        finally:
            over.set()
            thread.join()


def test_what_is_no_http() -> None:
    def answer() -> None:
        with listener.accept()[0] as sock:
            sock.recv(65536)
            sock.sendall(b"SSH-2.0\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ProxyError, match="cannot be read"):
            find(f"pac+http://127.0.0.1:{listener.getsockname()[1]}/proxy.pac?token=secret")
        thread.join()


def test_a_query_is_not_shown() -> None:
    with pytest.raises(ProxyError) as caught:
        find("pac+http://127.0.0.1:1/proxy.pac?token=secret")
    assert "/proxy.pac?***" in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["pac+file:///nowhere/proxy.pac", "pac+http://127.0.0.1:1/", "pac+gopher://a/", "pac+"],
)
def test_nothing_there(address: str) -> None:
    with pytest.raises(ProxyError, match="cannot be read"):
        find(address)


def test_a_password_is_for_a_proxy() -> None:
    with pytest.raises(InvalidProxy, match="cannot have a user name") as raised:
        find("pac+http://user:secret@a/proxy.pac")
    assert "secret" not in str(raised.value)


def test_discovery(website: tuple[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    address, pages = website
    found = [f"{address}/none/wpad.dat", f"{address}/wpad.dat"]
    monkeypatch.setattr("pypac.wpad.proxy_urls_from_dns", lambda: found)
    assert find("wpad:") == [()]  # nothing found is the direct way
    pac._answers.clear()
    pages["/wpad.dat"] = b"function FindProxyForURL() { return 'PROXY a'; }"
    assert find("wpad:") == [(Proxy("http", "a", 80),)]


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pac, "find_spec", lambda name: None)
    with pytest.raises(InvalidProxy, match=r"duplexer\[pac\]"):
        find(script(tmp_path, "return 'DIRECT';"))


def test_a_program_with_no_python_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(InvalidProxy, match="need a Python"):
        find(script(tmp_path, "return 'DIRECT';"))
