"""What every test stands on: builds, loops, and skips that need a reason.

* ``async def`` tests run by themselves, each on a new event loop; ``every_loop`` runs one on
  asyncio's and on uvloop's. A test that leaves a task behind has failed.
* Tests of ``unit/``, ``wire/`` and ``contract/`` have the mark ``both_builds``: `make test` runs
  them compiled, then interpreted. ``DUPLEXER_BUILD`` says which build the caller means to test, so
  that a build that went missing is an error and not a slower success.
* A skip for a reason that ``skips.toml`` does not list fails the run in CI.
"""

from __future__ import annotations

import asyncio
import fnmatch
import inspect
import os
import signal
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import duplexer
from duplexer import _pure

TESTS = Path(__file__).parent
#: Parts that run over both builds; of unit/, what only uses the library does not, nor the C.
BOTH_BUILDS = (TESTS / "unit", TESTS / "wire", TESTS / "contract")
LONGEST = TESTS / "soak"
ONE_BUILD = (TESTS / "unit/cli", TESTS / "unit/core/test_native.py")

# What a shell starts in the background ignores Ctrl-C, and asyncio and trio then leave it alone:
# the tests that interrupt themselves need Python's own handler.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("developer", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "developer")


# -- builds ------------------------------------------------------------------------------------


def pytest_report_header() -> str:
    return f"duplexer: {_pure.build()}, from {Path(duplexer.__file__).parent}"


def pytest_sessionstart() -> None:
    wanted = os.environ.get("DUPLEXER_BUILD")
    if wanted in (None, "compiled", "interpreted"):
        found = _pure.build() if wanted else None
    else:  # a directory that the compiled modules must come from
        assert wanted is not None
        inside = Path(duplexer.__file__).is_relative_to(Path(wanted).resolve())
        found = wanted if inside and _pure.is_compiled() else duplexer.__file__
    if found != wanted:
        raise pytest.UsageError(f"DUPLEXER_BUILD={wanted}, but these modules are {found}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept, dropped = [], []
    for item in items:
        path = item.path
        if any(map(path.is_relative_to, BOTH_BUILDS)) and not any(
            map(path.is_relative_to, ONE_BUILD)
        ):
            item.add_marker(pytest.mark.both_builds)
        meaningless = item.get_closest_marker("compiled") and not _pure.is_compiled()
        (dropped if meaningless else kept).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
    # The longest first: at the end everybody would wait for them.
    items[:] = sorted(kept, key=lambda item: not item.path.is_relative_to(LONGEST))


# -- async tests ---------------------------------------------------------------------------------


def _loops() -> list[Any]:
    loops = [pytest.param(asyncio.new_event_loop, id="asyncio")]
    try:
        import uvloop
    except ImportError:
        return loops
    return [*loops, pytest.param(uvloop.new_event_loop, id="uvloop")]


@pytest.fixture
def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Makes the event loop of an async test; parametrized by the mark ``every_loop``."""
    return asyncio.new_event_loop


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("every_loop"):
        if "loop_factory" not in metafunc.fixturenames:
            metafunc.fixturenames.append("loop_factory")
        metafunc.parametrize("loop_factory", _loops())


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    # Not in funcargs: those are of the test's own arguments, and few tests ask for this one.
    params = pyfuncitem.callspec.params if hasattr(pyfuncitem, "callspec") else {}
    factory = params.get("loop_factory", asyncio.new_event_loop)

    async def run() -> set[asyncio.Task[Any]]:
        await pyfuncitem.obj(**arguments)
        await asyncio.sleep(0)  # what is done already may go
        left = asyncio.all_tasks()
        left.discard(asyncio.current_task())  # type: ignore[arg-type]
        return left

    with asyncio.Runner(loop_factory=factory) as runner:
        left = runner.run(run())
        if left:
            pytest.fail(f"tasks left behind: {', '.join(map(repr, left))}")
    return True


# -- skips -----------------------------------------------------------------------------------------


class Skips:
    """Collects the reasons of skips and compares them with the list."""

    def __init__(self, ci: bool) -> None:
        listed = tomllib.loads((TESTS / "skips.toml").read_text())["skip"]
        self.ci = ci
        self.allowed = [row["reason"] for row in listed if row.get("ci") or not ci]
        self.unlisted: dict[str, str] = {}

    def see(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped:
            return
        reason = getattr(report, "wasxfail", None)
        if reason is None:
            text = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            reason = str(text).removeprefix("Skipped: ")
        if not any(fnmatch.fnmatchcase(reason, pattern) for pattern in self.allowed):
            self.unlisted[report.nodeid] = reason

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.see(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.see(report)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.unlisted:
            terminalreporter.section("skipped for reasons that tests/skips.toml does not allow")
            for nodeid, reason in self.unlisted.items():
                terminalreporter.line(f"{nodeid}: {reason}")

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        if self.unlisted and self.ci and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (yield)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Skips(bool(os.environ.get("CI"))), "skips")
