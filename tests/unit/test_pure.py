"""Choosing between compiled modules and their sources."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from duplexer import _pure

#: Stands for a package with compiled modules: one with a source beside it, one without.
PROGRAM = """
import sys
import duplexer._pure as pure
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "SourceFinder"]
pure.PACKAGE = "toy"
pure.choose_build()
import toy.both
print(toy.both.__file__)
try:
    import toy.only
except ImportError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    package = tmp_path / "toy"
    package.mkdir()
    for name in ("__init__.py", "both.py"):
        (package / name).write_text("")
    for name in ("both", "only"):  # no real extension modules: to load one is an error
        (package / (name + EXTENSION_SUFFIXES[0])).write_bytes(b"")
    return tmp_path


def run(toy: Path, pure: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(toy)!r})\n{PROGRAM}"],
        env={"DUPLEXER_PURE": pure, "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout if done.returncode == 0 else done.stderr).splitlines()


def test_sources_are_preferred_when_asked(toy: Path) -> None:
    both, only = run(toy, "1")
    assert both == str(toy / "toy/both.py")
    assert only == "ModuleNotFoundError toy.only exists only compiled, and DUPLEXER_PURE is set"


@pytest.mark.parametrize("pure", ["", "0"])
def test_compiled_modules_are_preferred_otherwise(toy: Path, pure: str) -> None:
    assert "both.cpython" in run(toy, pure)[-1]


def test_finder_minds_its_own_business() -> None:
    finder = _pure.SourceFinder()
    assert finder.find_spec("json", None) is None
    assert finder.find_spec("json.decoder", ["anywhere"]) is None
    assert finder.find_spec("duplexer", None) is None


def test_finder_follows_new_files(tmp_path: Path) -> None:
    finder = _pure.SourceFinder()
    assert finder.find_spec("duplexer.news", [str(tmp_path)]) is None
    (tmp_path / "news.py").write_text("")
    finder.invalidate_caches()
    spec = finder.find_spec("duplexer.news", [str(tmp_path)])
    assert spec is not None and spec.origin == str(tmp_path / "news.py")


def test_choosing_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUPLEXER_PURE", "1")
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    _pure.choose_build()
    before = list(sys.meta_path)
    assert isinstance(before[0], _pure.SourceFinder)
    _pure.choose_build()
    assert sys.meta_path == before


def test_build_is_what_was_asked_for() -> None:
    assert _pure.build() == ("compiled" if _pure.is_compiled() else "interpreted")
    if _pure.pure_wanted():
        assert not _pure.is_compiled()
    assert not _pure.is_compiled("duplexer.errors")
    assert _pure.is_compiled("duplexer.no_such_module") is False
