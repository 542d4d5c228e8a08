"""Where the command starts. A new command is a file beside this one and a line in ``COMMANDS``.

Nothing of the extra ``duplexer[cli]`` is imported before it is known to be there.
"""

from __future__ import annotations

import importlib.util
import os
import sys

__all__ = ["COMMANDS", "main"]

#: Command → where it is. Loaded when it is used, so that ``duplexer echo`` starts at once.
COMMANDS = {
    "connect": "duplexer.cli.connect:connect",
    "echo": "duplexer.cli.echo:echo",
    "serve": "duplexer.cli.serve:serve",
}

#: The packages of the extra.
REQUIRED = ("click", "prompt_toolkit", "rich")

#: Exit status for a mistake of ours (``EX_SOFTWARE`` of sysexits.h).
INTERNAL = 70


def missing_packages() -> list[str]:
    """Names of the packages of the extra that are not installed."""
    return [name for name in REQUIRED if importlib.util.find_spec(name) is None]


def main() -> None:
    """Run the command line and leave with its exit status; the user never sees a traceback."""
    missing = missing_packages()
    if missing:
        sys.stderr.write(
            f"error: the command line needs {', '.join(missing)}, not installed here\n"
            "  cure: pip install 'duplexer[cli]'\n"
        )
        raise SystemExit(2)
    from duplexer.cli.group import group

    try:
        group(prog_name="duplexer")
    except Exception as error:
        if os.environ.get("DUPLEXER_DEBUG"):
            raise
        sys.stderr.write(
            f"error: {type(error).__name__}: {error}\n"
            "  This is a mistake in duplexer, not in what you did.\n"
            "  cure: run it again with DUPLEXER_DEBUG=1 to see where, and report that\n"
        )
        raise SystemExit(INTERNAL) from None
