"""Pieces of the interactive client; the whole is in ``integration/test_cli_interactive.py``."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory

from duplexer.cli.connect import Plan
from duplexer.cli.interactive import (
    TEXT_SHOWN,
    CommandCompleter,
    history_of,
    message_lines,
    parse_close,
)


@pytest.mark.parametrize(
    ("argument", "close"),
    [
        ("", (1000, "")),
        ("4000", (4000, "")),
        (" 4001  because of that ", (4001, "because of that")),
        ("1012 ä", (1012, "ä")),
    ],
)
def test_close(argument: str, close: tuple[int, str]) -> None:
    assert parse_close(argument) == close


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("why", "is not a number"),
        ("²", "is not a number"),
        ("1005", "cannot be sent"),
        ("999", "cannot be sent"),
        ("5000", "cannot be sent"),
        (f"1000 {'ä' * 62}", "takes 124 bytes, 123 at most"),
    ],
)
def test_wrong_close(argument: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_close(argument)


def test_messages_are_safe_to_print() -> None:
    assert message_lines("") == "(empty text)"
    assert message_lines("one\n\x1btwo").split("\n")[1].strip() == "\\x1btwo"
    assert len(message_lines("x" * (TEXT_SHOWN + 1000))) < TEXT_SHOWN + 100
    first, second = message_lines(b"ab\x1b").split("\n")
    assert first == "binary, 3 bytes"
    assert second.strip() == "0000  61 62 1b                                         ab."


@pytest.mark.parametrize(
    ("typed", "names"), [("/", ["/a", "/bb"]), ("/b", ["/bb"]), ("b", []), ("", []), ("/c", [])]
)
def test_completion(typed: str, names: list[str]) -> None:
    completer = CommandCompleter(["/bb", "/a"])
    found = completer.get_completions(Document(typed), CompleteEvent())
    assert [completion.text for completion in found] == names


def test_history_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert isinstance(history_of(Plan(uri="ws://x")), FileHistory)
    file = tmp_path / "duplexer" / "history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_no_history_where_it_is_not_wanted_or_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert isinstance(history_of(Plan(uri="ws://x", history=False)), InMemoryHistory)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert isinstance(history_of(Plan(uri="ws://x")), InMemoryHistory)
