"""The reference is complete, what is generated is right, and Sphinx has nothing to complain of."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import duplexer
from duplexer import Limits
from duplexer.core.closing import TABLE
from duplexer.errors import RULES
from tests.docs.pages import ROOT, environment

REFERENCE = ROOT / "docs/reference"


def generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs/generated.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def documented() -> set[str]:
    """Names that have a directive of autodoc, and those in modules that have one."""
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    names = set(
        re.findall(
            r"^ *\.\. auto(?:class|function|exception|data):: duplexer\.(?:\w+\.)*(\w+)",
            text,
            re.MULTILINE,
        )
    )
    for module in re.findall(r"^ *\.\. automodule:: (duplexer[.\w]*)", text, re.MULTILINE):
        names |= set(importlib.import_module(module).__all__)
    return names


@pytest.mark.parametrize("name", sorted(set(duplexer.__all__) - {"__version__"}))
def test_public_name_has_an_entry(name: str) -> None:
    assert name in documented()


def test_every_bound_is_in_the_table() -> None:
    table = generated().limits()
    for field in dataclasses.fields(Limits):
        assert f"| `{field.name}` |" in table


def test_every_rule_is_in_the_table() -> None:
    table = generated().rules()
    for name, rule in RULES.items():
        assert f"| `{name}` | {rule.code} |" in table


def test_every_transition_is_drawn() -> None:
    drawn = generated().figure()
    assert drawn.count('class="happening"') == len(TABLE)
    for phase, happening in TABLE:
        assert f">{phase.name}<" in drawn
        assert f">{happening.name}<" in drawn


@pytest.mark.timeout(240)  # of processor time it takes a tenth of that
def test_sphinx_builds_without_a_warning(tmp_path: Path) -> None:
    if any(importlib.util.find_spec(name) is None for name in ("sphinx", "furo", "myst_parser")):
        pytest.skip("needs the extra docs")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        str(tmp_path / "t"),
    ]
    result = subprocess.run(
        [*command, str(ROOT / "docs"), str(tmp_path / "html")],
        env=environment() | {"DUPLEXER_PURE": "1"},
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    assert result.returncode == 0, result.stderr
