"""Finding the user's handler. What can go wrong with it is in ``integration/test_cli_serve.py``."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from duplexer.cli.outcome import Failure
from duplexer.cli.serve import load_handler, serve

MODULE = """
import functools

async def handler(ws): ...
async def configured(size, ws): ...
partly = functools.partial(configured, 7)

class Holder:
    async def method(self, ws): ...
holder = Holder()

@functools.wraps(handler)
def decorated(ws):
    return handler(ws)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the current folder."""
    name = f"handlers_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


@pytest.mark.parametrize("path", ["handler", "holder.method", "decorated"])
def test_a_handler_is_found(module: str, path: str) -> None:
    found = load_handler(f"{module}:{path}")
    assert callable(found)


def test_a_partial_is_a_handler(module: str) -> None:
    assert isinstance(load_handler(f"{module}:partly"), functools.partial)


@pytest.mark.parametrize("target", ["", "app", ":handler", "app:", "app.py:handler", "a/b:handler"])
def test_wrong_targets(target: str) -> None:
    with pytest.raises(Failure) as failure:
        load_handler(target)
    assert failure.value.exit_code == 2
    assert failure.value.cure


def test_a_path_is_given_as_the_module_it_is() -> None:
    with pytest.raises(Failure) as failure:
        load_handler("./src/app.py:handler")
    assert "write src.app:handler" in failure.value.cure


def test_a_module_without_coroutine_functions_gets_an_example() -> None:
    with pytest.raises(Failure) as failure:
        load_handler("math:handler")
    assert failure.value.cure == "define it: async def handler(ws): ..."


@pytest.mark.parametrize("option", [("--workers", "2"), ("--reload",)])
def test_the_demo_is_one_process(option: tuple[str, ...]) -> None:
    done = CliRunner().invoke(serve, option)
    assert done.exit_code == 2
    assert "the demo" in done.output and "app:handler" in done.output
