"""A load's result, for people and for programs; and a line that shows how far it has got."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from duplexer import _pure
from duplexer.cli.load.plan import Plan
from duplexer.cli.load.result import Progress, Result
from duplexer.cli.render import escape, size
from duplexer.http.uri import parse_uri

if TYPE_CHECKING:
    from duplexer.cli.load.histogram import Histogram
    from duplexer.cli.load.usage import Meter

__all__ = ["as_json", "period", "progress_line", "show"]

PERCENTILES = (50, 90, 99, 99.9, 99.99)
REFRESH = 0.25  #: seconds
VERSION = 1  #: of the JSON: raised when what is there changes its meaning


def as_json(plan: Plan, result: Result, meter: Meter | None, *, interrupted: bool) -> Any:
    """Everything, as an object for JSON; the documentation has its fields."""
    messages = result.received or result.sent
    return {
        "version": VERSION,
        "uri": str(parse_uri(plan.uri)),
        "options": plan.as_json(),
        "interrupted": interrupted,
        "exit_status": int(result.status()),
        "seconds": round(result.seconds, 6),
        "connections": {
            "opened": result.opened,
            "failed": result.failed,
            "lasted": result.lasted,
            "deflate": result.compressed,
            "subprotocols": dict(result.subprotocols),
            "handshake_us": _percentiles(result.handshakes),
        },
        "messages": {
            "sent": result.sent,
            "received": result.received,
            "bytes": result.bytes,
            "per_second": round(result.per_second, 1),
            "bytes_per_second": round(result.bytes_per_second, 1),
            "latency_us": _percentiles(result.latency),
        },
        "errors": [
            {
                "kind": row.kind,
                "count": row.count,
                "message": row.message,
                "example": row.example,
                "cure": row.cure,
            }
            for row in result.mistakes.sorted()
        ],
        "server": None if meter is None else _server(meter, result),
        "load": {
            "processes": result.processes,
            "build": _pure.build(),
            "cpu_seconds": round(result.processor, 6),
            "cpu_us_per_message": _each(result.processor * 1e6, messages),
            "cpu_share": _each(result.processor, result.seconds * result.processes),
        },
    }


def _server(meter: Meter, result: Result) -> dict[str, Any]:
    before, opened, after = meter.before, meter.opened, meter.after
    return {
        "pid": meter.pid,
        "cpu_seconds": round(meter.processor / 1e9, 6),
        "cpu_us_per_message": _each(meter.processor / 1e3, result.received),
        "cpu_share": _each(meter.processor / 1e9, result.seconds),
        "rss_bytes": after.rss,
        "pss_bytes": after.pss,
        "bytes_per_connection": _each(opened.best - before.best, result.opened),
    }


def _each(total: float, number: float) -> float | None:
    return round(total / number, 4) if number else None


def _percentiles(histogram: Histogram) -> dict[str, float] | None:
    if not histogram.total:
        return None
    values: dict[str, float] = {
        f"p{percent:g}": histogram.percentile(percent) for percent in PERCENTILES
    }
    values = {"min": histogram.least, "mean": histogram.mean, **values, "max": histogram.greatest}
    return {
        "count": histogram.total,
        **{name: round(value / 1e3, 3) for name, value in values.items()},
    }


# -- for people -----------------------------------------------------------------------------------


def show(console: Console, report: Any) -> None:
    """Print what ``as_json`` has made."""
    times = Table(box=None, pad_edge=False, header_style="bold")
    times.add_column("")
    columns = ("p50", "p90", "p99", "p99.9", "p99.99", "max")
    for name in columns:
        times.add_column(name, justify="right")
    rows = (
        ("handshake", report["connections"]["handshake_us"]),
        ("latency", report["messages"]["latency_us"]),
    )
    for name, values in rows:
        if values is not None:
            times.add_row(name, *(period(values[column]) for column in columns))
    for name, text in _facts(report):
        console.print(Text.assemble((f"{name:<12} ", "bold"), text))
    if times.row_count:
        console.print()
        console.print(times)
    console.print()
    _show_errors(console, report["errors"])


def _facts(report: Any) -> list[tuple[str, str]]:
    connections, messages = report["connections"], report["messages"]
    opened = f"{connections['opened']:,} opened, {connections['failed']:,} failed"
    if connections["lasted"] < connections["opened"]:
        opened += f", {connections['opened'] - connections['lasted']:,} ended early"
    facts = [("connections", opened)]
    if report["options"]["deflate"]:
        facts.append(("deflate", f"agreed on by {connections['deflate']:,}"))
    asked = report["options"]["subprotocols"]
    if asked:
        agreed = ", ".join(
            f"{escape(name) or 'none'} ({count:,})"
            for name, count in connections["subprotocols"].items()
        )
        facts.append(("subprotocol", agreed))
    counted = f"{messages['received']:,} in {report['seconds']:.2f} s"
    asked_rate = report["options"]["rate"]
    if report["options"]["broadcast"]:
        facts.append(("deliveries", f"{counted}, of {messages['sent']:,} messages"))
    else:
        facts.append(("messages", counted))
    wanted = f" (--rate {asked_rate:g})" if asked_rate else ""
    facts += [
        ("", f"{messages['per_second']:,.0f}/s{wanted}"),
        ("", f"{size(int(messages['bytes_per_second']))}/s"),
    ]
    facts += _processes(report)
    if report["interrupted"]:
        facts.append(("interrupted", "what had come by then is counted"))
    return facts


def _processes(report: Any) -> list[tuple[str, str]]:
    server, load = report["server"], report["load"]
    facts = []
    if server is not None:
        exact = server["pss_bytes"] is not None
        held = size(server["pss_bytes"] if exact else server["rss_bytes"])
        held += " PSS" if exact else " RSS"
        each = server["bytes_per_connection"]
        if each is not None and each > 0:
            held += f", {each:,.0f} bytes a connection"
        facts += [("server", f"{_microseconds(server)}, {_share(server)}"), ("", held)]
    text = f"{_microseconds(load)}, {_share(load)}"
    if (load["cpu_share"] or 0) > 0.9:
        text += " — the load is what limits: try --processes"
    facts.append(("this load", text))
    return facts


def _microseconds(process: Any) -> str:
    each = process["cpu_us_per_message"]
    return "no messages" if each is None else f"{each:.3g} µs of CPU a message"


def _share(process: Any) -> str:
    return f"{100 * (process['cpu_share'] or 0):.0f} % of a core"


def _show_errors(console: Console, errors: Any) -> None:
    if not errors:
        console.print(Text("no errors", "green"))
        return
    for row in errors:
        console.print(
            Text.assemble(
                (f"{row['count']:,} ", "bold red"),
                (row["kind"], "bold"),
                f": {escape(row['message'])}",
            )
        )
        if row["example"]:
            console.print(Text(f"  | {escape(row['example'])}", "dim"))
        if row["cure"]:
            console.print(Text.assemble(("  cure: ", "bold green"), row["cure"]))


def period(microseconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, factor in (("µs", 1.0), ("ms", 1e3), ("s", 1e6)):
        value = microseconds / factor
        if value < 1000 or unit == "s":
            break
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


# -- meanwhile ------------------------------------------------------------------------------------


class Reporting(Protocol):
    """What can tell how far it has got."""

    def progress(self) -> Progress: ...


@contextlib.asynccontextmanager
async def progress_line(load: Reporting, plan: Plan, console: Console) -> AsyncIterator[None]:
    """While inside, show on a terminal how far ``load`` has got."""
    if not console.is_terminal:
        yield
        return
    # No thread of its own: it would take the interpreter away from the load.
    with Live(console=console, auto_refresh=False, transient=True) as live:
        task = asyncio.create_task(_refresh(live, load, plan))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _refresh(live: Live, load: Reporting, plan: Plan) -> None:
    before, then = 0, time.monotonic()
    while True:
        progress, now = load.progress(), time.monotonic()
        rate = (progress.received - before) / max(now - then, 0.001)
        before, then = progress.received, now
        live.update(line(progress, plan, rate), refresh=True)
        await asyncio.sleep(REFRESH)


def line(progress: Progress, plan: Plan, rate: float) -> Text:
    """The line: the phase, the connections, messages a second, what went wrong."""
    parts: list[tuple[str, str]] = [(progress.phase, "bold cyan")]
    parts.append((f"  {progress.opened:,}/{plan.connections:,} connections", ""))
    if progress.failed:
        parts.append((f", {progress.failed:,} failed", "red"))
    if progress.phase not in ("opening", "open"):
        parts.append((f"  {rate:,.0f} messages/s", ""))
    if progress.mistakes:
        parts.append((f"  {progress.mistakes:,} errors", "bold red"))
    return Text.assemble(*parts)
