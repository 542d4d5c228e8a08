"""Compiling the load and the floor, when they are first needed."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BUILT = HERE / ".build"


class BuildError(Exception):
    """There is no compiler, or it refused."""


@dataclass(frozen=True)
class Binaries:
    load: Path
    floor: Path
    deflate: bool
    """Whether the load can speak permessage-deflate: zlib.h was found."""


def build() -> Binaries:
    """Compile what has changed, and say where it is."""
    floor = _compile(HERE / "echo" / "floor.c")
    try:
        load = _compile(HERE / "load.c", "-DWITH_ZLIB", "-lz")
    except BuildError:
        return Binaries(_compile(HERE / "load.c"), floor, deflate=False)
    return Binaries(load, floor, deflate=True)


def _compile(source: Path, *options: str) -> Path:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [*compiler, "-std=c11", "-O2", "-Wall", "-Wextra", str(source), *options]
    inputs = [" ".join(command).encode()]
    inputs += [path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h")))]
    digest = hashlib.sha256(b"\0".join(inputs)).hexdigest()[:16]
    binary = BUILT / f"{source.stem}-{digest}"
    if binary.exists():
        return binary
    BUILT.mkdir(exist_ok=True)
    unfinished = binary.with_suffix(f".{os.getpid()}")  # two may compile at the same time
    try:
        result = subprocess.run(
            [*command, "-o", str(unfinished)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise BuildError(f"no C compiler: {compiler[0]} (set CC)") from error
    if result.returncode:
        raise BuildError(result.stderr.strip())
    unfinished.replace(binary)
    return binary
