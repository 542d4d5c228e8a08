"""Small pieces: functions of at most 60 lines, classes of 400, files of 600.

Docstrings of functions do not count: explaining is free. A class or a file that is too long is two.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from files import ROOT, repository_files

FUNCTION, CLASS, FILE = 60, 400, 600


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Lines of a definition; of a function without its docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    docstring = ast.get_docstring(node, clean=False)
    if docstring is not None and not isinstance(node, ast.ClassDef):
        lines -= docstring.count("\n") + 1
    return lines


def too_long(path: Path, text: str) -> Iterator[str]:
    """What is too long in one file, a sentence each."""
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    size = text.count("\n")
    if size > FILE:
        yield f"{name}: {size} lines, at most {FILE}"
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
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
