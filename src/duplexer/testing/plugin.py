"""The pytest plugin: fixtures, and an end for tests that hang. Loaded where duplexer is installed.

The only module here that imports pytest; what it needs of the others it imports when it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duplexer.testing.links import Link

#: With one of these fixtures a test has a guard, unless it says otherwise.
FIXTURES = frozenset({"ws_relay", "ws_scripted", "ws_server"})

#: Seconds for each of set-up, test and tear-down then.
SECONDS = 30.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of the configuration."""
    parser.addini(
        "duplexer_timeout",
        "seconds after which a test that hangs is ended, with a report of who waits for what; "
        "0 for never; by default 30 for tests with fixtures of duplexer, and never for others",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The mark; and a wrong configuration is told at once."""
    config.addinivalue_line(
        "markers",
        "duplexer_timeout(seconds): end this test when it hangs, saying who waits for what; "
        "0 for never",
    )
    _seconds_from(config.getini("duplexer_timeout") or 0, "duplexer_timeout in the configuration")


def _seconds_from(given: Any, where: str) -> float:
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        raise pytest.UsageError(f"{where} must be a number of seconds, not {given!r}") from None
    if seconds < 0:
        raise pytest.UsageError(f"{where} must not be negative: {given!r}")
    return seconds


def seconds_for(item: pytest.Item) -> float:
    """How long each phase of ``item`` may take; 0 for as long as it likes."""
    marker = item.get_closest_marker("duplexer_timeout")
    if marker is not None:
        given = marker.args or (marker.kwargs.get("seconds"),)
        return _seconds_from(given[0], f"{item.nodeid}: duplexer_timeout")
    configured = item.config.getini("duplexer_timeout")
    if configured != "":
        return _seconds_from(configured, "duplexer_timeout in the configuration")
    return SECONDS if FIXTURES.intersection(getattr(item, "fixturenames", ())) else 0.0


def _guarded(item: pytest.Item, phase: str) -> Iterator[Any]:
    seconds = seconds_for(item)
    if not seconds:
        return (yield)
    from duplexer.testing.hangs import Hang, guard

    try:
        with guard(seconds, f"{phase} of {item.nodeid}"):
            return (yield)
    except Hang as exc:
        pytest.fail(str(exc), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[Any]:
    """See :func:`seconds_for`."""
    return (yield from _guarded(item, "the set-up"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[Any]:
    """See :func:`seconds_for`."""
    return (yield from _guarded(item, "the call"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[Any]:
    """See :func:`seconds_for`."""
    return (yield from _guarded(item, "the tear-down"))


# -- fixtures ------------------------------------------------------------------------------------


@pytest.fixture
def ws_server() -> Iterator[Callable[..., str]]:
    """Serves a handler for the test, and gives back its URI.

    ``uri = ws_server(handler, ...)`` takes the arguments of ``duplexer.serve``. It listens on a
    free port of the loopback, in a thread with an event loop of its own, so that tests of any kind
    can connect. An error in a handler fails the test.
    """
    from duplexer.testing.serving import Servers

    with Servers() as servers:
        yield servers.serve


@pytest.fixture
def ws_scripted() -> Iterator[Callable[..., Any]]:
    """Starts a scripted server for the test.

    ``server = ws_scripted([expect("hello"), send("world")])``: the arguments are those of
    :class:`~duplexer.testing.scripted.ScriptedServer`; clients connect to ``server.uri``. The test
    fails for what went otherwise than the script says.
    """
    from contextlib import ExitStack

    from duplexer.testing.scripted import ScriptedServer

    with ExitStack() as stack:
        yield lambda *scripts, **kwargs: stack.enter_context(ScriptedServer(*scripts, **kwargs))


@pytest.fixture
def ws_relay() -> Iterator[Callable[..., Any]]:
    """Puts a bad network before a server.

    ``relay = ws_relay(uri, split=1, delay=0.1)``: the arguments are those of
    :class:`~duplexer.testing.links.Link`; clients connect to ``relay.uri``, and ``relay.link`` has
    ``stall()``, ``drop()``, ``reset()`` and the like.
    """
    from contextlib import ExitStack

    from duplexer.testing.links import Link
    from duplexer.testing.relay import Relay

    with ExitStack() as stack:

        def relay(uri: str, link: Link | None = None, **faults: Any) -> Relay:
            return stack.enter_context(Relay(uri, link or Link(**faults)))

        yield relay
