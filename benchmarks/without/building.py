"""Builds of the sources, each without one mechanism: copied, patched, compiled, kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.build import BUILT, BuildError
from benchmarks.measure import ROOT
from benchmarks.without.mechanisms import ALL, Mechanism

FOLDER = BUILT / "without"
SOURCES = {".py", ".pyx", ".pxd", ".c", ".h"}


def check(patch: Path, folder: Path = ROOT) -> str:
    """Why a patch does not apply to the sources; nothing if it does."""
    return _git_apply(folder, "--check", str(patch))


def build_all(mechanisms: Iterable[Mechanism]) -> dict[str, Path]:
    """The folder to import from, for each of them and for ``ALL``."""
    digest = _digest()
    complete = _made(ALL, digest, None)
    patched = [one for one in mechanisms if one.patch]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda one: _made(one.name, digest, one.patch), patched)
        folders = {one.name: path / "src" for one, path in zip(patched, made, strict=True)}
    for stale in FOLDER.iterdir():
        if not stale.name.startswith(f"{digest}-"):
            shutil.rmtree(stale)
    return {ALL: complete / "src"} | {
        one.name: folders.get(one.name, complete / "src") for one in mechanisms
    }


def _made(name: str, digest: str, patch: Path | None) -> Path:
    """Our build of everything, or what becomes of a copy of it: only what was patched is made."""
    text = patch.read_bytes() if patch else b""
    folder = FOLDER / f"{digest}-{name}-{hashlib.sha256(text).hexdigest()[:8]}"
    if (folder / "done").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    origin = _made(ALL, digest, None) if patch else ROOT
    # With what `setup.py` looks at to see that there is nothing to do.
    built = [path.relative_to(origin) for path in (origin / "build").glob("lib*")]
    for part in (Path("src"), Path("build/cython"), *built):
        if (origin / part).exists():
            shutil.copytree(origin / part, folder / part)
    for part in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy2(origin / part, folder / part)
    if patch and (refusal := _git_apply(folder, str(patch))):
        raise BuildError(f"{patch.name}: {refusal}")
    print(f"compiling: {name}", file=sys.stderr)
    jobs = "1" if patch else str(os.cpu_count())
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--parallel", jobs]
    environment = os.environ | {"DUPLEXER_PURE": ""}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BuildError(f"{name}: {done.stderr.strip()[-1000:]}")
    (folder / "done").touch()
    return folder


def _git_apply(folder: Path, *arguments: str) -> str:
    # Not a part of the repository that the folder may lie in: there git would apply nothing.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    command = ["git", "apply", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stderr.strip() if done.returncode else ""


def _digest() -> str:
    found = hashlib.sha256(sys.version.encode())
    paths = [path for path in (ROOT / "src").rglob("*") if path.suffix in SOURCES]
    for path in [ROOT / "setup.py", *sorted(paths)]:
        found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]
