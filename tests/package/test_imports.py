"""Importing: what is loaded when, and that every module can be the first to be imported."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import duplexer

PACKAGE = Path(duplexer.__file__).parent
#: Packages of extras and parts of the standard library that cost more than they give to a
#: program that has only written `import duplexer`.
HEAVY = {"asyncio", "ssl", "aiofastnet", "click", "rich", "trio", "uvloop", "h2", "logging"}


#: Each dependency → where it may be imported. Everything but aiofastnet is an extra.
DEPENDENCIES = {
    "aiofastnet": ["asyncio/"],
    "ada_url": ["browser/url"],
    "uvloop": ["asyncio/", "cli/"],
    "trio": ["trio/", "cli/fronts", "testing/"],
    "werkzeug": ["driver/routing"],
    "zlib_ng": ["extensions/deflate"],
    "isal": ["extensions/deflate"],
    "pypac": ["proxies/"],
    "truststore": ["driver/tls"],
    "opentelemetry": ["driver/tracing"],
    "uvicorn": ["asgi/"],
    "pytest": ["testing/plugin"],
    "click": ["cli/"],
    "rich": ["cli/"],
    "prompt_toolkit": ["cli/"],
}


def modules() -> list[str]:
    """Names of all modules of the package."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("duplexer", *path.relative_to(PACKAGE).with_suffix("").parts)
        names.append(".".join(parts).removesuffix(".__init__"))
    return [name for name in names if not name.endswith("__main__")]


def run_python(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light() -> None:
    code = "import sys, json; old = set(sys.modules); import duplexer; "
    loaded = json.loads(run_python(code + "print(json.dumps(sorted(set(sys.modules) - old)))"))
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    ours = {name for name in loaded if name.startswith("duplexer.")}
    assert ours <= {"duplexer._pure", "duplexer._version"}


def imported(path: Path) -> set[str]:
    """Names of the packages that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"duplexer"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_dependencies_are_imported_where_they_belong(path: Path) -> None:
    place = path.relative_to(PACKAGE).as_posix()
    for name in imported(path):
        assert name in DEPENDENCIES, f"{place} imports {name}: is that an extra?"
        assert any(map(place.startswith, DEPENDENCIES[name])), f"{place} imports {name}"


#: Imports each module named on the command line in a child of its own; prints what failed.
ALONE = """
import asyncio, concurrent.futures, contextlib, logging, os, ssl, sys, traceback
for name in ("aiofastnet", "click", "rich.console", "trio", "uvicorn", "uvloop"):
    with contextlib.suppress(ImportError):  # what is not ours may be there before, and costs most
        __import__(name)
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            __import__(name)
        except BaseException:
            print(name, traceback.format_exc(), flush=True)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status:
        print(name, "ended with status", status, flush=True)
"""


@pytest.mark.both_builds
@pytest.mark.timeout(300)  # of processor time it takes a tenth of that
def test_every_module_can_be_imported_first() -> None:
    """No module counts on another one having been imported before it."""
    assert run_python(ALONE, *modules()) == ""


def test_public_names() -> None:
    """Each public name exists, comes when it is asked for, and has a sentence that says why."""
    names = getattr(duplexer, "__all__", [])
    assert sorted(set(names)) == sorted(names)
    for name in names:
        value = getattr(duplexer, name)
        assert name in dir(duplexer)
        assert callable(value) is False or value.__doc__, f"{name} has no docstring"


@pytest.mark.parametrize("name", modules())
def test_all_is_true(name: str) -> None:
    """Each name in the ``__all__`` of a module is there."""
    __import__(name)
    module = sys.modules[name]
    for public in getattr(module, "__all__", []):
        assert hasattr(module, public)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = duplexer.no_such_name


def test_version() -> None:
    import importlib.metadata

    from duplexer._version import VERSION

    assert importlib.metadata.version("duplexer") == VERSION
