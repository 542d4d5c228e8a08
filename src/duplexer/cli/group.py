"""The group that holds all commands."""

from __future__ import annotations

import importlib
import importlib.metadata

import click

from duplexer.cli.main import COMMANDS

__all__ = ["LazyGroup", "group", "version"]


def version() -> str:
    """The version of duplexer that is installed, ``"unknown"`` in a bare checkout."""
    try:
        return importlib.metadata.version("duplexer")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command called ``cmd_name``, ``None`` where there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(version(), "-V", "--version", prog_name="duplexer")
def group() -> None:
    r"""Speak WebSocket from the command line.

    \b
    duplexer serve                    a demo, with a page to play with
    duplexer serve app:handler        your own server
    duplexer connect wss://...        talk to a server, by hand or from a script
    duplexer echo                     an echo server for tests
    """
