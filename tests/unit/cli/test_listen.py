"""Where and how a server listens, from the command line. Its running is tested as a process."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from pathlib import Path
from typing import Any

import click
import pytest
import trustme
from click.testing import CliRunner

from duplexer.cli import listen as module
from duplexer.cli.listen import Listen, listen_options
from duplexer.cli.outcome import Failure


def parsed(*arguments: str) -> Listen:
    """What the options make of ``arguments``."""
    found: list[Listen] = []

    @click.command()
    @listen_options
    def command(listen: Listen) -> None:
        found.append(listen)

    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return found[0]


def test_defaults_are_for_this_machine_only() -> None:
    listen = parsed()
    assert (listen.host, listen.port, listen.scheme) == ("127.0.0.1", 8765, "ws")
    assert (listen.unix, listen.uvloop, listen.tls()) == (None, None, None)


def test_tls(tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("localhost")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    listen = parsed("--certfile", str(chain), "--keyfile", str(key))
    assert listen.scheme == "wss"
    assert isinstance(listen.tls(), ssl.SSLContext)
    with pytest.raises(Failure, match="key in it"):
        parsed("--certfile", str(chain)).tls()
    with pytest.raises(Failure, match="without --certfile"):
        parsed("--keyfile", str(key)).tls()


class FakeSocket:
    def __init__(self, *name: Any) -> None:
        self.getsockname = lambda: name


def test_addresses() -> None:
    server: Any = type("Server", (), {})()
    server.sockets = (FakeSocket("127.0.0.1", 80), FakeSocket("::1", 80, 0, 0))
    listen = parsed()
    assert list(module._addresses(listen, server)) == ["ws://127.0.0.1:80", "ws://[::1]:80"]
    unix = dataclasses.replace(listen, unix="/run/x")
    assert list(module._addresses(unix, server)) == ["ws+unix:///run/x"]


async def test_a_unix_socket_that_cannot_be_is_named(tmp_path: Path) -> None:
    async def handler(_ws: Any) -> None:
        """Never called."""

    path = str(tmp_path / "no" / "socket")
    with pytest.raises(Failure, match="cannot listen on"):
        await module._start(parsed("--unix", path), handler)
    assert len(asyncio.all_tasks()) == 1
