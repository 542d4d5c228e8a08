"""Every seed in git goes through its target: what fuzzing has found once stays found."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Tool = Callable[[str], ModuleType]


@pytest.mark.both_builds
def test_seeds(tool: Tool) -> None:
    fuzz = tool("fuzz")
    for name in fuzz.target_names():
        target = fuzz.load_target(name)
        seeds = fuzz.seeds(name)
        assert len(seeds) > 1, f"fuzz/seeds/{name}/ is empty"
        for seed in seeds:
            target(seed)


@pytest.mark.both_builds
def test_a_few_mutations(tool: Tool) -> None:
    fuzz = tool("fuzz")
    rng = random.Random(6455)
    for name in fuzz.target_names():
        target = fuzz.load_target(name)
        corpus = fuzz.seeds(name)
        for _ in range(200):
            target(fuzz.mutate(rng, corpus))


def test_what_raises_is_kept(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz = tool("fuzz")
    folder = tmp_path / "fuzz"
    (folder / "seeds/weak").mkdir(parents=True)
    (folder / "seeds/weak/hello").write_bytes(b"hello")
    (folder / "weak.py").write_text("def target(data):\n    assert len(data) < 7\n")
    monkeypatch.setattr(fuzz, "ROOT", tmp_path)
    monkeypatch.setattr(fuzz, "FUZZ", folder)
    assert fuzz.target_names() == ["weak"]
    assert fuzz.run_blind("weak", 30, seed=1) == 1
    (found,) = (folder / "findings/weak").iterdir()
    assert len(found.read_bytes()) >= 7
    assert found.name in capsys.readouterr().out


def test_what_holds_is_told(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz = tool("fuzz")
    folder = tmp_path / "fuzz"
    folder.mkdir()
    (folder / "strong.py").write_text("def target(data):\n    pass\n")
    monkeypatch.setattr(fuzz, "FUZZ", folder)
    assert fuzz.run_blind("strong", 0.01, seed=1) == 0
    assert "nothing found" in capsys.readouterr().out
