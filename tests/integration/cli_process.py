"""Runs the command as a process: with pipes, or on a pseudo-terminal. Waits for words, not time."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE = 20.0  #: seconds until a wait has failed
COMMAND = (sys.executable, "-m", "duplexer")
#: What programs write to move the cursor, set colours and titles.
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>()][A-Z0-9]?)")

WHERE_IS_THE_CURSOR = "\x1b[6n"  #: a question that terminals answer


def environment(**more: str) -> dict[str, str]:
    """The environment of a process under test: no colours by chance, no history of the user's."""
    inherited = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}
    return {**inherited, "TERM": "xterm-256color", **more}


def run(
    *arguments: str, stdin: str | bytes = "", **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, with ``stdin`` in a pipe; ``options`` as of a process."""
    options["env"] = environment(**options.pop("env", {}))
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [*COMMAND, *arguments],
        input=data,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


class Process:
    """The command with its standard streams in pipes."""

    def __init__(self, *arguments: str, **options: Any) -> None:
        options["env"] = environment(**options.pop("env", {}))
        self.popen = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )
        self.output = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read standard output until ``pattern`` is in it."""
        assert self.popen.stdout is not None
        return self._read_until(self.popen.stdout.fileno(), pattern)

    def _read_until(self, descriptor: int, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self.seen())
            if found is not None:
                return found
            left = deadline - time.monotonic()
            readable = select.select([descriptor], [], [], max(left, 0))[0]
            assert readable, f"no {pattern!r} in {self.seen()!r}"
            ended = not self._read(descriptor)
            assert not ended, f"it ended without {pattern!r}: {self.seen()!r} {self._errors()}"

    def _read(self, descriptor: int) -> bool:
        """Read once; whether there was something."""
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:  # Linux: the other end of a pseudo-terminal is closed
            return False
        self.output += chunk.decode(errors="replace")
        return bool(chunk)

    def seen(self) -> str:
        """What was read so far, as a person sees it."""
        return ESCAPES.sub("", self.output)

    def _errors(self) -> str:
        return self.popen.stderr.read().decode() if self.popen.stderr else ""

    def write(self, text: str | bytes) -> None:
        """Write to standard input."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(text.encode() if isinstance(text, str) else text)
        self.popen.stdin.flush()

    def end(self) -> int:
        """Wait for the end; the exit status."""
        return self.popen.wait(PATIENCE)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal and wait: exit status, all of the output, the errors."""
        self.popen.send_signal(number)
        return self.finish()

    def finish(self) -> tuple[int, str, str]:
        """Close standard input and wait: exit status, all of the output, the errors."""
        out, err = self.popen.communicate(timeout=PATIENCE)
        return self.popen.returncode, self.output + out.decode(), err.decode()

    def close(self) -> None:
        """Make sure that nothing is left behind."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class Terminal(Process):
    """The command on a pseudo-terminal of 100 columns, as for a person."""

    def __init__(self, *arguments: str, **more: str) -> None:
        self.descriptor, inner = pty.openpty()
        termios.tcsetwinsize(inner, (40, 100))
        self.output = ""
        env = environment(**more)
        self.popen = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=env,
            start_new_session=True,
        )
        os.close(inner)

    def _read(self, descriptor: int) -> bool:
        before = self.output.count(WHERE_IS_THE_CURSOR)
        more = super()._read(descriptor)
        for _ in range(self.output.count(WHERE_IS_THE_CURSOR) - before):
            self.write("\x1b[1;1R")
        return more

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read the screen until ``pattern`` was written to it."""
        return self._read_until(self.descriptor, pattern)

    def write(self, text: str | bytes) -> None:
        """Type."""
        os.write(self.descriptor, text.encode() if isinstance(text, str) else text)

    def end(self) -> int:
        """Read the screen to the end, so that the process is not stuck writing; the exit status."""
        while select.select([self.descriptor], [], [], PATIENCE)[0]:
            if not self._read(self.descriptor):
                break
        return super().end()

    def close(self) -> None:
        super().close()
        os.close(self.descriptor)


@contextlib.contextmanager
def process(*arguments: str, **options: Any) -> Iterator[Process]:
    """A process that is gone at the end."""
    running = Process(*arguments, **options)
    try:
        yield running
    finally:
        running.close()


@contextlib.contextmanager
def terminal(*arguments: str, **env: str) -> Iterator[Terminal]:
    """A process on a pseudo-terminal that is gone at the end."""
    running = Terminal(*arguments, **env)
    try:
        yield running
    finally:
        running.close()


@contextlib.contextmanager
def server(*arguments: str, **options: Any) -> Iterator[tuple[Process, str]]:
    """A server of ours on a free port, and the address that it says it listens on."""
    with process(*arguments, "--port", "0", **options) as running:
        yield running, running.wait_for(r"listening on (\S+)\n")[1]


def write_module(folder: Path, name: str, text: str) -> None:
    """Put a module of a user's into ``folder``."""
    (folder / f"{name}.py").write_text(text)
