"""The group of all commands. A new one is a file beside this one and a line in ``COMMANDS``."""

from __future__ import annotations

import importlib

import click

from duplexer._version import VERSION

__all__ = ["COMMANDS", "LazyGroup", "cli"]

#: Command → where it is. Loaded when it is used, so that ``duplexer echo`` starts at once.
COMMANDS = {
    "bench": "duplexer.cli.bench:bench",
    "connect": "duplexer.cli.connect:connect",
    "echo": "duplexer.cli.echo:echo",
    "serve": "duplexer.cli.serve:serve",
}


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
@click.version_option(VERSION, "-V", "--version", prog_name="duplexer")
def cli() -> None:
    """Speak WebSocket from the command line.

    \b
    duplexer serve                    a demo, with a page to play with
    duplexer serve app:handler        your own server
    duplexer connect wss://...        talk to a server, by hand or from a script
    duplexer echo                     an echo server for tests
    duplexer bench ws://...           put a load on a server, and measure it
    """  # noqa: D301  # click wants the character: lines of such a paragraph stay apart
