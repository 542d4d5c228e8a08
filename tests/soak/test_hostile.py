"""Thousands of connections of one process, a tenth of them misbehaving on purpose.

Two minutes of one thousand, among other tests; ``SOAK_HOSTILE=1800`` in the environment makes it
half an hour of five thousand, alone. Quiet phases and noisy ones take turns, so that what the
machine does besides is in both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.soak.script import PATIENCE
from tests.soak.test_soak import SEED, start

#: By itself, and on purpose: then it is judged how soon the honest are answered, too.
ALONE = "SOAK_HOSTILE" in os.environ
SECONDS = float(os.environ.get("SOAK_HOSTILE", "120"))
ROUNDS = max(2, int(SECONDS / 50))
#: Of each round; whoever is sent away for saying nothing takes ten seconds.
QUIET, NOISY = (SECONDS / ROUNDS / 4 * part for part in (1, 3))
HONEST, HOSTILE = (4500, 500) if ALONE else (900, 100)
#: Where an echo takes less than this, twice as long is nobody's harm.
UNFELT = 0.002

KINDS = {"drip", "flood", "deaf", "lie", "explode", "vanish"}


def say(process: subprocess.Popen[str], line: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def ask(process: subprocess.Popen[str], line: str = "") -> Any:
    say(process, line)
    return hear(process)


def wait(process: subprocess.Popen[str], seconds: float) -> None:
    """For ``seconds``, in which ``process`` does not end."""
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)


def settled(victim: subprocess.Popen[str]) -> Any:
    """How the server is once the guests that were not welcome have left."""
    for _ in range(int(PATIENCE)):
        state = ask(victim)
        if state["connections"] == HONEST and not state["opening"]:
            return state
        wait(victim, 1)
    pytest.fail(f"somebody stays: {state}")


@pytest.mark.timeout(SECONDS + 10 * PATIENCE)
def test_a_tenth_that_misbehaves_harms_nobody_else() -> None:
    victim = start("victim")
    running = [victim]
    phases: dict[str, list[Any]] = {"quiet": [], "noisy": []}
    sent_away, states = [], []
    try:
        port = hear(victim)
        honest, hostile = start("honest", HONEST, port), start("hostile", HOSTILE, port, SEED)
        running += [honest, hostile]
        assert hear(honest) == {"open": HONEST}
        empty = settled(victim)
        for _ in range(ROUNDS):
            ask(honest)
            wait(victim, QUIET)
            phases["quiet"].append(ask(honest))
            say(hostile, "go")
            wait(victim, NOISY)
            phases["noisy"].append(ask(honest))
            sent_away.append(ask(hostile, "stop"))
            states.append(settled(victim))
        for process in (hostile, honest):
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(PATIENCE) == 0
        left = ask(victim)
        assert victim.stdin is not None
        victim.stdin.close()
        assert victim.wait(PATIENCE) == 0
    finally:
        for process in running:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()
    told = {"phases": phases, "sent away": sent_away, "empty": empty, "states": states}
    sys.stdout.write(json.dumps(told) + "\n")  # to be read with `pytest -s`
    for phase in phases["quiet"] + phases["noisy"]:
        assert phase["wrong"] == 0 and phase["lost"] == [], told
        assert phase["echoes"] > 0, told
    # It was as bad as it was meant to be, and whoever was bad was sent away.
    assert set().union(*sent_away) == KINDS, told
    # The least of each: what the machine does besides comes and goes.
    quiet, noisy = (min(phase["p99"] for phase in phases[name]) for name in ("quiet", "noisy"))
    if ALONE:
        assert noisy <= 2 * max(quiet, UNFELT), told
    # What was there after the first round is there after the last one, and no more.
    first, last = states[0], states[-1]
    assert last["descriptors"] == empty["descriptors"], told
    assert last["tasks"] == empty["tasks"], told
    assert last["resident"] <= 1.05 * first["resident"], told
    assert left["connections"] == left["opening"] == 0, told
    assert left["descriptors"] == empty["descriptors"] - HONEST, told
