"""Programs written for the package ``websockets`` do the same when only their imports change.

Those in ``moving/`` go the ways of its documentation: its quick start, patterns, broadcast, router,
reconnection, proxies, authentication. Each runs twice, with either package, and prints the same.
The examples of its README are read where it is installed.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

import duplexer

PROGRAMS = sorted((Path(__file__).parent / "moving").glob("*.py"))
#: What docs/howto/websockets.md says to write instead; the rest keeps its name.
OTHER_NAMES = {
    "exceptions": "errors",
    "http11": "",
    "datastructures": "",
    "frames": "",
    "protocol": "",
}
SOURCES = str(Path(duplexer.__file__).parents[1])


def moved(program: str) -> str:
    """The program with other imports."""

    def change(match: re.Match[str]) -> str:
        module = match[2]
        renamed = OTHER_NAMES.get(module, module)
        return f"{match[1]}duplexer{'.' * bool(renamed)}{renamed} import"

    changed = re.sub(r"^(from )websockets\.([\w.]+) import", change, program, flags=re.MULTILINE)
    assert changed != program
    assert "websockets" not in changed
    return changed


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("localhost", 0))
        port: int = sock.getsockname()[1]
        return port


def environment(port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_proxy")}
    return {**kept, "PORT": str(port), "PYTHONPATH": SOURCES, "PYTHONUNBUFFERED": "1"}


def printed(program: str, port: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(port),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program_does_the_same(path: Path) -> None:
    program = path.read_text()
    there, here = (printed(text, free_port()) for text in (program, moved(program)))
    assert there
    assert here == there


def test_examples_of_its_readme() -> None:
    readme = metadata("websockets").json["description"]
    assert isinstance(readme, str)
    blocks = re.findall(r"^\.\. code:: python\n\n((?:    .*\n|\n)+)", readme, flags=re.MULTILINE)
    server, client = (re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks[:2])
    port = free_port()
    running = subprocess.Popen(
        [sys.executable, "-c", moved(server).replace("8765", str(port))], env=environment(port)
    )
    try:
        while True:
            try:
                socket.create_connection(("localhost", port)).close()
            except ConnectionRefusedError:
                assert running.poll() is None
            else:
                break
        here = printed(moved(client).replace("8765", str(port)), port)
        assert (
            here == printed(client.replace("8765", str(port)), port) == "Received: Hello world!\n"
        )
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(20)
