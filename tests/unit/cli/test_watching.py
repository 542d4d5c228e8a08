"""Code that changes."""

from __future__ import annotations

import os
from pathlib import Path

from duplexer.cli.watching import Watcher


def test_files_that_change_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    module = tmp_path / "package" / "module.py"
    module.write_text("1")
    watcher = Watcher(tmp_path)
    assert not watcher.changed()
    before = module.stat().st_mtime_ns
    os.utime(module, ns=(before, before + 1_000_000_000))
    assert watcher.changed() and not watcher.changed()
    other = tmp_path / "other.py"
    other.touch()
    assert watcher.changed() and not watcher.changed()
    other.unlink()
    assert watcher.changed() and not watcher.changed()


def test_what_is_nobodys_code(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path)
    for folder in (".venv", "node_modules", "__pycache__"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").touch()
    (tmp_path / "notes.txt").touch()
    assert not watcher.changed()
