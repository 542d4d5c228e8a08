"""Each module has a test file of its own: src/duplexer/x/y.py has tests/unit/x/test_y.py.

Modules that only name things need none: constants, records, interfaces. Nor may a test file stand
alone under tests/unit/ when its module has gone.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from files import ROOT

SOURCE = ROOT / "src/duplexer"
UNIT = ROOT / "tests/unit"
#: Tests of what is no Python module.
OTHER_TESTS = {"core/test_native.py"}
#: Tested from elsewhere: the wire between a process and its user is in tests/unit/cli/.
UNTESTED = {"__main__.py"}


def is_empty(node: ast.stmt) -> bool:
    """Whether a statement does nothing: a docstring, ``...``, or what an abstract method has."""
    if isinstance(node, ast.Raise):
        return node.exc is not None and ast.unparse(node.exc).startswith("NotImplementedError")
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def does_something(path: Path) -> bool:
    """Whether a module has a function that does something, beside storing its arguments."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(
        isinstance(node, functions)
        and node.name != "__init__"
        and not all(map(is_empty, node.body))
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_file(module: Path) -> Path:
    """Where the tests of a module (relative to SOURCE) are (relative to UNIT).

    An ``__init__.py`` is tested under the name of its package.
    """
    stem = module.stem
    if stem == "__init__":
        stem = module.parent.name or "duplexer"
    return module.parent / f"test_{stem.removeprefix('_')}.py"


def complaints(source: Path = SOURCE, unit: Path = UNIT) -> Iterator[str]:
    """What is missing on either side."""
    modules = {path.relative_to(source) for path in source.rglob("*.py")}
    wanted = {test_file(module): module for module in modules}
    for test, module in sorted(wanted.items()):
        if (unit / test).exists() or module.as_posix() in UNTESTED:
            continue
        if does_something(source / module):
            yield f"{module}: its tests are missing: tests/unit/{test}"
    for path in sorted(unit.rglob("test_*.py")):
        test = path.relative_to(unit)
        if test not in wanted and test.as_posix() not in OTHER_TESTS:
            yield f"tests/unit/{test}: there is no such module"


def main() -> int:
    found = list(complaints())
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
