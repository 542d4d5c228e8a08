"""The lock of a connection, in both builds."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from duplexer import ConcurrencyError
from duplexer._pure import is_compiled
from duplexer.sync import mutex as module
from duplexer.sync.mutex import Mutex
from tests.unit.sync.conftest import Background, until


def test_one_thread_at_a_time() -> None:
    mutex, counts, within = Mutex(), [0], [0]

    def work() -> None:
        for _ in range(2000):
            with mutex:
                within[0] += 1
                assert within[0] == 1
                counts[0] += 1
                within[0] -= 1

    for each in [Background(work) for _ in range(4)]:
        each.outcome()
    assert counts == [8000]
    assert not mutex._is_owned()


def test_its_owner_gets_an_error_and_does_not_wait_for_itself() -> None:
    mutex = Mutex()
    with mutex:
        assert mutex._is_owned()
        with pytest.raises(ConcurrencyError, match="signal handler"), mutex:
            pass
        assert mutex._is_owned()
        assert not Background(mutex._is_owned).outcome()
    with pytest.raises(RuntimeError):
        mutex.release()


def test_it_is_released_by_an_error() -> None:
    mutex = Mutex()
    with pytest.raises(ZeroDivisionError), mutex:
        raise ZeroDivisionError
    assert not mutex._is_owned()


def test_taking_it_back() -> None:
    mutex = Mutex()
    with mutex:
        mutex.release()
        mutex.regain()
        assert mutex._is_owned()
        mutex.regain()  # once more does no harm
    assert not mutex._is_owned()
    mutex.acquire()
    mutex.release()


def test_a_condition_waits_with_it() -> None:
    mutex = Mutex()
    changed = threading.Condition(mutex)
    said: list[str] = []

    def listen() -> bool:
        with mutex:
            return changed.wait_for(lambda: said, 20) and mutex._is_owned()

    listening = Background(listen)
    until(lambda: changed._waiters)  # type: ignore[attr-defined]
    with mutex:
        said.append("word")
        changed.notify_all()
    assert listening.outcome()


def test_ctrl_c_in_the_middle_of_entering_leaves_it_free() -> None:
    mutex, moments = Mutex(), 0

    def interrupt(frame: Any, event: str, arg: object) -> None:
        nonlocal moments
        if frame.f_code.co_filename == module.__file__ and event in ("call", "c_return"):
            moments += 1
            if moments == when:
                raise KeyboardInterrupt

    when = 0
    while moments >= when:
        when, moments = when + 1, 0
        sys.setprofile(interrupt)
        try:
            with mutex:
                pass
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        assert not mutex._is_owned()
    assert when > 3 or is_compiled()  # compiled, nothing comes between
