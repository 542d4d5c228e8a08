"""``duplexer.cli``: what happens before and around the commands."""

from __future__ import annotations

import sys

import click
import pytest

from duplexer import cli
from duplexer.cli import main


def test_nothing_is_missing_here() -> None:
    assert cli.missing_packages() == []


def test_a_missing_package_is_told_with_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "REQUIRED", ("click", "no_such_package_here"))
    with pytest.raises(SystemExit) as left:
        cli.run()
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert "no_such_package_here" in error
    assert "click" not in error
    assert "pip install 'duplexer[cli]'" in error


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command group that fails as only a mistake of ours can make it fail."""

    def fail(**_: object) -> None:
        raise RuntimeError("the impossible")

    monkeypatch.setattr(main, "cli", fail)


@pytest.mark.usefixtures("broken")
def test_a_mistake_of_ours_is_told_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DUPLEXER_DEBUG", raising=False)
    with pytest.raises(SystemExit) as left:
        cli.run()
    assert left.value.code == cli.INTERNAL
    error = capsys.readouterr().err
    assert "RuntimeError: the impossible" in error
    assert "DUPLEXER_DEBUG=1" in error


@pytest.mark.usefixtures("broken")
def test_the_traceback_is_there_for_those_who_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUPLEXER_DEBUG", "1")
    with pytest.raises(RuntimeError):
        cli.run()


def test_usage_errors_are_those_of_click(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["duplexer", "--no-such-option"])
    with pytest.raises(SystemExit) as left:
        cli.run()
    assert left.value.code == click.UsageError.exit_code
    assert "--no-such-option" in capsys.readouterr().err
