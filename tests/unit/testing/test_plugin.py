"""The pytest plugin, in a pytest of its own, with each way to run async tests."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tomllib
from typing import Any

import pytest

from tests.docs.pages import ROOT

pytest_plugins = ["pytester"]

SHOUT = """
import asyncio
import pytest
from duplexer import connect

async def shout(ws):
    async for message in ws:
        await ws.send(message.upper())
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a test file with the plugin, and with the others that are named."""

    def run(source: str, *options: str, others: tuple[str, ...] = (), ini: str = "") -> Any:
        for name in ("DUPLEXER_BUILD", "PYTEST_ADDOPTS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"), prepend=":")
        pytester.makepyfile(test_it=SHOUT + source)
        pytester.makeini("[pytest]\nfilterwarnings = error\n" + ini)
        plugins = [f"-p{name}" for name in ("duplexer.testing.plugin", *others)]
        return pytester.runpytest_subprocess(*plugins, *options, timeout=60)

    return run


def test_pytest_finds_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"duplexer": "duplexer.testing.plugin"}


def test_fixtures(run: Any) -> None:
    result = run(
        """
from duplexer.testing.script import expect, send

async def ask(uri, message, **kwargs):
    async with connect(uri, proxy=None, **kwargs) as ws:
        await ws.send(message)
        return await ws.recv()

def test_server(ws_server):
    assert asyncio.run(ask(ws_server(shout, max_size=10), "hello")) == "HELLO"

def test_scripted(ws_scripted):
    server = ws_scripted([expect("hello"), send("world")])
    assert asyncio.run(ask(server.uri, "hello")) == "world"

def test_relay(ws_server, ws_relay):
    relay = ws_relay(ws_server(shout), split=1)
    assert asyncio.run(ask(relay.uri, "hello")) == "HELLO"
    assert relay.link.to_server.split == 1
"""
    )
    result.assert_outcomes(passed=3)


def test_what_goes_wrong_behind_the_test_fails_it(run: Any) -> None:
    result = run(
        """
from duplexer.testing.script import expect

async def fail(ws):
    await ws.recv()
    raise ZeroDivisionError

async def say(uri, message):
    async with connect(uri, proxy=None) as ws:
        await ws.send(message)
        await ws.wait_closed()

def test_handler(ws_server):
    asyncio.run(say(ws_server(fail), "x"))

def test_script(ws_scripted):
    asyncio.run(say(ws_scripted([expect("hello")]).uri, "hullo"))
"""
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*ZeroDivisionError*", "*text 'hullo' came*"])


HANGING = """
@pytest.mark.duplexer_timeout(SECONDS)
{mark}
async def test_hangs(ws_server):
    async with connect(ws_server(shout), proxy=None) as ws:
        await ws.recv()

{mark}
async def test_the_next_one(ws_server):
    async with connect(ws_server(shout), proxy=None) as ws:
        await ws.send("hello")
        assert await ws.recv() == "HELLO"
"""

REPORT = [
    "*the call of test_it.py::test_hangs* has not finished within * s.",
    "*<ClientConnection * OPEN *",
    "*    recv() waits for a message.",
]


def check(run: Any, source: str, **kwargs: Any) -> None:
    """Runs it until the time was long enough to come to the point where it hangs."""
    for seconds in ("0.3", "3", "15"):
        result = run(source.replace("SECONDS", seconds), **kwargs)
        if "recv() waits" in result.stdout.str():
            break
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(REPORT)
    result.stdout.fnmatch_lines(["*test_hangs: await ws.recv()"])
    result.stdout.fnmatch_lines(["*<ServerConnection * OPEN *"])
    result.stdout.fnmatch_lines(["*in shout: async for message in ws:"])


def test_a_hang_in_a_plain_test(run: Any) -> None:
    source = HANGING.format(mark="").replace("async def test_", "async def _test_")
    for name in ("hangs", "the_next_one"):
        source = source.replace(f"async def _test_{name}", f"async def inner_test_{name}")
    source = source.replace("@pytest.mark.duplexer_timeout(SECONDS)\n", "")
    source += """
@pytest.mark.duplexer_timeout(SECONDS)
def test_hangs(ws_server):
    asyncio.run(inner_test_hangs(ws_server))

def test_the_next_one(ws_server):
    asyncio.run(inner_test_the_next_one(ws_server))
"""
    check(run, source)


def test_a_hang_under_pytest_asyncio(run: Any) -> None:
    if importlib.util.find_spec("pytest_asyncio") is None:
        pytest.skip("needs pytest-asyncio")
    ini = "asyncio_default_fixture_loop_scope = function\n"
    source = HANGING.format(mark="@pytest.mark.asyncio")
    check(run, source, others=("pytest_asyncio.plugin",), ini=ini)


def test_a_hang_under_anyio(run: Any) -> None:
    if importlib.util.find_spec("anyio") is None:
        pytest.skip("needs anyio")
    source = HANGING.format(mark="@pytest.mark.anyio")
    source += """
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
    check(run, source, others=("anyio.pytest_plugin",))


def test_a_hang_of_a_handler_when_it_is_to_end(run: Any) -> None:
    source = """
async def stay(ws):
    await asyncio.get_running_loop().create_future()

@pytest.mark.duplexer_timeout(SECONDS)
def test_leaves(ws_server):
    async def visit(uri):
        async with connect(uri, proxy=None):
            pass
    asyncio.run(visit(ws_server(stay)))
"""
    for seconds in ("0.5", "3", "15"):  # long enough for what comes before
        result = run(source.replace("SECONDS", seconds))
        if result.parseoutcomes().get("passed"):
            break
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the tear-down of *", "*in stay: await asyncio*create_future()*"])


def test_how_long(run: Any) -> None:
    source = """
from duplexer.testing import plugin

def seconds(request):
    return plugin.seconds_for(request.node)

def test_without(request):
    assert seconds(request) == {without}

def test_with_a_fixture(request, ws_relay):
    assert seconds(request) == {fixture}

@pytest.mark.duplexer_timeout(7)
def test_marked(request, ws_relay):
    assert seconds(request) == 7

@pytest.mark.duplexer_timeout(seconds=0)
def test_for_ever(request, ws_relay):
    assert seconds(request) == 0
"""
    run(source.format(without=0, fixture=30)).assert_outcomes(passed=4)
    ini = "duplexer_timeout = 5\n"
    run(source.format(without=5, fixture=5), ini=ini).assert_outcomes(passed=4)
    run(source.format(without=0, fixture=0), ini="duplexer_timeout = 0\n").assert_outcomes(passed=4)


@pytest.mark.parametrize("wrong", ["soon", "-1"])
def test_a_wrong_configuration_is_told_at_once(run: Any, wrong: str) -> None:
    result = run("def test_x(): pass", ini=f"duplexer_timeout = {wrong}\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*duplexer_timeout in the configuration must *{wrong}*"])


def test_it_is_described(run: Any) -> None:
    result = run("", "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.duplexer_timeout(seconds):*"])
    result = run("", "--fixtures")
    result.stdout.fnmatch_lines(["ws_server*", "ws_scripted*", "ws_relay*"])


def test_the_installed_one_is_this_one() -> None:
    found = importlib.metadata.entry_points(group="pytest11", name="duplexer")
    assert {entry.value for entry in found} <= {"duplexer.testing.plugin"}
