"""Choosing between compiled modules and their sources."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from duplexer import _pure

#: Runs in a package with compiled modules: one with a source beside it, one without.
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from toy import _pure
_pure.choose_build()
from toy.part import both
print(both.__file__)
try:
    from toy.part import only
except ImportError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    package = tmp_path / "toy"
    (package / "part").mkdir(parents=True)
    (package / "_pure.py").write_text(Path(_pure.__file__).read_text())
    for name in ("__init__.py", "part/__init__.py", "part/both.py"):
        (package / name).write_text("")
    for name in ("both", "only"):  # no real extension modules: to load one is an error
        (package / "part" / (name + EXTENSION_SUFFIXES[0])).write_bytes(b"")
    return tmp_path


def run(toy: Path, pure: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(toy)],
        env={"DUPLEXER_PURE": pure},
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout if done.returncode == 0 else done.stderr).splitlines()


def test_sources_are_preferred_when_asked(toy: Path) -> None:
    assert run(toy, "1") == [str(toy / "toy/part/both.py"), "ImportError"]


@pytest.mark.parametrize("pure", ["", "0"])
def test_compiled_modules_are_preferred_otherwise(toy: Path, pure: str) -> None:
    assert EXTENSION_SUFFIXES[0] in run(toy, pure)[-1]


def test_hook_minds_its_own_business(tmp_path: Path) -> None:
    for directory in (str(tmp_path), _pure.ROOT + "2", str(Path(_pure.ROOT, "no-such"))):
        with pytest.raises(ImportError, match="not ours"):
            _pure.find_sources(directory)


def test_choosing_twice_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUPLEXER_PURE", "1")
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    monkeypatch.setattr(sys, "path_importer_cache", dict(sys.path_importer_cache))
    _pure.choose_build()
    before = list(sys.path_hooks)
    assert before[0] is _pure.find_sources
    _pure.choose_build()
    assert sys.path_hooks == before


def test_build_is_what_was_asked_for() -> None:
    assert _pure.build() == ("compiled" if _pure.is_compiled() else "interpreted")
    if _pure.pure_wanted():
        assert not _pure.is_compiled()
    assert not _pure.is_compiled("duplexer.errors")
    assert _pure.is_compiled("duplexer.no_such_module") is False
