from __future__ import annotations

import contextlib

import pytest

from duplexer.driver.observing import Observer, Observers, observer_from


class Writing(Observer):
    def __init__(self, name, book):
        self.name = name
        self.book = book

    def note(self, *what):
        self.book.append((self.name, *what))

    def serves(self, guard):
        self.note("serves", guard)

    def opened(self, connection):
        self.note("opened", connection)

    def refused(self, connection, request, status):
        self.note("refused", connection, request, status)

    def answered(self, connection, request, status):
        self.note("answered", connection, request, status)

    def ended(self, connection):
        self.note("ended", connection)

    def pong(self, connection, latency):
        self.note("pong", connection, latency)

    def sent_late(self, connection, seconds):
        self.note("sent_late", connection, seconds)

    @contextlib.contextmanager
    def handling(self, connection, message):
        self.note("begins", connection, message)
        yield
        self.note("ends")

    def lagged(self, seconds):
        self.note("lagged", seconds)


CALLS = [
    ("serves", 1),
    ("opened", 1),
    ("refused", 1, 2, 400),
    ("answered", 1, 2, 200),
    ("ended", 1),
    ("pong", 1, 0.5),
    ("sent_late", 1, 0.5),
    ("lagged", 0.5),
]


@pytest.mark.parametrize("call", CALLS)
def test_several_hear_the_same(call):
    book = []
    observers = observer_from([Writing("a", book), Writing("b", book)])
    name, *args = call
    getattr(observers, name)(*args)
    assert book == [("a", *call), ("b", *call)]
    assert getattr(Observer(), name)(*args) is None


def test_several_surround_the_handling_of_a_message():
    book = []
    observers = Observers([Writing("a", book), Writing("b", book)])
    with observers.handling(1, "m"):
        book.append("handled")
    assert book == [
        ("a", "begins", 1, "m"),
        ("b", "begins", 1, "m"),
        "handled",
        ("b", "ends"),
        ("a", "ends"),
    ]
    with Observer().handling(1, "m"):
        pass


class Broken(Observer):
    def __getattribute__(self, name):
        if name in dir(Observer) and not name.startswith("_"):
            raise OSError(28, "No space left on device")
        return super().__getattribute__(name)


@pytest.mark.parametrize("call", CALLS)
def test_what_one_raises_harms_nobody_and_is_told_once(call, caplog):
    book = []
    observers = observer_from([Broken(), Writing("b", book)])
    name, *args = call
    for _ in range(3):
        getattr(observers, name)(*args)
    assert book == [("b", *call)] * 3
    (record,) = caplog.records
    assert record.getMessage() == f"Broken.{name}() failed, which is not reported again"
    assert "No space left" in caplog.text


@pytest.mark.parametrize("fails", ["at first", "at last"])
def test_what_one_raises_around_a_message_is_not_the_handlers(fails, caplog):
    class Unsteady(Observer):
        @contextlib.contextmanager
        def handling(self, connection, message):
            if fails == "at first":
                raise RuntimeError("at first")
            with contextlib.suppress(KeyError):  # nor may it swallow what the handler raises
                yield
            raise RuntimeError("at last")

    book = []
    observers = observer_from([Writing("a", book), Unsteady()])
    with observers.handling(1, "m"):
        book.append("handled")
    assert book == [("a", "begins", 1, "m"), "handled", ("a", "ends")]
    with pytest.raises(KeyError), observers.handling(1, "m"):
        raise KeyError
    (record,) = caplog.records
    assert "Unsteady.handling() failed" in record.getMessage()


def test_one_several_or_none():
    one = Observer()
    contained = observer_from(one)
    assert isinstance(contained, Observers)
    assert observer_from(contained) is contained
    assert observer_from(None) is observer_from([]) is observer_from(()) is None
    with pytest.raises(TypeError, match="not the class Observer"):
        observer_from(Observer)
    with pytest.raises(TypeError, match="observer must be an Observer, not int"):
        observer_from([one, 5])
    with pytest.raises(TypeError, match="or a list of them, not str"):
        observer_from("metrics")
