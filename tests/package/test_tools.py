"""The checks of tools/ find what they look for, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Tool = Callable[[str], ModuleType]


@pytest.mark.parametrize(
    "text",
    [
        "see /home/somebody/notes",
        "cd /root/.cache",
        "pip install -i https://pypi.org/simple x",
        "mended (#123)",
        "as issue 12 says",
        "# TODO: later",
        "<<<<<<< HEAD",
    ],
)
def test_words_forbidden(tool: Tool, text: str) -> None:
    assert len(list(tool("words").forbidden(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "GET /chat/home/x HTTP/1.1",
        "wss://example.com/home/x",
        "ends with a colour: #ffffff",
        'href="page.html#3"',
        "======== a heading",
        "it is /tmp/x or /usr/bin/chromium",
        "cd /root/.cache  # words: allowed, an example",
        "(&#123;)",
    ],
)
def test_words_allowed(tool: Tool, text: str) -> None:
    assert list(tool("words").forbidden(text)) == []


def test_sizes(tool: Tool) -> None:
    sizes = tool("sizes")
    body = "    x = 1\n"
    docstring = '    """Many\n' + "\n" * 100 + '    """\n'
    path = Path("x.py")
    assert list(sizes.too_long(path, "def f():\n" + docstring + body * 59)) == []
    assert list(sizes.too_long(path, "async def f():\n" + body * 60)) == [
        "x.py:1: f has 61 lines, at most 60"
    ]
    assert list(sizes.too_long(path, "class C:\n" + body * 400)) == [
        "x.py:1: C has 401 lines, at most 400"
    ]
    assert list(sizes.too_long(Path("x.c"), "\n" * 601)) == ["x.c: 601 lines, at most 600"]


def test_modules(tool: Tool, tmp_path: Path) -> None:
    source, unit = tmp_path / "src", tmp_path / "unit"
    for path, text in {
        source / "__init__.py": '"""Nothing."""',
        source / "errors.py": "class E:\n    def __str__(self): return 'E'",
        source / "records.py": "class E:\n    def __init__(self): self.x = 1",
        source / "abstract.py": "class E:\n    def f(self):\n        raise NotImplementedError",
        source / "_secret.py": "def f(): return 1",
        source / "words.py": "A = 1",
        source / "core/__init__.py": "def f(): return 1",
        source / "core/decoder.py": "def f(): return 1",
        unit / "test_secret.py": "",
        unit / "core/test_core.py": "",
        unit / "core/test_gone.py": "",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert list(tool("modules").complaints(source, unit)) == [
        "core/decoder.py: its tests are missing: tests/unit/core/test_decoder.py",
        "errors.py: its tests are missing: tests/unit/test_errors.py",
        "tests/unit/core/test_gone.py: there is no such module",
    ]


FRONT = """
'''About this.'''
import os  # an import

def connect(uri):
    '''Connect.'''
    # why
    return os.path.join(
        uri,
        "x",
    )
"""


def test_lines_of_code_are_counted_without_what_explains_them(tool: Tool) -> None:
    fronts = tool("fronts")
    assert len(fronts.code_lines(FRONT)) == 6
    assert len(fronts.code_lines(FRONT, imports=False)) == 5


def test_likeness_is_that_of_the_code(tool: Tool) -> None:
    likeness = tool("fronts").likeness
    assert likeness(FRONT, FRONT.replace("# why", "# because").replace("About", "On")) == 1
    assert likeness(FRONT, "x = 1\ny = 2\n") == 0
    assert 0 < likeness(FRONT, FRONT.replace("uri,", "path,")) < 1


def test_fronts_that_are_alike_are_named(tool: Tool, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "client.py").write_text(FRONT + "x = 1\n" * 20)
        (tmp_path / name / "names.py").write_text(FRONT)
    (tmp_path / "one/pump.py").write_text("x = 1\n")
    total, alike = tool("fronts").measure([tmp_path / "one", tmp_path / "two"], ("pump.py",))
    assert total == 64
    assert alike == ["one/client.py and two/client.py are 100% alike"]
