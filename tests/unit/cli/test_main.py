"""The group of all commands."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from duplexer import __version__
from duplexer.cli.main import COMMANDS, cli


def test_help_lists_every_command_with_a_line() -> None:
    done = CliRunner().invoke(cli, ["--help"])
    assert done.exit_code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.output
    assert "..." not in done.output.partition("Commands:")[2]  # no line is cut off
    assert "\n  duplexer echo   " in done.output  # nor are the examples filled into one


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_for_every_option(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_an_unknown_command_is_none() -> None:
    assert cli.get_command(click.Context(cli), "nonsense") is None
    done = CliRunner().invoke(cli, ["nonsense"])
    assert done.exit_code == 2
    assert "nonsense" in done.output


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option: str) -> None:
    assert CliRunner().invoke(cli, [option]).output == f"duplexer, version {__version__}\n"
