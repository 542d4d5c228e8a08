"""Steps carried out on a socket."""

from __future__ import annotations

import ssl
import time
from math import inf
from typing import Any

import pytest

from duplexer.driver.steps import Call, Overdue, Read, Write
from duplexer.driver.tls import TlsLayer
from duplexer.limits import Limits
from duplexer.sync.exchange import Exchange
from duplexer.sync.wire import Wire
from tests.unit.sync.conftest import Background


def exchange(sock: Any, seconds: float = inf, **limits: Any) -> Exchange:
    return Exchange(Wire(sock), Limits(**limits), time.monotonic() + seconds)


def test_steps_and_what_they_give_back(pair: Any) -> None:
    def steps() -> Any:
        yield Write(b"question")
        answer = yield Read()
        number = yield Call(len, (answer,))
        try:
            yield Call(int, ("no number",))
        except ValueError:
            return number, (yield Read())
        raise AssertionError("it was not thrown in")

    ours, peer = pair
    peer.sendall(b"answer")
    running = Background(exchange(ours).run, steps())
    assert peer.recv(100) == b"question"
    peer.close()
    assert running.outcome() == (6, b"")


def test_an_async_function_is_none_for_here(pair: Any) -> None:
    async def hook() -> None:
        raise AssertionError("it was called")

    def steps() -> Any:
        yield Call(hook, ())

    with pytest.raises(TypeError, match="must not be async"):
        exchange(pair[0]).run(steps())


def test_no_more_is_read_than_asked_for(pair: Any) -> None:
    def steps() -> Any:
        return [(yield Read(size=3)), (yield Read(size=10)), (yield Read())]

    ours, peer = pair
    peer.sendall(b"onetwo")
    running = Background(exchange(ours).run, steps())
    peer.close()
    assert running.outcome() == [b"one", b"two", b""]


def test_a_read_of_some_bytes_ends_in_time(pair: Any) -> None:
    def steps() -> Any:
        yield Read(size=3)

    with pytest.raises(TimeoutError):
        exchange(pair[0], 0.05).run(steps())
    assert pair[0].getblocking()  # as its wire wants it


@pytest.mark.parametrize(("patience", "timeout"), [(0.05, None), (inf, 0.05)])
def test_reads_end_in_time(pair: Any, patience: float, timeout: float | None) -> None:
    def steps() -> Any:
        yield Read(timeout)

    with pytest.raises(TimeoutError):
        exchange(pair[0], patience).run(steps())


@pytest.mark.parametrize(("patience", "timeout"), [(0.1, None), (inf, 0.1)])
def test_writes_end_in_time(pair: Any, patience: float, timeout: float | None) -> None:
    def steps() -> Any:
        yield Write(b"x" * 20_000_000)

    with pytest.raises(TimeoutError, match="does not read"):
        exchange(pair[0], patience, send_timeout=timeout).run(steps())


def test_tls_and_what_comes_with_its_end(pair: Any, contexts: Any) -> None:
    def ask() -> Any:
        yield Write(b"early")
        return (yield Read())

    def answer() -> Any:
        data = yield Read()
        yield Write(data.upper())

    server, client = (exchange(sock, 10) for sock in pair)
    shaking = Background(server.secure, TlsLayer(contexts[0], None))
    client.secure(TlsLayer(contexts[1], "localhost"))
    asking = Background(client.run, ask())
    shaking.outcome()
    server.run(answer())
    assert asking.outcome() == b"EARLY"
    lingering = Background(server.linger)
    client.linger()
    lingering.outcome()


def test_tls_with_somebody_who_is_not_trusted(pair: Any, contexts: Any) -> None:
    server, client = (exchange(sock, 10) for sock in pair)
    shaking = Background(server.secure, TlsLayer(contexts[0], None))
    with pytest.raises(ssl.SSLCertVerificationError):
        client.secure(TlsLayer(ssl.create_default_context(), "localhost"))
    with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):  # it has been told why
        shaking.outcome()


def test_a_call_that_ends_too_late_was_in_vain(pair: Any) -> None:
    """A thread cannot be ended from outside: what it came to does not count."""
    ours, peer = pair
    peer.sendall(b"x")
    running = exchange(ours)
    assert running.do(Read(3600.0)) == b"x"
    call = Call(len, ("abc",), in_time=True)
    assert running.do(call) == 3
    running._clock.until = time.monotonic() - 1
    with pytest.raises(Overdue):
        running.do(call)
    assert running.do(Call(len, ("abc",))) == 3  # this one may take longer
