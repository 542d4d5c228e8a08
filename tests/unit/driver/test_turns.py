"""Turns at an address, whoever wants them."""

from __future__ import annotations

import asyncio
import os
import select
import threading

import pytest

from duplexer.driver.turns import TURNS, Bell, Turns, is_counted

PLACE = ("192.0.2.1", 443)


def test_one_at_a_time_in_order() -> None:
    turns = Turns()
    woken: list[str] = []
    first = turns.enter(PLACE, 1, lambda: woken.append("first"))
    second = turns.enter(PLACE, 1, lambda: woken.append("second"))
    third = turns.enter(PLACE, 1, lambda: woken.append("third"))
    assert (first.granted, second.granted, third.granted) == (True, False, False)
    assert woken == []  # who has it at once need not be woken
    first.leave()
    assert (second.granted, third.granted, woken) == (True, False, ["second"])
    first.leave()  # once more does nothing
    assert not third.granted
    second.leave()
    assert third.granted
    third.leave()
    assert turns.enter(PLACE, 1).granted


def test_other_places_do_not_matter() -> None:
    turns = Turns()
    held = [turns.enter(place, 1) for place in (PLACE, ("192.0.2.1", 80), ("192.0.2.2", 443))]
    assert all(turn.granted for turn in held)


def test_more_at_a_time() -> None:
    turns = Turns()
    held = [turns.enter(PLACE, 2) for _ in range(3)]
    assert [turn.granted for turn in held] == [True, True, False]
    held[0].leave()
    assert held[2].granted


def test_who_leaves_the_line_is_not_waited_for() -> None:
    turns = Turns()
    first, second, third = (turns.enter(PLACE, 1) for _ in range(3))
    second.leave()
    first.leave()
    assert third.granted and not second.granted


def test_a_loop_that_is_closed_is_passed_over() -> None:
    turns = Turns()
    first = turns.enter(PLACE, 1)
    loop = asyncio.new_event_loop()
    loop.close()
    gone = turns.enter(PLACE, 1, lambda: loop.call_soon_threadsafe(print))
    third = turns.enter(PLACE, 1)
    first.leave()
    assert third.granted
    gone.leave()
    third.leave()
    assert turns.enter(PLACE, 1).granted


def test_threads() -> None:
    turns = Turns()
    inside = 0
    most = 0
    done = []

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            ready = threading.Event()
            turn = turns.enter(PLACE, 1, ready.set)
            if not turn.granted:
                assert ready.wait(30)
            inside += 1
            most = max(most, inside)
            inside -= 1
            turn.leave()
        done.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), most) == (4, 1)


def test_forgotten_in_a_child() -> None:
    turns = Turns()
    held = turns.enter(PLACE, 1)
    waiting = turns.enter(PLACE, 1)
    turns.forget()
    mine = turns.enter(PLACE, 1)
    assert mine.granted
    held.leave()  # whoever cleans up in the child gives back what is not the child's
    waiting.leave()
    assert not waiting.granted
    second = turns.enter(PLACE, 1)
    assert not second.granted
    mine.leave()
    assert second.granted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_has_no_turns_of_its_parent() -> None:
    turn = TURNS.enter(PLACE, 1)
    pid = os.fork()
    if not pid:
        failed = True
        try:
            mine = TURNS.enter(PLACE, 1)
            turn.leave()
            failed = not mine.granted or TURNS.enter(PLACE, 1).granted
        finally:
            os._exit(failed)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    second = TURNS.enter(PLACE, 1)
    assert not second.granted
    second.leave()
    turn.leave()


def test_who_is_counted() -> None:
    assert is_counted(("192.0.2.1", 80)) and is_counted(("2001:db8::1", 80, 0, 0))
    assert is_counted(("example.com", 443))
    for address in (("127.0.0.1", 80), ("127.1.2.3", 80), ("::1", 80, 0, 0), "/run/socket"):
        assert not is_counted(address)


def test_a_turn_may_be_given_back_in_the_midst_of_another_call() -> None:
    turns = Turns()
    other = turns.enter(("192.0.2.2", 443), 1)
    first = turns.enter(PLACE, 1)
    second = turns.enter(PLACE, 1, other.leave)  # as a collection of garbage would

    thread = threading.Thread(target=first.leave, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert second.granted
    assert turns.enter(other.place.key, 1).granted


def test_a_bell_wakes_who_waits_for_sockets() -> None:
    bell = Bell()
    assert select.select([bell.ear], [], [], 0)[0] == []
    ringing = threading.Thread(target=bell.ring, daemon=True)
    ringing.start()
    assert select.select([bell.ear], [], [], 30)[0] == [bell.ear]
    ringing.join(30)
    for _ in range(100_000):  # nobody who rings has to wait
        bell.ring()
    while select.select([bell.ear], [], [], 0)[0]:
        bell.hush()
    bell.hush()
    bell.close()
    bell.ring()  # nobody listens
