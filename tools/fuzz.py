"""Runs the targets of fuzz/: each by itself, for a time, starting from its seeds.

A target is a file `fuzz/NAME.py` with a function `target(data: bytes) -> None` that returns when
the bytes were accepted or refused with a documented error, and raises for anything else. Seeds are
the files of `fuzz/seeds/NAME/`. What makes a target raise is written to `fuzz/findings/NAME/`;
once it is mended it becomes a seed, and tests/package/test_fuzz.py runs it ever after.

Half of the time the compiled code is run on mutations of the seeds: not clever, but many. The other
half, atheris breeds inputs for coverage of the interpreted code; where it is not installed (or with
--blind) the first kind has all of the time.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "fuzz"
Target = Callable[[bytes], None]
#: Numbers at which lengths, masks, opcodes and UTF-8 change their meaning.
EDGES = [0, 1, 0x0A, 0x0D, 0x20, 0x3A, 0x7D, 0x7E, 0x7F, 0x80, 0x81, 0x88, 0xBF, 0xC0, 0xED, 0xFF]
LARGEST = 1 << 14


def target_names() -> list[str]:
    """Names of all targets."""
    return sorted(path.stem for path in FUZZ.glob("*.py") if not path.name.startswith("_"))


def load_target(name: str) -> Target:
    """The function of a target; importing it imports what it tests."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FUZZ / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(FUZZ))  # for what targets share
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FUZZ))
    target: Target = module.target
    return target


def seeds(name: str) -> list[bytes]:
    """The seeds of a target, an empty input before all."""
    folder = FUZZ / "seeds" / name
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [b"", *(path.read_bytes() for path in files)]


def mutate(rng: random.Random, corpus: list[bytes]) -> bytes:
    """A descendant of one or two inputs, a few small changes away."""
    data = bytearray(rng.choice(corpus))
    for _ in range(1 << rng.randrange(5)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at % len(data)] = rng.choice(EDGES)
            case 2:
                data[at:at] = rng.choices(EDGES, k=rng.randrange(1, 9))
            case 3:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 4:
                del data[at : at + rng.randrange(1, 9)]
            case 5:
                other = rng.choice(corpus)
                cut = rng.randrange(len(other) + 1)
                data[at:] = other[cut:]
            case 6:
                data[at:at] = data[at : at + rng.randrange(1, 65)]
    return bytes(data[:LARGEST])


def run_blind(name: str, seconds: float, seed: int) -> int:
    """Mutations of the seeds, for ``seconds``; 1 if one made the target raise."""
    target = load_target(name)
    corpus = seeds(name)
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    count = 0
    data = b""
    try:
        for data in corpus:
            target(data)
        while time.monotonic() < end:
            for _ in range(100):
                data = mutate(rng, corpus)
                target(data)
            count += 100
    except Exception:
        traceback.print_exc()
        folder = FUZZ / "findings" / name
        folder.mkdir(parents=True, exist_ok=True)
        found = folder / hashlib.sha256(data).hexdigest()[:16]
        found.write_bytes(data)
        print(f"{name}: after {count} inputs (--seed {seed}): {found.relative_to(ROOT)}")
        return 1
    print(f"{name}: {count} inputs, nothing found (--seed {seed})")
    return 0


def run_atheris(name: str, seconds: float, seed: int) -> None:
    """The same, bred for coverage; does not return."""
    import atheris

    with atheris.instrument_imports(include=["duplexer"]):
        target = load_target(name)
    found = FUZZ / "findings" / name
    corpus = ROOT / "build/fuzz" / name
    for folder in (found, corpus):
        folder.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={max(1, int(seconds))}",
        f"-seed={seed}",
        f"-max_len={LARGEST}",
        f"-artifact_prefix={found}/",
        "-verbosity=0",
        "-print_final_stats=1",
        str(corpus),
    ]
    folder = FUZZ / "seeds" / name
    atheris.Setup([sys.argv[0], *options, *([str(folder)] if folder.is_dir() else [])], target)
    atheris.Fuzz()


def run_alone(name: str, seconds: float, seed: int, blind: bool) -> int:
    """One target in a process of its own, so that a crash ends no other; shows what it printed."""
    command = [sys.executable, __file__, "--alone", "--seconds", str(seconds), name]
    command += ["--seed", str(seed)] + ["--blind"] * blind
    environment = os.environ | {"DUPLEXER_PURE": "" if blind else "1"}
    result = subprocess.run(
        command,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    title = f"-- {name}, {'blind' if blind else 'atheris'}, {seconds:g} s"
    lines = result.stdout.splitlines()
    # What went well is told in its last lines.
    shown = lines if result.returncode else lines[-2:]
    print("\n".join([title, *shown]), flush=True)
    return result.returncode


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="targets (all)")
    parser.add_argument("--seconds", type=float, default=60, help="for each target (60)")
    parser.add_argument("--seed", type=int, default=random.randrange(1, 1 << 32), help="(random)")
    parser.add_argument("--blind", action="store_true", help="mutations of the seeds only")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = arguments.names or target_names()
    if arguments.alone:
        if not arguments.blind:
            run_atheris(names[0], arguments.seconds, arguments.seed)
        return run_blind(names[0], arguments.seconds, arguments.seed)
    if not names:
        print("there are no targets in fuzz/")
        return 1
    kinds = [True]
    if not arguments.blind and importlib.util.find_spec("atheris"):
        kinds.append(False)
    share = arguments.seconds / len(kinds)
    runs = [(name, share, arguments.seed, blind) for name in names for blind in kinds]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = list(pool.map(lambda run: run_alone(*run), runs))
    failed = sorted({run[0] for run, code in zip(runs, codes, strict=True) if code})
    for name in failed:
        print(f"FAILED: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
