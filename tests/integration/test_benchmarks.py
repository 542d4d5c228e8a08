"""The command that compares duplexer with its peers: the table, the record, the page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from benchmarks import page
from benchmarks.build import BUILT, build
from benchmarks.charts import draw
from benchmarks.measure import Settings, measure
from benchmarks.peers import PEERS
from benchmarks.results import Cell, Results, Row
from benchmarks.scenarios import SCENARIOS

ROOT = Path(__file__).parent.parent.parent
SHORT = ("--seconds", "0.1", "--warm-up", "0.05")
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={**os.environ, "http_proxy": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# -- the command ----------------------------------------------------------------------------------


def test_build_option() -> None:
    assert Path(bench("--build").stdout.strip()).parent == BUILT


def test_table(tmp_path: Path) -> None:
    done = bench(
        *("--only", "ping,fan-out-burst", "--peers", "floor,websockets", "--against", "floor"),
        *("--rounds", "2", *SHORT, "--loop", "asyncio"),
        *("--json", str(tmp_path / "all.json"), "--no-page", "--docs", str(tmp_path)),
    )
    assert done.returncode == 0, done.stderr
    # A B A B
    order = [line.split()[2] for line in done.stderr.splitlines() if line.startswith("ping ")]
    assert order == ["websockets:", "floor:"] * 2
    head, _, ping, burst, *_ = done.stdout.splitlines()
    assert head.split() == ["websockets", "floor", "noise"]
    assert ping.startswith("ping: 64 connections") and "×" in ping
    assert burst.startswith("fan-out burst")
    written = json.loads((tmp_path / "all.json").read_text())
    assert written["against"] == "floor"
    (run,) = written["runs"].values()
    assert {"Python", "websockets"} <= set(run["versions"])
    cell = written["rows"]["ping"]["cells"]["websockets"]
    assert len(cell["values"]) == len(cell["rounds"]) == 2
    assert cell["values"][0] == pytest.approx(cell["rounds"][0]["server_cpu_us_each"], abs=0.001)
    assert not (tmp_path / "benchmarks.md").exists()


def test_every_way_to_measure(tmp_path: Path) -> None:
    """Callbacks, deflate, a client, a loop of its own."""
    rows = "text,handshake,deflate-echo,client-32,burst-asyncio"
    peers = "duplexer,duplexer-listener"
    done = bench("--only", rows, "--peers", peers, "--rounds", "1", *SHORT, "--docs", str(tmp_path))
    assert done.returncode == 0, done.stderr + done.stdout
    record = Results.load(tmp_path / "benchmarks/results.json")
    assert list(record.rows) == rows.split(",")
    for row in record.rows.values():
        both = not row.name.startswith("client")
        assert len(row.figures) == 1 + both, row
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "duplexer-listener" in text
    assert text.count(".svg)") == len(list((tmp_path / "benchmarks").glob("*.svg"))) == 5


def test_over_tls(tmp_path: Path) -> None:
    if not build().tls:
        pytest.skip("needs OpenSSL's headers")
    rows = "idle-tls,client-8k-tls"
    done = bench("--only", rows, "--peers", "websockets", *SHORT, "--docs", str(tmp_path))
    assert done.returncode == 0, done.stderr
    record = Results.load(tmp_path / "benchmarks/results.json")
    assert record.rows["client-8k-tls"].figures
    assert 5_000 < (record.rows["idle-tls"].figure("websockets") or 0) < 500_000


def test_two_processes_need_processors() -> None:
    done = bench("--only", "two-processes", "--cpus", "0,1", "--no-page")
    assert "it needs 4 processors, there are 2" in done.stdout
    assert "duplexer:" not in done.stderr


def test_two_processes() -> None:
    """Whether it means anything or not: both servers share the port, and the load is spread."""
    settings = Settings(build(), "asyncio", 1.0, 0.05, ())
    peer = next(peer for peer in PEERS if peer.name == "websockets")
    figures = measure(BY_NAME["two-processes"], peer, settings)
    assert figures["times_of_one"] > 0


def test_unknown_names() -> None:
    done = bench("--only", "pong")
    assert done.returncode == 2
    assert "unknown: pong" in done.stderr


# -- the record -----------------------------------------------------------------------------------


def run_of(date: str, **versions: str) -> dict[str, Any]:
    machine = {"processor": "Abacus", "processors": 2, "kernel": "Linux 7", "load": 0.1}
    settings = {"loop": "uvloop", "rounds": 3, "seconds": 0.5, "cpus": [0, 1]}
    return {date: {"machine": machine, "versions": versions, "settings": settings, "notes": []}}


def results(date: str, rows: dict[str, dict[str, list[float]]], **versions: str) -> Results:
    made = {}
    for name, figures in rows.items():
        made[name] = Row.of(BY_NAME[name])
        made[name].cells = {peer: Cell(date, values) for peer, values in figures.items()}
    return Results("duplexer", run_of(date, **versions), made)


OLD, NEW = "2030-01-01T00:00:00+00:00", "2031-01-01T00:00:00+00:00"


def recorded() -> Results:
    rows = {
        "ping": {"duplexer": [9.0, 8.0], "websockets": [24.0], "floor": [5.0]},
        "burst": {"duplexer": [0.3], "websockets": [15.0], "floor": [0.15]},
        "burst-asyncio": {"duplexer": [0.45], "websockets": [30.0]},
    }
    return results(OLD, rows, duplexer="1.0", websockets="15.0")


def test_what_was_not_measured_is_kept() -> None:
    record = recorded()
    record.merge(results(NEW, {"ping": {"duplexer": [7.0]}}, duplexer="1.1"))
    assert record.rows["ping"].figures == {"duplexer": 7.0, "websockets": 24.0, "floor": 5.0}
    assert record.rows["burst"].figures["duplexer"] == 0.3
    assert set(record.runs) == {OLD, NEW} and record.main_run == OLD
    again = Results.from_json(json.loads(json.dumps(record.as_json())))
    assert again == record
    text = page.text_of(record)
    assert "| duplexer | 7.0 (a) | 0.30 |" in text and "| websockets | 24.0 ×3.43 |" in text
    assert "*(a)* 2031-01-01, Abacus" in text and "duplexer 1.1." in text


def test_what_is_no_longer_measured_so_is_dropped() -> None:
    record = recorded()
    record.rows["ping"].load += " --size 5"
    record.rows["gone"] = Row("gone", "group", "title", "µs")
    record.merge(results(NEW, {"ping": {"duplexer": [7.0]}}))
    assert record.rows["ping"].figures == {"duplexer": 7.0}
    assert "gone" not in record.rows


def test_a_failure_is_recorded() -> None:
    record = recorded()
    newer = results(NEW, {"burst": {"duplexer": []}})
    newer.rows["burst"].cells["duplexer"].error = "wrong bytes"
    record.merge(newer)
    assert record.rows["burst"].figure("duplexer") is None
    text = page.text_of(record)
    assert "| duplexer | 8.0 | failed (a) |" in text
    assert "* burst, duplexer: wrong bytes" in text


def test_the_record_in_a_file(tmp_path: Path) -> None:
    page.write(tmp_path, recorded())
    page.write(tmp_path, results(NEW, {"text": {"duplexer": [9.0]}}))
    record = Results.load(tmp_path / "benchmarks/results.json")
    assert list(record.rows) == ["ping", "text", "burst", "burst-asyncio"]
    before = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    (tmp_path / "benchmarks/old.svg").write_text("<svg/>")
    done = bench("--draw", "--docs", str(tmp_path))
    assert done.returncode == 0 and not done.stdout
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8") == before
    assert not (tmp_path / "benchmarks/old.svg").exists()


# -- the page and its drawings --------------------------------------------------------------------


def test_page() -> None:
    text = page.text_of(recorded())
    assert text.startswith("# Benchmarks\n")
    assert "Measured: 2030-01-01, Abacus, 2 processors, Linux 7; uvloop, 3 × 0.5 s." in text
    assert "duplexer 1.0, websockets 15.0" in text
    assert "| µs | ping | burst |\n|---|---:|---:|\n| duplexer | 8.0 | 0.30 |\n" in text
    assert "| websockets | 24.0 ×3.00 | 15.0 ×50.0 |\n| floor | 5.0 ×0.62 | 0.15 ×0.50 |\n" in text
    assert "| *noise* | 6% |  |" in text
    # on another loop: to the same library
    assert "| µs | burst-asyncio |\n|---|---:|\n| duplexer | 0.45 ×1.50 |\n" in text
    assert "| websockets | 30.0 ×2.00 |" in text
    assert re.findall(r"\(benchmarks/(.*)\.svg\)", text) == list(recorded().rows)


def test_page_of_nothing() -> None:
    assert "Nothing has been measured yet." in page.text_of(Results())


def drawn(name: str, record: Results) -> str:
    return draw(record, record.rows[name], record.peers)


def svg(name: str, record: Results) -> ET.Element:
    return ET.fromstring(drawn(name, record))


SVG = {"": "http://www.w3.org/2000/svg"}


def test_drawing() -> None:
    root = svg("ping", recorded())
    assert root.get("role") == "img"
    title, desc = root.find("title", SVG), root.find("desc", SVG)
    assert title is not None and desc is not None and desc.text
    assert title.text == "ping: 64 connections, 1 in flight, 32 B"
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    assert "duplexer 8.0; websockets 24.0 (×3.00); floor 5.0 (×0.62)" in desc.text
    texts = [element.text for element in root.findall("text", SVG)]
    assert {"duplexer", "websockets", "floor", "24.0 (×3.00)"} <= set(texts)
    _, *bars = root.findall("rect", SVG)
    widths = [float(bar.get("width", "")) for bar in bars]
    assert widths[1] == pytest.approx(3 * widths[0], rel=0.01)
    style = root.find("style", SVG)
    assert style is not None and style.text and "prefers-color-scheme: dark" in style.text
    assert min(map(int, re.findall(r"(\d+)px", style.text))) >= 14


def test_a_wide_range_is_drawn_on_a_logarithmic_scale() -> None:
    assert ">µs, less is better; logarithmic scale</text>" in drawn("burst", recorded())
    assert ">µs, less is better; linear scale</text>" in drawn("ping", recorded())


@pytest.mark.parametrize("least", [0.03, 0.999, 1.0, 7.7])
@pytest.mark.parametrize("times", [1, 1.5, 19, 21, 1e4])
def test_nothing_is_drawn_outside(least: float, times: float) -> None:
    record = results(NEW, {"ping": {"duplexer": [least], "floor": [least * times]}})
    root = svg("ping", record)
    width = float(root.get("width", ""))
    for bar in root.findall("rect", SVG):
        assert 0 < float(bar.get("x", "")) + float(bar.get("width", "")) <= width
    for text in root.findall("text", SVG):
        long = 8.5 * len(text.text or "") if text.get("text-anchor") == "start" else 0
        assert 0 < float(text.get("x", "")) < width - long
    assert len([text for text in root.findall("text", SVG) if text.get("class") == "scale"]) >= 3


def test_titles_fit_into_drawings() -> None:
    assert max(len(scenario.title) for scenario in SCENARIOS) <= 80
    assert len(BY_NAME) == len(SCENARIOS)


# -- what is committed ----------------------------------------------------------------------------


def test_the_page_is_what_its_record_draws() -> None:
    """Otherwise: ``python -m benchmarks --draw``."""
    docs = ROOT / "docs"
    record = Results.load(docs / "benchmarks/results.json")
    assert (docs / "benchmarks.md").read_text(encoding="utf-8") == page.text_of(record)
    drawings = page.drawings(record)
    assert {path.name for path in (docs / "benchmarks").glob("*.svg")} == set(drawings)
    for name, text in drawings.items():
        assert (docs / "benchmarks" / name).read_text(encoding="utf-8") == text
