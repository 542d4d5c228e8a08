"""Which address to try next (RFC 8305)."""

from __future__ import annotations

import errno
import socket

import pytest

from duplexer.driver.eyeballs import Candidate, Race, candidates, interleaved, literal

SIX, FOUR = socket.AF_INET6, socket.AF_INET
STREAM = socket.SOCK_STREAM


def six(n: int) -> Candidate:
    return Candidate(SIX, STREAM, 6, (f"2001:db8::{n}", 443, 0, 0))


def four(n: int) -> Candidate:
    return Candidate(FOUR, STREAM, 6, (f"192.0.2.{n}", 443))


def test_families_take_turns() -> None:
    found = [six(1), six(2), six(3), four(1), four(2)]
    assert interleaved(found) == [six(1), four(1), six(2), four(2), six(3)]
    assert interleaved(found, 2) == [six(1), six(2), four(1), six(3), four(2)]
    assert interleaved([four(1), six(1), four(2)]) == [four(1), six(1), four(2)]
    assert interleaved([]) == []


def test_addresses_need_no_resolver() -> None:
    assert literal("192.0.2.1", 443) == [four(1)]
    assert literal("2001:db8::1", 443) == [six(1)]
    assert literal("192.0.2.1", 443, SIX) is None
    for name in ("example.com", "fe80::1%eth0", "1.2.3", "", "ex\u00e4mple"):
        assert literal(name, 443) is None


def test_local_addresses_are_of_the_same_family() -> None:
    infos = [(one.family, one.type, one.proto, "", one.address) for one in (six(1), four(1))]
    assert candidates(infos) == [six(1), four(1)]
    local = [(FOUR, STREAM, 6, "", ("192.0.2.9", 0)), (FOUR, STREAM, 6, "", ("192.0.2.8", 0))]
    assert candidates(infos, local) == [four(1)._replace(local=("192.0.2.9", 0))]
    with pytest.raises(OSError, match="family"):
        candidates(infos[:1], local)
    with pytest.raises(OSError, match="no address"):
        candidates([])


def test_the_next_one_starts_after_the_delay() -> None:
    race = Race([six(1), four(1)], 0.25)
    assert race.start(10.0) == six(1)
    assert race.start(10.0) is None
    assert race.wait(10.0) == 0.25
    assert race.start(10.2) is None
    assert race.start(10.25) == four(1)
    assert race.wait(10.25) is None
    assert not race.is_lost


def test_a_failure_starts_the_next_one_at_once() -> None:
    race = Race([six(1), four(1)], 0.25)
    race.start(0)
    race.failed(six(1), OSError(errno.ENETUNREACH, "Network is unreachable"))
    assert race.wait(0.01) == 0
    assert race.start(0.01) == four(1)
    race.failed(four(1), ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
    assert race.is_lost


def test_without_a_delay_only_failures_move_it_on() -> None:
    race = Race([six(1), four(1)], None)
    race.start(0)
    assert race.wait(100) is None and race.start(100) is None
    race.failed(six(1), OSError("no"))
    assert race.start(100) == four(1)


def test_the_error_names_each_address() -> None:
    race = Race([six(1), four(1)], 0.25)
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    unreachable = OSError(errno.ENETUNREACH, "Network is unreachable")
    race.failed(six(1), unreachable)
    race.failed(four(1), refused)
    error = race.error()
    assert type(error) is OSError
    assert str(error) == (
        "failed to connect to [2001:db8::1]:443: Network is unreachable; "
        "192.0.2.1:443: Connection refused"
    )
    assert isinstance(error.__cause__, ExceptionGroup)
    assert error.__cause__.exceptions == (unreachable, refused)
    group = race.error(all_errors=True)
    assert isinstance(group, ExceptionGroup) and group.exceptions == (unreachable, refused)


def test_the_error_is_of_the_class_of_all_failures() -> None:
    race = Race([four(1), four(2)], 0.25)
    for one in (four(1), four(2)):
        race.failed(one, ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
    assert isinstance(race.error(), ConnectionRefusedError)
    unix = Candidate(1, STREAM, 0, "/run/x")
    assert str(unix) == "/run/x"
