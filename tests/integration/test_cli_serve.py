"""``duplexer serve`` as a process: the user's handler, and the demo without its page."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.integration.cli_process import environment, process, run, server, write_module

HANDLERS = """
import asyncio

async def upper(ws):
    async for message in ws:
        await ws.send(message.upper())

async def breaks(ws):
    raise RuntimeError("a mistake in the handler")

async def stubborn(ws):
    await ws.send("never ends")
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("cancelled", flush=True)
            raise

class Chat:
    async def __call__(self, ws):
        await ws.send("an object")

chat = Chat()
number = 7

def plain(ws): ...
async def nothing(): ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_module(tmp_path, "app", HANDLERS)
    write_module(tmp_path, "broken", "import json\njson.loads('{')\n")
    write_module(tmp_path, "syntax", "def f(:\n")
    write_module(tmp_path, "lacks", "import no_such_package_here\n")
    return tmp_path


def test_runs_a_handler_of_the_current_folder(folder: Path) -> None:
    with server("serve", "app:upper", cwd=folder) as (running, url), connect(url) as ws:
        ws.send("hello")
        assert ws.recv(timeout=10) == "HELLO"
        status, _, errors = running.stop()
        assert (status, errors) == (0, "")
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012


def test_python_dash_m_and_uvloop_options(folder: Path) -> None:
    for option in ("--uvloop", "--no-uvloop"):
        with server("serve", "app:chat", option, cwd=folder) as (_, url), connect(url) as ws:
            assert ws.recv(timeout=10) == "an object"


def test_a_mistake_in_the_handler_is_logged_and_closes_with_1011(folder: Path) -> None:
    with server("serve", "app:breaks", cwd=folder) as (running, url):
        with connect(url) as ws, pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
        status, _, errors = running.stop()
        assert status == 0
        assert "a mistake in the handler" in errors


def test_a_handler_that_does_not_end_is_cancelled_after_the_grace(folder: Path) -> None:
    arguments = ("serve", "app:stubborn", "--grace", "0.2")
    with server(*arguments, cwd=folder) as (running, url), connect(url) as ws:
        ws.recv(timeout=10)
        status, output, errors = running.stop()
        assert status == 0
        assert "cancelled" in output
        assert "handler_timeout" in errors


def test_a_second_signal_leaves_at_once(folder: Path) -> None:
    with server("serve", "app:stubborn", "--grace", "600", cwd=folder) as (running, url):
        with connect(url) as ws:
            ws.recv(timeout=10)
            running.popen.send_signal(signal.SIGINT)
            with pytest.raises(ConnectionClosed):  # so the first one has come
                ws.recv(timeout=10)
        assert running.stop(signal.SIGINT)[0] == 130


@pytest.mark.parametrize(
    ("target", "culprit", "cure"),
    [
        ("app", "'app' names no handler", "app:handler"),
        ("app.py:upper", "'app.py' is a file", "app:upper"),
        ("nowhere:upper", "no module 'nowhere'", "spelling"),
        ("lacks:upper", "'no_such_package_here'", "pip install no_such_package_here"),
        ("broken:upper", "JSONDecodeError", "broken.py, line 2"),
        ("syntax:upper", "'syntax' is not valid Python", "syntax.py, line 1"),
        ("app:uper", "has no 'uper'", "app:upper"),
        ("app:zzz", "has no 'zzz'", "upper, breaks"),
        ("app:number", "of type int", "async def handler"),
        ("app:Chat", "a class", "async def handler"),
        ("app:plain", "not a coroutine function", "async def plain"),
        ("app:nothing", "cannot be called with a connection", "one argument"),
    ],
)
def test_a_wrong_target_is_named_with_its_cure(
    folder: Path, target: str, culprit: str, cure: str
) -> None:
    done = run("serve", target, cwd=folder)
    assert done.returncode == 2
    message, _, advice = done.stderr.partition("cure: ")
    assert culprit in message
    assert cure in advice
    assert "Traceback" not in done.stderr


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port))
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is already in use by another program" in done.stderr


def test_without_the_extra_its_name_is_told(tmp_path: Path) -> None:
    """As where rich is not installed: only its name is blocked."""
    code = (
        "import importlib.abc, sys\n"
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'rich' else real(name, *a)\n"
        "from duplexer.cli import run\nrun()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "serve"],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert "rich" in done.stderr
    assert "duplexer[cli]" in done.stderr
    assert "Traceback" not in done.stderr


# -- the demo ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo() -> Any:
    with server("serve") as (running, url):
        assert running.wait_for(r"demo page at +(\S+)")[1] == url.replace("ws://", "http://") + "/"
        yield url


@contextlib.contextmanager
def talk(url: str) -> Iterator[tuple[ClientConnection, str]]:
    """Join the chat: the connection, and the name that was given."""
    with connect(f"{url}/chat") as ws:
        welcome = json.loads(ws.recv(timeout=10))
        assert welcome["type"] == "welcome"
        yield ws, welcome["name"]


def next_event(ws: ClientConnection, kind: str) -> dict[str, Any]:
    """The next event of that type."""
    while True:
        event: dict[str, Any] = json.loads(ws.recv(timeout=10))
        if event["type"] == kind:
            return event


def test_page_and_its_headers(demo: str) -> None:
    with urllib.request.urlopen(demo.replace("ws://", "http://") + "/", timeout=10) as answer:
        html = answer.read().decode()
        policy = answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert html.startswith("<!doctype html>")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 2


def test_health(demo: str) -> None:
    url = demo.replace("ws://", "http://") + "/healthz"
    with connect(f"{demo}/clock") as ws:
        ws.recv(timeout=10)
        with urllib.request.urlopen(url, timeout=10) as answer:
            health = json.load(answer)
    assert health["status"] == "ok"
    assert health["connections"] >= 1


def test_echo_endpoint(demo: str) -> None:
    with connect(f"{demo}/echo?with=query") as ws:
        ws.send(b"\x00\x01")
        assert ws.recv(timeout=10) == b"\x00\x01"


def test_another_path_is_refused(demo: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{demo}/nowhere")
    assert refused.value.response.status_code == 404
    assert b"/echo" in refused.value.response.body


def test_clock_pushes_and_ignores_what_it_is_told(demo: str) -> None:
    with connect(f"{demo}/clock") as ws:
        ws.send("faster!")
        ticks = [json.loads(ws.recv(timeout=10)) for _ in range(3)]
    assert [tick["tick"] for tick in ticks] == [0, 1, 2]
    assert 0.9 < ticks[2]["unix"] - ticks[1]["unix"] < 1.5


def test_chat(demo: str) -> None:
    with talk(demo) as (first, _), talk(demo) as (second, second_name):
        assert next_event(first, "joined")["name"] == second_name
        first.send(json.dumps({"type": "name", "name": "Ada"}))
        assert next_event(second, "renamed")["name"] == "Ada"
        first.send(json.dumps({"type": "say", "text": "<b>hello</b> ☀"}))
        for ws in (first, second):
            said = next_event(ws, "said")
            assert (said["name"], said["text"]) == ("Ada", "<b>hello</b> ☀")
        second.send("just a line")
        assert next_event(first, "said")["text"] == "just a line"
        second.close()
        left = next_event(first, "left")
        assert left["name"] == second_name
        assert left["people"] == ["Ada"]


def test_chat_gives_a_name_once_only(demo: str) -> None:
    with talk(demo) as (first, _), talk(demo) as (second, _):
        for ws, name in ((first, "Grace"), (second, "Grace 2")):
            ws.send('{"type": "name", "name": "Grace"}')
            while next_event(ws, "renamed")["name"] != name:  # the second hears of the first
                pass


@pytest.mark.parametrize(
    "message",
    [b"\x00", '{"type": "say"}', '{"type": []}', '{"type": "name", "name": ""}', "x" * 2001],
)
def test_chat_tells_what_it_does_not_take(demo: str, message: str | bytes) -> None:
    with talk(demo) as (ws, _):
        ws.send(message)
        assert next_event(ws, "error")["text"]


def test_demo_over_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "demo"
    with process("serve", "--unix", str(path)) as running:
        running.wait_for("demo page")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(os.fspath(path))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
