"""The supervisor, in a process of its own, with workers that do what a test wants."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from duplexer.workers.supervisor import exit_status

PATIENCE = 30.0

PROGRAM = """
import os, signal, socket, sys, time
from duplexer.limits import Limits
from duplexer.workers.supervisor import Supervisor

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def listen(place, channel, patience=lambda word: True):
    channel.send(b"R")
    while True:
        word, fds, _, _ = socket.recv_fds(channel, 1, 1)
        if word == b"B":
            say("link", place)
            continue
        say("told", place, word.decode() or "end")
        if patience(word):
            return 0

def reload():
    say("reload")

{work}

supervisor = Supervisor(work, {places}, Limits(worker_backoff=0.01, **{limits}),
    patience={patience}, on_ready=lambda: say("all ready"), on_reload=lambda: reload())
status = supervisor.run()
say("left with", status)
sys.exit(status)
"""


class Running:
    def __init__(self, popen: Any) -> None:
        self.popen = popen
        self.seen = ""

    def wait_for(self, pattern: str, times: int = 1) -> list[Any]:
        """Read until ``pattern`` has come so many times; what it found."""
        deadline = time.monotonic() + PATIENCE
        while len(found := re.findall(pattern, self.seen)) < times:
            line = self.popen.stdout.readline()
            assert line, f"ended without {pattern}: {self.seen} {self.popen.stderr.read()}"
            assert time.monotonic() < deadline, self.seen
            self.seen += line
        return found

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def end(self) -> tuple[int, str]:
        out, err = self.popen.communicate(timeout=PATIENCE)
        self.seen += out
        return self.popen.returncode, err

    def stop(self) -> tuple[int, str]:
        self.signal(signal.SIGTERM)
        return self.end()


@contextmanager
def supervisor(
    work: str, places: int = 2, patience: float | None = 20, **limits: float
) -> Iterator[Running]:
    text = PROGRAM.format(
        work=textwrap.dedent(work), places=places, patience=patience, limits=limits
    )
    popen = subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Running(popen)
    finally:
        if popen.poll() is None:
            popen.kill()
            popen.wait()
        for stream in (popen.stdout, popen.stderr):
            if stream is not None:
                stream.close()


OBEDIENT = """
def work(place, channel, number):
    say("worker", place, os.getpid())
    say("number", number)
    return listen(place, channel)
"""


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "D"), (signal.SIGINT, "S")])
def test_workers_are_told_to_leave(number: signal.Signals, word: str) -> None:
    with supervisor(OBEDIENT) as running:
        running.wait_for("all ready")
        running.wait_for("link")
        running.signal(number)
        assert running.end() == (0, "")
        assert sorted(re.findall(r"told (\d) (\w+)", running.seen)) == [("0", word), ("1", word)]


def test_a_worker_that_is_killed_is_replaced() -> None:
    with supervisor(OBEDIENT) as running:
        running.wait_for("all ready")
        for count in (3, 4, 5):
            place, pid = running.wait_for(r"worker (\d) (\d+)", count - 1)[-1]
            os.kill(int(pid), signal.SIGKILL)
            assert running.wait_for(r"worker (\d) (\d+)", count)[-1][0] == place
            # Its number is free again, and there is no other one.
            assert sorted(running.wait_for(r"number (\d)", 2)[:2]) == ["0", "1"]
            assert set(running.wait_for(r"number (\d)", count)) == {"0", "1"}
        status, errors = running.stop()
        assert status == 0
        assert errors.count("was killed by SIGKILL: it is replaced") == 3


def test_they_are_replaced_one_place_after_the_other() -> None:
    with supervisor(OBEDIENT) as running:
        running.wait_for("all ready")
        running.signal(signal.SIGHUP)
        running.wait_for(r"worker \d \d+", 4)
        running.wait_for(r"told \d H", 2)
        assert re.findall(r"worker (\d)", running.seen)[2:] == ["0", "1"]
        numbers = running.wait_for(r"number (\d)", 4)
        assert numbers[2] == "2"  # while 0 and 1 are still there
        assert numbers[3] in {"0", "3"}
        # Who is told to leave has a successor by then. (Of what two processes say at about the
        # same time, nobody knows which is read first.)
        said = re.findall(r"(worker|told) (\d)", running.seen)
        for place in "01":
            both = [i for i, each in enumerate(said) if each == ("worker", place)]
            assert said.index(("told", place)) > both[1]
            assert said.count(("told", place)) == 1
        assert running.stop() == (0, "")


def test_new_workers_that_do_not_start_leave_the_old_ones(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    work = f"""
    def work(place, channel, number):
        if os.path.exists({str(broken)!r}):
            return 3
        return listen(place, channel)
    """
    with supervisor(work) as running:
        running.wait_for("all ready")
        broken.touch()
        running.signal(signal.SIGHUP)
        assert "status 3 before it served: the old ones go on" in running.popen.stderr.readline()
        assert "told" not in running.seen
        broken.unlink()
        running.signal(signal.SIGHUP)
        running.wait_for(r"told \d H", 2)
        assert running.stop() == (0, "")


def test_a_worker_that_is_killed_while_it_is_replaced(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    work = f"""
    def work(place, channel, number):
        say("worker", place, os.getpid())
        while os.path.exists({str(slow)!r}):
            time.sleep(0.01)
        return listen(place, channel)
    """
    with supervisor(work) as running:
        running.wait_for("all ready")
        slow.touch()
        running.signal(signal.SIGHUP)
        workers = dict(running.wait_for(r"worker (\d) (\d+)", 3)[:2])
        os.kill(int(workers["0"]), signal.SIGKILL)
        assert "its successor is starting already" in running.popen.stderr.readline()
        slow.unlink()
        running.wait_for("told 1 H")
        running.signal(signal.SIGHUP)  # which is not deaf from then on
        running.wait_for(r"told \d H", 3)
        assert running.stop() == (0, "")
        assert re.findall(r"worker (\d)", running.seen)[2:] == ["0", "1", "0", "1"]
        assert sorted(re.findall(r"told (\d) D", running.seen)) == ["0", "1"]


HANGING = """
def work(place, channel, number):
    say("worker", place)
    while os.path.exists({hang!r}):
        say("hangs")
        time.sleep(3600)
    return listen(place, channel)

def reload():
    supervisor._limits = supervisor._limits.replace(worker_start_timeout={timeout})
"""


def test_new_code_that_hangs_is_replaced_by_newer(tmp_path: Path) -> None:
    hang = tmp_path / "hang"
    with supervisor(HANGING.format(hang=str(hang), timeout=None)) as running:
        running.wait_for("all ready")
        hang.touch()
        running.signal(signal.SIGHUP)
        running.wait_for("hangs")
        hang.unlink()
        running.signal(signal.SIGHUP)
        running.wait_for(r"told \d H", 2)
        assert running.stop() == (0, "")
        assert re.findall(r"worker (\d)", running.seen)[2:] == ["0", "0", "1"]


def test_new_code_that_hangs_is_killed(tmp_path: Path) -> None:
    hang = tmp_path / "hang"
    with supervisor(HANGING.format(hang=str(hang), timeout=0.05)) as running:
        running.wait_for("all ready")
        hang.touch()
        running.signal(signal.SIGHUP)
        assert "and is killed (Limits.worker_start_timeout)" in running.popen.stderr.readline()
        assert "killed by SIGKILL before it served: the old" in running.popen.stderr.readline()
        assert running.stop() == (0, "")
        assert sorted(re.findall(r"told (\d) (\w)", running.seen)) == [("0", "D"), ("1", "D")]


def test_who_hangs_need_not_be_waited_for(tmp_path: Path) -> None:
    hang = tmp_path / "hang"
    hang.touch()
    with supervisor(HANGING.format(hang=str(hang), timeout=None), patience=None) as running:
        running.wait_for("worker")
        assert running.stop() == (0, "")


SHORT = """
import resource

def work(place, channel, number):
    say("worker", place, os.getpid())
    return listen(place, channel)

short = False

def reload():
    # The next SIGHUP takes all descriptors away, the one after gives them back.
    global short
    short = not short
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3 if short else min(most, 1024), most))
"""


def test_when_no_worker_can_be_started_the_others_go_on() -> None:
    with supervisor(SHORT) as running:
        running.wait_for("all ready")
        running.signal(signal.SIGHUP)
        assert "no new worker, the old ones go on" in running.popen.stderr.readline()
        place, pid = running.wait_for(r"worker (\d) (\d+)", 2)[0]
        os.kill(int(pid), signal.SIGKILL)
        assert "was killed by SIGKILL: it is replaced" in running.popen.stderr.readline()
        for _ in range(3):
            assert "no worker can be started, next try in" in running.popen.stderr.readline()
        assert "told" not in running.seen
        running.signal(signal.SIGHUP)
        running.wait_for(rf"worker {place}", 2)
        running.wait_for(r"told \d H", 1)
        assert running.stop()[0] == 0


def test_if_the_first_cannot_start_none_is_tried() -> None:
    work = """
    def work(place, channel, number):
        say("tried", place)
        return 3
    """
    with supervisor(work) as running:
        assert running.end() == (3, "")
        assert running.seen == "tried 0\nleft with 3\n"


def test_a_second_signal_ends_it_at_once() -> None:
    work = """
    def work(place, channel, number):
        return listen(place, channel, patience=lambda word: False)
    """
    with supervisor(work, patience=None) as running:
        running.wait_for("all ready")
        running.signal(signal.SIGTERM)
        running.wait_for(r"told \d D", 2)
        running.signal(signal.SIGTERM)
        assert running.end()[0] == 128 + signal.SIGTERM


def test_workers_that_do_not_leave_are_killed() -> None:
    work = """
    def work(place, channel, number):
        return listen(place, channel, patience=lambda word: False)
    """
    with supervisor(work, patience=0.1, worker_stop_timeout=0.1) as running:
        running.wait_for("all ready")
        status, errors = running.stop()
        assert status == 1
        assert "are killed (Limits.worker_stop_timeout)" in errors


def test_workers_hear_that_their_supervisor_was_killed() -> None:
    with supervisor(OBEDIENT) as running:
        running.wait_for("all ready")
        running.signal(signal.SIGKILL)
        running.wait_for(r"told \d end", 2)


def test_a_worker_that_raises_is_one_that_ended() -> None:
    work = """
    def work(place, channel, number):
        raise RuntimeError("a mistake")
    """
    with supervisor(work, places=1) as running:
        status, errors = running.end()
        assert status == 70
        assert "RuntimeError: a mistake" in errors


def test_statuses_in_words() -> None:
    assert exit_status(3 << 8) == "ended with status 3"
    assert exit_status(signal.SIGSEGV) == "was killed by SIGSEGV"
    assert exit_status(63) == "was killed by signal 63"
