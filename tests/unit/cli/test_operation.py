"""Options for production, what they make of the bounds, and what an operator is told.

Servers run in tests/integration/test_cli_operation.py.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from duplexer.cli import operation as module
from duplexer.cli.listen import Listen, listen_options
from duplexer.cli.operation import (
    Operation,
    limits_for,
    open_to_others,
    operation_options,
    warnings_for,
)
from duplexer.cli.outcome import Failure


def parsed(*arguments: str) -> tuple[Listen, Operation]:
    found: list[tuple[Listen, Operation]] = []

    @click.command()
    @listen_options
    @operation_options
    def command(listen: Listen, operation: Operation) -> None:
        found.append((listen, operation))

    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    return found[0]


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('host = "0.0.0.0"\nworkers = 4\nno-health = true\n[limits]\nmax_message = 7\n')
    listen, operation = parsed("--config", str(path), "--workers", "2")
    assert (listen.host, operation.workers, operation.limit) == ("0.0.0.0", 2, ("max_message=7",))
    assert not operation.health


@pytest.mark.parametrize(
    ("arguments", "host", "public"),
    [
        ((), "127.0.0.1", False),
        (("--host", "localhost"), "0.0.0.0", True),  # a socket of systemd's is what counts
        (("--trusted-proxy", "127.0.0.1"), "127.0.0.1", True),
        (("--proxy-protocol", "127.0.0.1"), "127.0.0.1", True),
        (("--trusted-proxy", "unix"), None, True),
        ((), None, False),
    ],
)
def test_who_can_reach_it_and_what_is_bounded_then(
    arguments: tuple[str, ...], host: str | None, public: bool
) -> None:
    listen, operation = parsed(*arguments)
    with bound(host) as sock:
        assert open_to_others([sock]) == [host] * (host == "0.0.0.0")
        limits = limits_for(listen, operation, [sock], 100_064)
        no_more = limits_for(
            listen, dataclasses.replace(operation, limit=("max_connections=none",)), [sock], 1000
        )
    assert limits.max_connections == 100_000 - (limits.max_opening or 0)
    assert no_more.max_connections is None
    assert (limits.handshake_rate is not None) is public
    assert (limits.max_per_address is not None) is public
    if public:  # no address can take all places of those who open
        assert 4 * limits.max_opening_per_address <= limits.max_opening
    assert limits.handler_timeout == 10


def bound(host: str | None) -> socket.socket:
    """To an address, or of a Unix socket."""
    sock = socket.socket(socket.AF_UNIX if host is None else socket.AF_INET)
    if host is not None:
        sock.bind((host, 0))
    return sock


def test_warnings() -> None:
    def told(*arguments: str) -> list[str]:
        listen, operation = parsed(*arguments)
        with bound("0.0.0.0" if "--host" in arguments else "127.0.0.1") as sock:
            limits = limits_for(listen, operation, [sock])
            return list(warnings_for(listen, operation, limits, [sock]))

    assert told() == []
    (no_tls,) = told("--host", "0.0.0.0")
    assert "no TLS on 0.0.0.0" in no_tls
    (origin,) = told("--any-origin")
    assert "--any-origin" in origin
    (limit,) = told("--limit", "max_message=none")
    assert "max_message=none" in limit
    (for_ever,) = told("--limit", "ping_timeout=none", "--limit", "failure_rate=none")
    assert "ping_timeout=none" in for_ever
    assert len(told("--host", "0.0.0.0", "--reload")) == 2
    _, strangers = told("--host", "0.0.0.0", "--limit", "failure_rate=none")
    assert "failure_rate=none: one address" in strangers


def test_a_port_that_is_taken_and_a_system_without_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen, operation = parsed("--port", str(taken.getsockname()[1]), "--workers", "2")
        with pytest.raises(Failure, match="already in use"):
            module.operate(listen, operation, lambda: (print, {}))  # type: ignore[arg-type,return-value]
    monkeypatch.delattr("os.fork")
    listen, operation = parsed("--port", "0", "--workers", "2")
    with pytest.raises(Failure, match="does not fork"):
        module.operate(listen, operation, lambda: (print, {}))  # type: ignore[arg-type,return-value]


def test_proxies_that_are_believed(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('trusted-proxy = ["10.0.0.0/8", "unix"]\nbelieve = ["for", "host"]\n')
    listen, operation = parsed("--config", str(path), "--proxy-protocol", "192.0.2.1")
    site = module._Site(parsed("--port", "0")[0], operation, lambda: (print, {}))  # type: ignore[arg-type,return-value]
    try:
        serving = site.make(None).serving
    finally:
        for sock in site.places[0]:
            sock.close()
    assert serving.trusted is not None and serving.introducers is not None
    assert serving.trusted.believes == {"for", "host"}
    for peer, trusted, introduces in (
        (("10.1.2.3", 1), True, False),
        (("192.0.2.1", 1), False, True),
    ):
        assert (peer in serving.trusted.networks) is trusted
        assert (peer in serving.introducers) is introduces
    for option in ("--trusted-proxy", "--proxy-protocol"):
        listen, operation = parsed("--port", "0", option, "proxy.example")
        with pytest.raises(Failure, match=r"proxy\.example") as caught:
            module.operate(listen, operation, lambda: (print, {}))  # type: ignore[arg-type,return-value]
        assert option in str(caught.value.cure)


def test_what_operators_read_of_a_server_on_standard_error() -> None:
    def read(level: int, **extra: object) -> bool:
        record = logging.LogRecord("duplexer.server", level, "", 0, "", (), None)
        record.__dict__.update(extra)
        return module._is_for_operators(record)

    assert read(logging.INFO, status=403)  # a refusal
    assert read(logging.ERROR)
    assert not read(logging.INFO)
