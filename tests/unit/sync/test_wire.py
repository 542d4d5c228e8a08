"""A socket whose reads end in time, and whose writes never wait."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
import trustme

from duplexer.sync import wire as module
from duplexer.sync.wire import Wire, wait
from tests.unit.driver.test_tls import Server, client, shake


@pytest.fixture(params=[True, False], ids=["flags", "select"])
def wires(request: Any, pair: Any, monkeypatch: Any) -> tuple[Wire, socket.socket]:
    """Both ways: with the kernel's own time limits, and as on Windows."""
    if not request.param:
        monkeypatch.setattr(module, "HAS_FLAGS", False)
        monkeypatch.setattr(module, "DONTWAIT", 0)
    return Wire(pair[0]), pair[1]


def read(wire: Wire, timeout: float) -> int:
    wire.read(timeout)
    return wire.taken()


def test_reading(wires: Any) -> None:
    wire, peer = wires
    assert read(wire, 0) == -1
    started = time.monotonic()
    assert read(wire, 0.05) == -1
    assert time.monotonic() - started >= 0.04
    peer.sendall(b"hello")
    assert read(wire, 10) == 5
    assert wire.opened(5) == b"hello"
    peer.sendall(b"more")
    wait(wire.sock, read=True, write=False, timeout=40)
    assert read(wire, 0) == 4
    peer.close()
    assert read(wire, 10) == 0


@pytest.mark.parametrize("timeout", [1e-9, 1e-6, 0.9999995, 1.0, 9.9999991, 9.99999999, 86400.0])
def test_the_kernel_takes_every_time_limit(pair: Any, timeout: float) -> None:
    wire = Wire(pair[0])
    pair[1].sendall(b"x")
    assert read(wire, timeout) == 1


def test_what_the_kernel_does_not_take_is_pending(wires: Any) -> None:
    wire, peer = wires
    sent = b""
    for data in (b"a" * 3_000_000, [b"b" * 3_000_000, b"c" * 100], b"d" * 3_000_000):
        wire.put(data)
        sent += data if isinstance(data, bytes) else b"".join(data)
    assert wire.total == len(sent)
    assert 0 < wire.pending < len(sent)
    assert not wire.torn
    received = b""
    while len(received) < len(sent):
        received += peer.recv(1 << 20)
        wire.flush()
    assert received == sent
    assert not wire.pending


def test_what_nobody_takes_is_discarded(wires: Any) -> None:
    wire, _peer = wires
    while not wire.pending:
        wire.put(b"x" * 1_000_000)
    wire.discard()
    assert not wire.pending
    assert wire.flush() == 0
    wire.shutdown(socket.SHUT_RDWR)
    with pytest.raises(OSError):
        wire.put(b"x")
    wire.shutdown(socket.SHUT_RDWR)  # once more does no harm


def test_a_write_that_is_interrupted_leaves_a_mark(pair: Any) -> None:
    class Interrupted:
        family = socket.AF_INET

        def __getattr__(self, name: str) -> Any:
            return lambda *args: None

        def send(self, *args: Any) -> int:
            raise KeyboardInterrupt

    wire = Wire(Interrupted())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        wire.put(b"x")
    assert wire.torn


def test_waiting_until_it_can_be_written(wires: Any) -> None:
    wire, peer = wires
    assert wait(wire.sock, read=True, write=True, timeout=40)
    while not wire.pending:
        wire.put(b"x" * 1_000_000)
    assert not wait(wire.sock, read=False, write=True, timeout=0.01)
    peer.sendall(b"x")
    assert not wait(wire.sock, read=True, write=True, timeout=40)  # it was the reading


def test_tls_in_tls_whose_records_come_in_halves(pair: Any) -> None:
    authority = trustme.CA()
    wire, peer = Wire(pair[0]), pair[1]
    servers = [Server(authority, ["http/1.1"]) for _ in range(2)]
    for server in servers:
        layer = client(authority)
        shake(layer, server)
        wire.add(layer)
    outer, inner = servers
    inner.tls.write(b"x" * 1000)
    outer.tls.write(inner.outgoing.read())
    data = outer.outgoing.read()
    peer.sendall(data[:100])
    assert wire.opened(read(wire, 10.0)) == b""
    peer.sendall(data[100:])
    assert wire.opened(read(wire, 10.0)) == b"x" * 1000
    assert not wire.at_end
    wire.sock.close()
