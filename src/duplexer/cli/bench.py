"""``duplexer bench``: put a load on a WebSocket server, and say how it took that."""

from __future__ import annotations

import asyncio
import json
import os
from typing import IO, TYPE_CHECKING, Any

import click
from rich.console import Console

from duplexer.cli.load.load import Load
from duplexer.cli.load.plan import Plan
from duplexer.cli.load.report import as_json, progress_line, show
from duplexer.cli.load.usage import Meter
from duplexer.cli.load.workers import Workers
from duplexer.cli.loops import loop_factory, loop_option
from duplexer.cli.outcome import Failure, Status, connect_failure
from duplexer.cli.signals import on_signals
from duplexer.cli.target import target_options
from duplexer.errors import InvalidURI
from duplexer.http.uri import parse_uri

if TYPE_CHECKING:
    import signal

__all__ = ["bench"]

ABOVE_ZERO = click.FloatRange(min=0, min_open=True)
POSITIVE = click.IntRange(min=1)
DURATION = 10.0  #: seconds, unless there is another or a count


def _seconds(name: str, default: float | None, text: str, kind: Any = ABOVE_ZERO) -> Any:
    """An option that is a time."""
    return click.option(
        name,
        type=kind,
        default=default,
        show_default=default is not None,
        metavar="SECONDS",
        help=text,
    )


def _rate(name: str, text: str) -> Any:
    """An option that is a frequency."""
    return click.option(name, type=ABOVE_ZERO, metavar="PER_SECOND", help=text)


def _options(function: Any) -> Any:
    """Give the command the options that are the fields of ``Plan``."""
    for option in reversed(_TRAFFIC + _CONNECTIONS):
        function = option(function)
    return target_options(function)


_TRAFFIC = (
    click.option(
        "--in-flight",
        type=click.IntRange(min=0),
        metavar="N",
        help="Messages under way on each connection at most; with --broadcast, of the publisher. "
        "0: none, the connections are only held.  [default: 1; with --rate: 100]",
    ),
    click.option(
        "--size",
        type=click.IntRange(min=0),
        default=32,
        show_default=True,
        metavar="BYTES",
        help="Size of each message.",
    ),
    click.option("--text/--binary", default=False, show_default=True, help="Type of the messages."),
    click.option(
        "--payload",
        type=click.Choice(["random", "json"]),
        default="random",
        show_default=True,
        help="What they are made of; json can be compressed.",
    ),
    _seconds("--duration", None, "How long to measure.  [default: 10, unless there is a --count]"),
    click.option(
        "--count", type=POSITIVE, metavar="N", help="Measure N messages in all, however long."
    ),
    _seconds("--warm-up", 1.0, "The same load before that, not measured.", click.FloatRange(min=0)),
    _rate(
        "--rate",
        "Send so many messages a second in all, whether answers come or not. Latency counts "
        "from when a message was due.  [default: the next when an answer has come]",
    ),
    click.option(
        "--check/--no-check",
        default=True,
        show_default=True,
        help="Compare every message that comes, byte by byte, with what was sent. Without it, "
        "whatever comes is the answer to the oldest message.",
    ),
    click.option(
        "--broadcast",
        type=click.Choice(["all", "others"]),
        help="The first connection publishes, and the server delivers: to all, or to all others. "
        "Deliveries are counted.",
    ),
)
_CONNECTIONS = (
    click.option(
        "--connections", type=POSITIVE, default=64, show_default=True, metavar="N", help="How many."
    ),
    click.option(
        "--processes",
        type=POSITIVE,
        default=1,
        show_default=True,
        metavar="N",
        help="Divide the connections among so many processes, each with a core to use.",
    ),
    _rate("--open-rate", "Connections to open in a second.  [default: 64 at a time]"),
    _seconds("--ramp-up", None, "Or how long to take for all of them."),
    click.option(
        "--deflate/--no-deflate",
        default=False,
        show_default=True,
        help="Offer permessage-deflate, and compress if it is agreed on.",
    ),
    _seconds("--open-timeout", 10.0, "For a connection to open, TLS included."),
    _seconds(
        "--answer-timeout",
        5.0,
        "How long to wait at the end, without an answer coming, for what is missing.",
    ),
    _seconds("--close-timeout", 5.0, "For the server to answer a Close."),
    loop_option,
)


@click.command(
    short_help="Put a load on a server, and measure it.",
    epilog="Example:  duplexer bench --connections 1000 --rate 5000 ws://localhost:8765/echo",
)
@_options
@click.option(
    "--pid",
    type=POSITIVE,
    metavar="PID",
    help="The server's process: measure its processor time and memory, children included (Linux).",
)
@click.option(
    "--json",
    "output",
    type=click.Path(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write everything as JSON; '-': to standard output, in place of the tables.",
)
def bench(pid: int | None, output: str | None, duration: float | None, **options: Any) -> None:
    """Put a load on the WebSocket server at URI, ws://... or wss://...

    The server is expected to be an echo: each connection keeps --in-flight messages under way and
    sends the next when one has come back. With --broadcast the first connection publishes instead.
    All connections are open before the first message is sent.

    At the end: how many connections could be opened and how long that took, messages a second,
    percentiles of the latency, and what went wrong, by kind. Ctrl-C ends early and still reports.

    \b
    Exit status:
      0    everything as it should be
      1    connections failed or ended early, or messages could not be sent when they were due
      2    wrong usage
      3    nothing could be connected: name, network, TLS
      4    nothing could be connected: refused with an HTTP status
      5    nothing could be connected in time
      6    nothing could be connected: what answered does not speak WebSocket
      7    messages were wrong, lost, or not answered
      130  interrupted before anything could be measured, or twice
    """  # noqa: D301  # click wants the character: lines of such a paragraph stay apart
    if duration is not None and options["count"] is not None:
        raise _wrong("--duration and --count are both given", "give one of them")
    plan = Plan(duration=DURATION if duration is None else duration, **options)
    _check(plan)
    plan.warn()
    meter = None if pid is None else Meter(pid)
    file = None if output is None else _writable(output)
    with asyncio.Runner(loop_factory=loop_factory(plan.uvloop)) as runner:
        load, interrupted = runner.run(_run(plan, meter))
    result = load.outcome()
    report = as_json(plan, result, meter, interrupted=interrupted)
    if file is not None:
        with file:
            json.dump(report, file, indent=1)
            file.write("\n")
    if not result.opened:
        if interrupted:
            raise SystemExit(Status.INTERRUPTED)
        raise result.mistakes.failure(plan.uri)
    if output != "-":
        show(Console(highlight=False, soft_wrap=True), report)
    raise SystemExit(result.status())


def _wrong(message: str, cure: str) -> Failure:
    return Failure(message, cure, status=Status.USAGE)


def _writable(path: str) -> IO[str]:
    """The file for the report, opened before the load: it would be a pity afterwards."""
    try:
        return click.open_file(path, "w", encoding="utf-8")
    except OSError as error:
        raise _wrong(
            f"{path} cannot be written: {error.strerror}", "name another file with --json"
        ) from None


def _check(plan: Plan) -> None:
    """Refuse what makes no sense; raises ``Failure``."""
    try:
        parse_uri(plan.uri)
    except InvalidURI as error:
        raise connect_failure(error, plan.uri) from None
    plan.tls()
    if plan.open_rate is not None and plan.ramp_up is not None:
        raise _wrong("--open-rate and --ramp-up are both given", "each says the other: give one")
    if plan.processes > plan.connections:
        raise _wrong(
            f"{plan.processes} processes cannot share {plan.connections} connections",
            "give more --connections, or fewer --processes",
        )
    if plan.depth == 0 and (plan.rate or plan.count or plan.broadcast):
        raise _wrong(
            "--in-flight 0 sends nothing", "leave out --rate, --count and --broadcast, or it"
        )
    if plan.broadcast and plan.processes > 1:
        raise _wrong(
            "--broadcast counts the deliveries of each message in one process",
            "leave out --processes",
        )
    if plan.broadcast == "others" and plan.connections < 2:
        raise _wrong("with one connection there are no others", "give more --connections")


async def _run(plan: Plan, meter: Meter | None) -> tuple[Load | Workers, bool]:
    """The load when it is over, and whether it was interrupted."""
    load = Load(plan) if plan.processes == 1 else Workers(plan)
    interrupted = False

    def on_signal(_number: signal.Signals) -> None:
        nonlocal interrupted
        if interrupted:  # the second one: at once
            os._exit(Status.INTERRUPTED)
        interrupted = True
        load.stop()

    if meter is not None:
        load.on_measuring = meter.measuring
    try:
        with on_signals(on_signal):
            async with progress_line(load, plan, Console(stderr=True, highlight=False)):
                await load.open()
                if meter is not None:
                    meter.connections_open()
                await load.run()
                await load.close()
    finally:
        if isinstance(load, Workers):
            load.kill()
    return load, interrupted
