"""Importing: what is loaded when, and that every module can be the first to be imported."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def needed(name: str) -> set[str]:
    """Modules of ours that ``name`` imports whenever it is imported itself, in any order."""
    path = PACKAGE.joinpath(*name.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = {name.rpartition(".")[0]}
    if not file.with_suffix(".pyx").exists():  # which is what is compiled in its place
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & set(modules()) - {name}


def import_plan() -> list[list[Any]]:
    """A tree of all modules: what is above a module in it, it imports itself."""
    direct = {name: needed(name) for name in modules()}

    @functools.cache
    def all_needed(name: str) -> set[str]:
        reached: set[str] = set()
        fresh = {name}
        while fresh:
            reached |= fresh
            fresh = set().union(*(direct[each] for each in fresh)) - reached
        return reached

    below: dict[str, list[list[Any]]] = {name: [] for name in direct}
    roots = []
    for name, imports in direct.items():
        package = name.rpartition(".")[0]
        above = [each for each in imports if name not in all_needed(each)]  # else: a circle
        if package and name in all_needed(package):  # whoever wants it begins with the package
            above = [package]
        place = below[max(above, key=lambda each: len(all_needed(each)))] if above else roots
        place.append([name, below[name]])
    return roots


#: Imports each module of a plan in a process of its own, forked from one where nothing of ours
#: is there but what that module imports anyway; prints what failed, then how many there were.
ALONE = """
import asyncio, concurrent.futures, contextlib, json, logging, mmap, os, ssl, sys, traceback
for name in ("aiofastnet", "click", "rich.console", "trio", "uvicorn", "uvloop"):
    with contextlib.suppress(ImportError):  # what is not ours may be there before, and costs most
        __import__(name)
count = mmap.mmap(-1, 8)

def visit(name, below, above=""):
    child = os.fork()
    if child == 0:
        try:
            assert name not in sys.modules or above == name.rpartition(".")[0], above
            __import__(name)
            count[:] = (int.from_bytes(count) + 1).to_bytes(8)
        except BaseException:
            print(name, traceback.format_exc(), flush=True)
        for each in below:
            visit(*each, name)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status:
        print(name, "ended with status", status, flush=True)

for each in json.loads(sys.argv[1]):
    visit(*each)
print(int.from_bytes(count))
"""


@pytest.mark.both_builds
@pytest.mark.timeout(300)  # of processor time it takes a small part of that
def test_every_module_can_be_imported_first() -> None:
    """No module counts on another one having been imported that it does not import itself."""
    assert run_python(ALONE, json.dumps(import_plan())) == f"{len(modules())}\n"


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
