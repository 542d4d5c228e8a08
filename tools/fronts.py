"""The fronts stay thin: no file is more than 40 % like another's, and together they do not grow.

Lines are those of code: without blank ones, comments and docstrings. What drives an event loop or
threads for everybody (``MACHINERY``: the transport, the awaitables, the accepting, who waits for
what) knows nothing of ``connect`` and ``serve`` and is counted by itself. Two files are alike by
the lines that they share in order, of the lines that they have (difflib's ratio), imports apart;
what only names things is not compared.

``python tools/fronts.py FOLDER...`` measures other packages the same way.
"""

from __future__ import annotations

import ast
import difflib
import io
import itertools
import sys
import tokenize
from pathlib import Path

from files import ROOT

FRONTS = ("asyncio", "sync", "trio")
MACHINERY = (
    "accepting.py",
    "awaiting.py",
    "keeper.py",
    "mutex.py",
    "pump.py",
    "tcp.py",
    "wire.py",
)
AIM = 2100  #: what they should have together ...
MOST_LINES = 3232  #: ... and what they have: raise it for no less than a front
MOST_ALIKE = 0.40
SMALL = 25  #: a file of fewer lines only names things, and may be as others are
_SPACE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(text: str, *, imports: bool = True) -> list[str]:
    """The lines of ``text`` that do something, stripped."""
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if (not imports and isinstance(node, (ast.Import, ast.ImportFrom))) or (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SPACE:
            used.update(range(token.start[0], token.end[0] + 1))
    lines = text.splitlines()
    return [lines[number - 1].strip() for number in sorted(used - skipped)]


def likeness(one: str, other: str) -> float:
    """Which part of two files' lines they share, from 0 to 1."""
    first, second = (code_lines(text, imports=False) for text in (one, other))
    return difflib.SequenceMatcher(None, first, second, autojunk=False).ratio()


def measure(folders: list[Path], machinery: tuple[str, ...]) -> tuple[int, list[str]]:
    """Print the figures of the fronts in ``folders``: their lines, and what is too much alike."""
    total = 0
    texts: dict[tuple[str, str], str] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            text = path.read_text(encoding="utf-8")
            lines = len(code_lines(text))
            apart = path.name in machinery
            if not apart:
                total += lines
            if lines >= SMALL:
                texts[folder.name, path.name] = text
                print(f"{folder.name + '/' + path.name:28} {lines:5}{' machinery' * apart}")
    print(f"{'together':28} {total:5} (the aim is {AIM})")
    alike = []
    for (one, text), (other, its) in itertools.combinations(texts.items(), 2):
        if one[0] != other[0]:
            ratio = likeness(text, its)
            if ratio >= MOST_ALIKE / 2:
                print(f"{'/'.join(one)} and {'/'.join(other)}: {ratio:.0%} alike")
            if ratio > MOST_ALIKE:
                alike.append(f"{'/'.join(one)} and {'/'.join(other)} are {ratio:.0%} alike")
    return total, alike


def main(arguments: list[str]) -> int:
    if arguments:
        measure([Path(argument) for argument in arguments], ())
        return 0
    total, wrong = measure([ROOT / "src/duplexer" / front for front in FRONTS], MACHINERY)
    if total > MOST_LINES:
        wrong.append(f"the fronts have {total} lines, at most {MOST_LINES}")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
