"""What every front must do: one suite, written against ``front``, run over all of them.

``front`` has ``serve`` and ``connect`` under the names that every front gives them, and the few
things that a test needs beside them: tasks, time, threads. A further front is a file in
``fronts/`` and a line in ``FRONTS``; the tests do not change. Tests that are about asyncio itself
have the names ``test_asyncio_*`` and import it.

After every test nothing may be left: no task, no socket, no open connection, no error in a
callback.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import os
import ssl
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.fronts.asyncio_front import AsyncioFront
from tests.contract.fronts.base import Front
from tests.contract.fronts.sync_front import SyncFront
from tests.contract.fronts.trio_front import TrioFront

# -- certificates --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


# -- fronts --------------------------------------------------------------------------------------


FRONTS: dict[str, Callable[[], Front]] = {
    "asyncio": functools.partial(AsyncioFront, "asyncio"),
    "uvloop": functools.partial(AsyncioFront, "uvloop"),
    "sync": SyncFront,
    "trio": TrioFront,
}
WIRES = ("plain", "tls")


def _fronts(metafunc: pytest.Metafunc) -> list[str]:
    # Tests that are about one front have its name: test_asyncio_tasks.py, test_sync_threads.py.
    about = metafunc.definition.path.name.split("_")[1]
    if about == "asyncio":
        return ["asyncio", "uvloop"]
    if about in FRONTS:
        return [about]
    cancels = metafunc.definition.get_closest_marker("cancels")
    return [name for name in FRONTS if not (cancels and name == "sync")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "front" in metafunc.fixturenames:
        wires = ("plain",) if metafunc.definition.get_closest_marker("plain_only") else WIRES
        rows = [
            pytest.param((name, wire), id=f"{name}-{wire}")
            for name in _fronts(metafunc)
            for wire in wires
        ]
        metafunc.parametrize("front", rows, indirect=True)


@pytest.fixture
def front(
    request: pytest.FixtureRequest,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> Iterator[Any]:
    name, wire = request.param
    front = FRONTS[name]()
    if wire == "tls":
        front.server_context = server_context
        front.client_context = client_context
    before = _sockets()
    yield front
    left = _sockets() - before
    assert not left, f"sockets were left open: {left}"


def _sockets() -> set[str]:
    fds = Path("/proc/self/fd")
    if not fds.exists():
        return set()
    found = set()
    for fd in fds.iterdir():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(fd.stat().st_mode):
                found.add(str(fd.readlink()))
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    front = pyfuncitem.funcargs.get("front")
    if front is None or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    front.run(pyfuncitem.obj, arguments)
    return True


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "plain_only: has nothing to do with TLS")
    config.addinivalue_line("markers", "cancels: what blocks a thread cannot be cancelled")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def unlogged(request: pytest.FixtureRequest) -> Iterator[list[logging.LogRecord]]:
    """Errors that were logged; a test that expects some takes them out of the list."""
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Keep(logging.WARNING)
    loggers = [logging.getLogger("duplexer"), logging.getLogger("asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
    yield records
    for logger in loggers:
        logger.removeHandler(handler)
    assert not records, "logged: " + "; ".join(record.getMessage() for record in records)
