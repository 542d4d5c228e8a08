"""Where workers listen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from duplexer.workers import sockets
from duplexer.workers.sockets import bind, bind_unix, inherited, notify, unlink


def close(bound: list[list[socket.socket]]) -> None:
    for sock in {sock for place in bound for sock in place}:
        sock.close()


@pytest.mark.skipif(not sockets.BALANCES, reason="the kernel does not spread")
def test_each_place_has_its_own_on_one_port() -> None:
    bound = bind("127.0.0.1", 0, 3)
    try:
        assert len({sock for (sock,) in bound}) == 3
        assert len({sock.getsockname() for (sock,) in bound}) == 1
    finally:
        close(bound)


def test_elsewhere_all_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "BALANCES", False)
    bound = bind("127.0.0.1", 0, 3)
    try:
        assert bound[0] is bound[1] is bound[2]
    finally:
        close(bound)


def test_all_addresses_of_a_name_have_the_same_port() -> None:
    bound = bind(["127.0.0.1", "127.0.0.2"], 0, 2)
    try:
        assert len({sock.getsockname()[1] for place in bound for sock in place}) == 1
        assert {s.getsockname()[0] for s in bound[1]} == {"127.0.0.1", "127.0.0.2"}
    finally:
        close(bound)


def test_a_port_that_is_taken_is_an_error_unless_it_is_shared() -> None:
    first = bind("127.0.0.1", 0, 2)
    port = first[0][0].getsockname()[1]
    try:
        for place in first:
            place[0].listen()
        for places in (1, 2):
            with pytest.raises(OSError, match=f"127.0.0.1 port {port}"):
                bind("127.0.0.1", port, places)
        close(bind("127.0.0.1", port, 2, share=True))
    finally:
        close(first)


def test_a_unix_socket_that_somebody_left(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    bind_unix(path).close()  # nobody listens, nobody has removed it
    with bind_unix(path) as sock:
        sock.listen()
        with pytest.raises(OSError):
            bind_unix(path)  # this one is in use
        inode = Path(path).stat().st_ino
        unlink(path, inode + 1)  # a successor's
        assert Path(path).exists()
        unlink(path, inode)
        assert not Path(path).exists()
        unlink(path, inode)
    Path(path).write_text("a file")
    with pytest.raises(OSError):
        bind_unix(path)
    assert Path(path).read_text() == "a file"


def test_sockets_of_systemd() -> None:
    assert inherited({}, 7) == []
    assert inherited({"LISTEN_PID": "8", "LISTEN_FDS": "1"}, 7) == []
    assert inherited({"LISTEN_PID": "7", "LISTEN_FDS": "x"}, 7) == []


TAKE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
from duplexer.workers.sockets import inherited
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
try:
    taken = inherited()
    print([sock.getsockname()[1] for sock in taken], os.get_inheritable(3))
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_of_systemd(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        done = subprocess.run(
            [sys.executable, "-c", TAKE, str(sock.fileno())],
            pass_fds=[sock.fileno()],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        port = sock.getsockname()[1]
    if kind == socket.SOCK_STREAM:
        assert done.stdout == f"[{port}] False\n"
    else:
        assert "descriptor 3 is no stream socket" in done.stdout


def test_telling_systemd(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(os.fspath(path))
        sock.settimeout(20)
        notify("READY=1", {"NOTIFY_SOCKET": str(path)})
        assert sock.recv(100) == b"READY=1"
    for nobody in ({}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": str(tmp_path / "none")}):
        notify("READY=1", nobody)
