"""The package itself: its names, and that they cost nothing until they are used."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import duplexer


@pytest.mark.parametrize("name", [name for name in duplexer.__all__ if name != "__version__"])
def test_each_name_is_there(name: str) -> None:
    value = getattr(duplexer, name)
    if isinstance(value, str):  # a constant: what an argument may be
        assert name == value.upper().replace("-", "_")
    else:
        assert value.__name__ == name
        assert getattr(importlib.import_module(value.__module__), name) is value
    assert name in dir(duplexer)


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(AttributeError, match="module 'duplexer' has no attribute 'nothing'"):
        duplexer.nothing  # noqa: B018


def test_importing_it_imports_no_front() -> None:
    code = (
        "import sys, duplexer; "
        "print([name for name in sys.modules if name.startswith('duplexer.asyncio')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_version() -> None:
    assert duplexer.__version__.count(".") == 2
