"""``duplexer connect`` on a terminal: what a person types and sees."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection

from tests.integration.cli_process import Terminal, server, terminal
from tests.integration.test_cli_connect import scripted

ENTER, CTRL_C, CTRL_D, UP, TAB = "\r", "\x03", "\x04", "\x1b[A", "\t"


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    with server("echo") as (_, url):
        yield url


@contextlib.contextmanager
def talking(url: str, state: Path) -> Iterator[Terminal]:
    """A client that is connected and has shown its prompt."""
    with terminal("connect", url, XDG_STATE_HOME=str(state)) as screen:
        screen.wait_for("connected to")
        screen.wait_for("pong after")  # it measures once by itself
        yield screen


def test_messages_go_and_come(echo: str, tmp_path: Path) -> None:
    with talking(echo, tmp_path) as screen:
        screen.write("hello there" + ENTER)
        screen.wait_for("< hello there")
        screen.write("//slash" + ENTER)
        screen.wait_for("< /slash")
        screen.write(CTRL_D)
        assert screen.end() == 0
        assert "1000" in screen.seen()
        assert "Traceback" not in screen.seen()


def test_the_toolbar_shows_address_latency_and_counts(echo: str, tmp_path: Path) -> None:
    with talking(echo, tmp_path) as screen:
        screen.write("one" + ENTER)
        screen.wait_for("< one")
        screen.wait_for(r"latency [0-9.]+ m?s")
        screen.wait_for("sent 1, received 1")


def test_ping(echo: str, tmp_path: Path) -> None:
    with talking(echo, tmp_path) as screen:
        screen.output = ""
        screen.write("/ping" + ENTER)
        screen.wait_for(r"pong after [0-9.]+ m?s")


def test_binary(echo: str, tmp_path: Path) -> None:
    with talking(echo, tmp_path) as screen:
        screen.write("/binary 48 65 6c 6c 6f ff" + ENTER)
        screen.wait_for("< binary, 6 bytes")
        screen.wait_for(r"0000  48 65 6c 6c 6f ff +Hello\.")
        screen.write("/binary 4" + ENTER)
        screen.wait_for("odd number")


def test_close_with_code_and_reason(tmp_path: Path) -> None:
    seen: list[tuple[int | None, str | None]] = []

    def handler(ws: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            ws.recv()
        seen.append((ws.close_code, ws.close_reason))

    with scripted(handler) as url, talking(url, tmp_path) as screen:
        screen.write("/close 999" + ENTER)
        screen.wait_for("999 cannot be sent")
        screen.write("/close 4001 that was all" + ENTER)
        assert screen.end() == 0
        assert "4001" in screen.seen()
    assert seen == [(4001, "that was all")]


def test_closed_by_the_server_is_explained(tmp_path: Path) -> None:
    def handler(ws: ServerConnection) -> None:
        ws.recv()
        ws.close(1011, "\x1b]0;owned\x07out of order")

    with scripted(handler) as url, talking(url, tmp_path) as screen:
        screen.write("break" + ENTER)
        assert screen.end() == 1
        assert "1011" in screen.seen()
        assert "out of order" in screen.seen()
        assert "\x1b]0;owned" not in screen.output


def test_control_characters_of_the_peer_are_written_out(tmp_path: Path) -> None:
    attack = "\x1b]0;title\x07\x1b[2J\x9b31m\u202egnp.exe"

    def handler(ws: ServerConnection) -> None:
        ws.recv()
        ws.send(attack)
        ws.send("two\nlines")
        with contextlib.suppress(ConnectionClosed):
            ws.recv()

    with scripted(handler) as url, talking(url, tmp_path) as screen:
        screen.write("go" + ENTER)
        screen.wait_for(r"< \\x1b\]0;title\\x07\\x1b\[2J\\x9b31m\\u202egnp\.exe")
        assert "\x1b]0;title" not in screen.output
        assert "\x9b" not in screen.output
        assert "\u202e" not in screen.output
        screen.wait_for(r"< two\r*\n +lines")


def test_a_flood_does_not_take_the_keyboard(tmp_path: Path) -> None:
    def handler(ws: ServerConnection) -> None:
        ws.recv()
        with contextlib.suppress(ConnectionClosed):
            while True:
                ws.send("flood")

    with scripted(handler) as url, talking(url, tmp_path) as screen:
        screen.write("go" + ENTER)
        screen.wait_for("< flood")
        screen.write(CTRL_D)
        assert screen.end() == 0


def test_unknown_command_and_help(echo: str, tmp_path: Path) -> None:
    with talking(echo, tmp_path) as screen:
        screen.write("/nonsense" + ENTER)
        screen.wait_for("there is no command /nonsense")
        screen.write("/help" + ENTER)
        screen.wait_for("/close \\[CODE")
        screen.write("/info" + ENTER)
        screen.wait_for("permessage-deflate")


def test_ctrl_c_clears_the_line_and_leaves_on_an_empty_one(echo: str, tmp_path: Path) -> None:
    with talking(echo, tmp_path) as screen:
        screen.write("never sent" + CTRL_C + "sent" + ENTER)
        screen.wait_for("< sent")
        assert "< never" not in screen.seen()
        screen.write(CTRL_C)
        assert screen.end() == 0


def test_history_is_kept_for_the_next_time_and_private(echo: str, tmp_path: Path) -> None:
    with talking(echo, tmp_path) as screen:
        screen.write("remember me" + ENTER)
        screen.wait_for("< remember me")
        screen.write(CTRL_D)
        screen.end()
    file = tmp_path / "duplexer" / "history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with talking(echo, tmp_path) as screen:
        screen.write(UP + ENTER)
        screen.wait_for("< remember me")


def test_tab_completes_commands(echo: str, tmp_path: Path) -> None:
    with talking(echo, tmp_path) as screen:
        screen.write("/he" + TAB + ENTER)
        screen.wait_for("recall what you typed")


def test_no_server_and_a_terminal() -> None:
    with terminal("connect", "ws://127.0.0.1:1") as screen:
        assert screen.end() == 3
        assert "nothing listens at ws://127.0.0.1:1" in screen.seen()
        assert "Traceback" not in screen.seen()
