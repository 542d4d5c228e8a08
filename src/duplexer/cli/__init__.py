"""The command line: ``duplexer serve``, ``connect``, ``echo`` and ``bench``.

What it is made of (click, rich, prompt_toolkit) is the extra ``duplexer[cli]`` and is imported in
this package only, after it is known to be there.
"""

from __future__ import annotations

import importlib.util
import os
import sys

__all__ = ["run"]

#: The packages of the extra.
REQUIRED = ("click", "prompt_toolkit", "rich")

#: Exit status for a mistake of ours (``EX_SOFTWARE`` of sysexits.h).
INTERNAL = 70


def missing_packages() -> list[str]:
    """Names of the packages of the extra that are not installed."""
    return [name for name in REQUIRED if importlib.util.find_spec(name) is None]


def run() -> None:
    """Run the command line and leave with its exit status; the user never sees a traceback."""
    missing = missing_packages()
    if missing:
        sys.stderr.write(
            f"error: the command line needs {', '.join(missing)}, not installed here\n"
            "  cure: pip install 'duplexer[cli]'\n"
        )
        raise SystemExit(2)
    from duplexer.cli.main import cli

    try:
        cli(prog_name="duplexer")
    except Exception as error:
        if os.environ.get("DUPLEXER_DEBUG"):
            raise
        sys.stderr.write(
            f"error: {type(error).__name__}: {error}\n"
            "  This is a mistake in duplexer, not in what you did.\n"
            "  cure: run it again with DUPLEXER_DEBUG=1 to see where, and report that\n"
        )
        raise SystemExit(INTERNAL) from None
