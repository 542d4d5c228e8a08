"""Rows 52 and 53: what must not depend on asserts, forks or signals."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import duplexer

SOURCE = Path(duplexer.__file__).parent


def run(source: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(source)],
        env={**os.environ, "PYTHONPATH": str(SOURCE.parent)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


def test_no_assert_does_anything():
    """They are for readers and type checkers: without them everything is the same."""
    allowed = {"isinstance", "issubclass", "all", "any", "len", "callable", "type"}
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        if "assert " not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Assert):
                continue
            for part in ast.walk(node.test):
                assert not isinstance(part, (ast.NamedExpr, ast.Await, ast.Yield))
                if isinstance(part, ast.Call):
                    name = getattr(part.func, "id", getattr(part.func, "attr", ""))
                    assert name in allowed, f"{path.name}:{node.lineno}: {ast.unparse(node)}"


def test_without_asserts_the_rules_are_the_same():
    out = run(
        """
        import asyncio
        from duplexer import ConnectionClosed, connect, serve

        async def echo(ws):
            async for message in ws:
                await ws.send(message)

        async def main():
            async with serve(echo, "127.0.0.1", 0, max_size=10) as server:
                port = server.sockets[0].getsockname()[1]
                async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as ws:
                    await ws.send("x")
                    print(await ws.recv())
                    await ws.send("x" * 11)
                    try:
                        await ws.recv()
                    except ConnectionClosed as exc:
                        print(exc.rcvd.code)

        asyncio.run(main())
        """,
        "-O",
    )
    assert out.split() == ["x", "1009"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_has_masks_of_its_own():
    out = run(
        """
        import os, sys
        from duplexer.core import bytesops

        bytesops.random32()  # there is a pool now, which the child inherits
        if child := os.fork():
            os.waitpid(child, 0)
        print(*(bytesops.random32() for _ in range(50)), flush=True)
        """
    )
    child, parent = (set(line.split()) for line in out.splitlines())
    assert len(child) == len(parent) == 50 and len(child & parent) < 2
