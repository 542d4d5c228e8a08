"""Counting instructions: the worker under callgrind, and what its dumps say."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.build import C, compiled
from benchmarks.measure import ROOT
from benchmarks.micro.pieces import PIECES
from benchmarks.micro.worker import HEAPS
from benchmarks.peers import versions

HERE = Path(__file__).parent
_NAME = re.compile(r"^desc: Trigger: Client Request: (\S+) (\d+) (\d+)$", re.MULTILINE)
_TOTAL = re.compile(r"^(?:totals|summary): (\d+)$", re.MULTILINE)


class CountingError(Exception):
    """There is no valgrind, or it failed."""


@dataclass(frozen=True)
class Counts:
    facts: dict[str, str]
    """What the counts depend on, beside our sources."""
    instructions: dict[str, float]
    """Of one call of each piece: the median of several heaps."""


def count(names: Sequence[str]) -> Counts:
    """Run the pieces under callgrind."""
    if shutil.which("valgrind") is None:
        raise CountingError("there is no valgrind")
    library = compiled(HERE / "requests.c", *C, "-shared", "-fPIC")
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"]
        command += [f"--callgrind-out-file={folder}/dump", sys.executable]
        command += ["-m", "benchmarks.micro.worker", str(library), *names]
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CountingError(done.stderr.strip().rpartition("\n")[2])
        totals = {}
        for path in Path(folder).glob("dump*"):
            text = path.read_text()
            if found := _NAME.search(text):
                totals[found[1], int(found[2]), int(found[3])] = int(_TOTAL.findall(text)[-1])
    instructions = {}
    for name in names:
        calls = PIECES[name].calls
        more = [totals[name, heap, 2 * calls] - totals[name, heap, calls] for heap in range(HEAPS)]
        instructions[name] = round(statistics.median(more) / calls, 1)
    return Counts(_facts() | json.loads(done.stdout), instructions)


def _facts() -> dict[str, str]:
    from duplexer.core import session

    # Compilers sign what they make: that is the compiler of this very build.
    binary = Path(str(session.__file__)).read_bytes()
    compiler = re.search(rb"(?:GCC: \(|clang version )[^\0]*", binary)
    cython = re.search(rb"_cython_(\d+)_(\d+)_(\d+)", binary)
    valgrind = subprocess.check_output(["valgrind", "--version"], text=True)
    return {
        "machine": platform.machine(),
        "Python": f"{platform.python_version()}, {platform.python_compiler()}",
        "compiler": compiler[0].decode() if compiler else "unknown",
        "Cython": b".".join(cython.groups()).decode() if cython else "none",
        "libc": " ".join(platform.libc_ver()),
        "valgrind": valgrind.strip().removeprefix("valgrind-"),
        **versions("isal"),
    }
