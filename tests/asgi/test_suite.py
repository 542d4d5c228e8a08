"""The tests of uvicorn's own WebSockets, from its sdist, with ours in their place.

They are not ours to carry over: `make test` has pip fetch the sdist, whose hash pip checks against
suite/requirements.txt. They run in a pytest of their own, which suite/uvicorn_with_duplexer.py is a
plugin of.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

import duplexer

SUITE = Path(__file__).parent / "suite"
SDISTS = Path(sys.prefix) / "sdists"
#: The suite's tests wait for fixed times, too short for a machine that is busy: what fails is run
#: again, alone. What is wrong fails every time.
ROUNDS = 3
#: How many tests there are of WebSockets that name a class of uvicorn's, or take one.
TESTS = 75


def sdist() -> Path:
    line = (SUITE / "requirements.txt").read_text().splitlines()[-1]
    name, _, version = line.split()[0].partition("==")
    path = SDISTS / f"{name}-{version}.tar.gz"
    if not path.exists():
        pytest.skip("needs uvicorn's sdist")
    return path


def run(directory: Path, *arguments: str) -> tuple[Counter[str], str]:
    """How many tests passed, failed and so on; what pytest printed."""
    report = directory / "report.xml"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "tests/protocols/test_websocket.py"),
            *("-c", os.devnull, "--rootdir", str(directory), "--junitxml", str(report)),
            *("-p", "anyio.pytest_plugin", "-p", "xdist.plugin", "-p", "uvicorn_with_duplexer"),
            *("-q", "--tb=short", *arguments),
        ],
        cwd=directory,
        env={
            **{name: os.environ[name] for name in os.environ if not name.startswith("PYTEST_")},
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": os.pathsep.join([str(SUITE), str(Path(duplexer.__file__).parents[1])]),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout
    (suite,) = ET.parse(report).getroot()
    counts = Counter({key: int(suite.attrib[key]) for key in ("errors", "failures", "skipped")})
    counts["passed"] = int(suite.attrib["tests"]) - counts.total()
    return counts, done.stdout


@pytest.mark.timeout(600)
def test_the_suite_of_uvicorn(tmp_path: Path) -> None:
    with tarfile.open(sdist()) as archive:
        archive.extractall(tmp_path, filter="data")
    (directory,) = tmp_path.iterdir()
    counts, output = run(directory, "-n", "3")
    passed = counts["passed"]
    for _ in range(ROUNDS - 1):
        if passed < TESTS:
            counts, output = run(directory, "--last-failed")
            passed += counts["passed"]
    assert (passed, counts["skipped"]) == (TESTS, 0), output
