"""Small pieces: functions of at most 60 lines, classes of 400, files of 600.

Docstrings do not count in functions and classes: explaining is free. Test files may be long: there
is one for each module, and it is a list.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from files import ROOT, repository_files

FUNCTION, CLASS, FILE = 60, 400, 600
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def docstring_lines(node: ast.AST) -> int:
    """Lines of the docstrings of a definition and of those within it."""
    return sum(
        docstring.count("\n") + 1
        for child in ast.walk(node)
        if isinstance(child, DEFINITIONS)
        and (docstring := ast.get_docstring(child, clean=False)) is not None
    )


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Lines of a definition without docstrings."""
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring_lines(node)


def too_long(path: Path, text: str) -> Iterator[str]:
    """What is too long in one file, a sentence each."""
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    size = text.count("\n")
    if size > FILE and not path.is_relative_to(ROOT / "tests"):
        yield f"{name}: {size} lines, at most {FILE}"
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, DEFINITIONS):
            most = CLASS if isinstance(node, ast.ClassDef) else FUNCTION
            size = lines_of(node)
            if size > most:
                yield f"{name}:{node.lineno}: {node.name} has {size} lines, at most {most}"


def main() -> int:
    found = [
        line
        for path in repository_files(".py", ".pyx", ".pxd", ".c", ".h")
        for line in too_long(path, path.read_text(encoding="utf-8"))
    ]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
