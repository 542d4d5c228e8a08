"""``duplexer echo`` as a process."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import connect, unix_connect

from tests.integration.cli_process import process, run, server


def test_prints_one_line_and_echoes_text_and_binary() -> None:
    with server("echo") as (running, url):
        assert running.output == f"listening on {url}\n"
        assert url.startswith("ws://127.0.0.1:")
        with connect(url) as ws:
            for message in ("text, Grüße", b"\x00\xff", "", b""):
                ws.send(message)
                assert ws.recv(timeout=10) == message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("loop", ["--uvloop", "--no-uvloop"])
def test_signal_closes_with_1001_and_leaves_with_0(number: signal.Signals, loop: str) -> None:
    with server("echo", loop) as (running, url), connect(url) as ws:
        ws.send("we are connected")
        ws.recv(timeout=10)
        running.popen.send_signal(number)
        with pytest.raises(ConnectionClosedOK) as closed:
            ws.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert running.finish() == (0, running.output, "")


def test_signal_while_nobody_is_connected() -> None:
    with server("echo") as (running, _):
        assert running.stop() == (0, running.output, "")


@pytest.mark.parametrize(("option", "offered"), [("--deflate", True), ("--no-deflate", False)])
def test_deflate(option: str, offered: bool) -> None:
    with server("echo", option) as (_, url), connect(url) as ws:
        assert bool(ws.protocol.extensions) == offered
        ws.send("x" * 1000)
        assert ws.recv(timeout=10) == "x" * 1000


def test_max_size() -> None:
    with server("echo", "--max-size", "1000") as (_, url), connect(url) as ws:
        ws.send("x" * 1000)
        assert len(ws.recv(timeout=10)) == 1000
        ws.send("x" * 1001)
        with pytest.raises(ConnectionClosedError) as closed:
            ws.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


def test_no_max_size() -> None:
    with server("echo", "--max-size", "0") as (_, url), connect(url, max_size=None) as ws:
        ws.send(b"x" * (3 << 20))
        assert len(ws.recv(timeout=10)) == 3 << 20


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    pem = tmp_path / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(pem)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with server("echo", "--certfile", str(pem)) as (_, url):
        assert url.startswith("wss://127.0.0.1:")
        with connect(url, ssl=context) as ws:
            ws.send("secret")
            assert ws.recv(timeout=10) == "secret"


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with process("echo", "--unix", str(path)) as running:
        running.wait_for(rf"listening on ws\+unix://{path}\n")
        with unix_connect(str(path), "ws://localhost/") as ws:
            ws.send("local")
            assert ws.recv(timeout=10) == "local"
        assert running.stop()[0] == 0
        assert not path.exists()


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("echo", "--port", str(port))
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is already in use" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "192.0.2.1"], "192.0.2.1 is not an address of this machine"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid is not an address"),
        (["--port", "65536"], "65536"),
        (["--unix", "/nowhere/at/all/socket"], "cannot listen on /nowhere/at/all/socket"),
        (["--keyfile", os.devnull], "--keyfile"),
    ],
)
def test_wrong_places_are_named(arguments: list[str], words: str) -> None:
    done = run("echo", *arguments)
    assert done.returncode in {1, 2}
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_certificate_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("this is no certificate")
    done = run("echo", "--certfile", str(wrong))
    assert done.returncode == 2
    assert str(wrong) in done.stderr
    assert "PEM" in done.stderr
