"""Which files the checks of this directory look at: those that git knows, or would."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def repository_files(*suffixes: str) -> list[Path]:
    """Files of the checkout that are not ignored, with one of ``suffixes`` (all, if none)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return sorted(
        path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes)
    )
