"""The code in Markdown pages: found, and run.

How a page is written:

* A ``python`` block with ``asyncio.run(``, ``trio.run(``, ``duplexer.sync`` or
  ``duplexer.workers`` is a program of its own. One with ``serve_forever``, ``uvicorn.Server(`` or
  ``duplexer.workers`` is a server: it runs until the next server of the page, or the end.
  ``# name.py`` in its first line is the file that it is saved to.
* Any other ``python`` block is a fragment: it may ``await``, and shares its names with the other
  fragments of the page. It is saved too if it begins with a name.
* ``<!-- setup`` ... ``-->`` is a fragment that readers do not see.
* ``<!-- run -->`` before a ``sh`` block runs it; ``<!-- output -->`` before a ``text`` block
  compares it with what was last printed (``...`` stands for anything).
* Port 8765 is replaced by a free one.

Other languages (``text``, ``console``, ``nginx`` ...) are not run.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import dataclasses
import doctest
import inspect
import io
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

import duplexer

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        *(page for page in (ROOT / "docs").rglob("*.md") if "_generated" not in page.parts),
    ]
)
SHOWN_PORT = "8765"
TIMEOUT = 20.0

_FENCE = re.compile(r"^( *)(`{3,})\s*(\{?[\w-]*\}?)(.*)$")
_MARK = re.compile(r"^<!-- (\w+) -->$")


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """A piece of code: what it is written in, the ``mark`` before it, and where it begins."""

    language: str
    text: str
    mark: str
    line: int

    @property
    def is_program(self) -> bool:
        signs = ("asyncio.run(", "trio.run(", "duplexer.sync", "duplexer.workers")
        runs = any(each in self.text for each in signs)
        return self.language == "python" and runs

    @property
    def is_server(self) -> bool:
        serves = any(
            each in self.text for each in ("serve_forever", "uvicorn.Server(", "duplexer.workers")
        )
        return self.is_program and serves

    @property
    def is_run(self) -> bool:
        return self.language == "python" or bool(self.mark)


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of ``page`` in order, hidden ones included."""
    lines = page.read_text(encoding="utf-8").splitlines()
    mark, number = "", 0
    while number < len(lines):
        line = lines[number]
        found = _FENCE.match(line)
        if found:
            end = _find(lines, number + 1, found[1] + found[2])
            text = "\n".join(each.removeprefix(found[1]) for each in lines[number + 1 : end])
            yield Block(found[3], text + "\n", mark, number + 2)
            mark, number = "", end
        elif line == "<!-- setup":
            end = _find(lines, number + 1, "-->")
            yield Block("python", "\n".join(lines[number + 1 : end]) + "\n", "setup", number + 2)
            number = end
        elif line.strip():
            marked = _MARK.match(line)
            mark = marked[1] if marked else ""
        number += 1


def _find(lines: list[str], start: int, wanted: str) -> int:
    for number in range(start, len(lines)):
        if lines[number].rstrip() == wanted:
            return number
    raise ValueError(f"line {start}: {wanted} is missing")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def environment(folder: Path | None = None) -> dict[str, str]:
    """For subprocesses: the same package, no proxies, and ``duplexer`` as a command."""
    env = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    source = str(Path(duplexer.__file__).parents[1])
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [source, env.get("PYTHONPATH")]))
    env["PYTHONUNBUFFERED"] = "1"
    if folder is not None:
        commands = folder / "bin"
        commands.mkdir(exist_ok=True)
        for name, option in (("duplexer", " -m duplexer"), ("python", "")):
            command = commands / name
            command.write_text(f'#!/bin/sh\nexec "{sys.executable}"{option} "$@"\n')
            command.chmod(0o755)
        env["PATH"] = f"{commands}{os.pathsep}{env['PATH']}"
    return env


async def wait_for_port(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until ``process`` listens at ``port``; fails if it ends first."""
    # Not by connecting: a server with TLS would complain of a handshake that never came.
    async with asyncio.timeout(TIMEOUT):
        while process.returncode is None:
            with contextlib.suppress(psutil.Error):
                listening = psutil.Process(process.pid).net_connections("tcp")
                if any(each.laddr.port == port for each in listening):
                    return
            await asyncio.sleep(0.02)
    _, errors = await process.communicate()
    raise AssertionError(f"the server ended with {process.returncode}:\n{errors.decode()}")


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a server with Ctrl-C: it must go at once, and without a complaint."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(TIMEOUT):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        _, errors = await process.communicate()
        raise AssertionError(f"Ctrl-C does not end the server:\n{errors.decode()}") from None
    text = errors.decode()
    assert process.returncode in (0, 130, -signal.SIGINT), text
    complaints = text.replace("KeyboardInterrupt\n", "")
    if "KeyboardInterrupt" not in text:
        assert "Traceback" not in complaints, text


class Reader:
    """Reads a page as its readers are meant to: top down, trying everything out in ``folder``."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.port = free_port()
        self.env = environment(folder)
        self.stack = contextlib.AsyncExitStack()
        self.names: dict[str, Any] = {
            "__name__": "page",
            "stack": self.stack,  # for setups: what has to be left at the end of the page
            "folder": folder,
        }
        self.printed = ""
        self.server: asyncio.subprocess.Process | None = None

    async def read(self) -> None:
        try:
            for block in blocks(self.page):
                await self.try_out(block)
        finally:
            await self.stack.aclose()
            await self.end_server()

    async def try_out(self, block: Block) -> None:
        text = block.text.replace(SHOWN_PORT, str(self.port))
        if block.mark == "output":
            self.compare(block, text)
        elif block.is_program:
            await self.run_program(block, text)
        elif block.language == "python":
            await self.run_fragment(block, text)
        elif block.mark == "run":
            await self.run("bash", "-euc", text)

    def compare(self, block: Block, wanted: str) -> None:
        checker = doctest.OutputChecker()
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        where = f"{self.page.name}, line {block.line}"
        assert checker.check_output(wanted, self.printed, flags), (
            f"{where} shows\n{wanted}\nand what was printed is\n{self.printed}"
        )

    async def run_fragment(self, block: Block, text: str) -> None:
        padded = "\n" * (block.line - 1) + text  # so that tracebacks have the page's lines
        named = re.match(r"# ([\w-]+\.py)\n", text)
        if named:
            (self.folder / named[1]).write_text(text, encoding="utf-8")
        code = compile(padded, str(self.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            async with asyncio.timeout(TIMEOUT):
                result = eval(code, self.names)
                if inspect.isawaitable(result):
                    await result
        if block.mark != "setup":
            self.printed = printed.getvalue()

    async def run_program(self, block: Block, text: str) -> None:
        named = re.match(r"# ([\w-]+\.py)\n", text)
        path = self.folder / (named[1] if named else f"line_{block.line}.py")
        path.write_text(text, encoding="utf-8")
        if not block.is_server:
            await self.run(sys.executable, str(path))
            return
        await self.end_server()
        self.server = await asyncio.create_subprocess_exec(
            sys.executable,
            str(path),
            cwd=self.folder,
            env=self.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        await wait_for_port(self.port, self.server)

    async def run(self, *command: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(TIMEOUT):
                output, errors = await process.communicate()
        except TimeoutError:
            process.kill()
            output, errors = await process.communicate()
            raise AssertionError(f"{command} does not end:\n{errors.decode()}") from None
        assert process.returncode == 0, f"{command}:\n{output.decode()}\n{errors.decode()}"
        assert b"Traceback" not in errors, errors.decode()
        self.printed = output.decode()

    async def end_server(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            await stop(server)
