"""What ``duplexer serve`` needs to run in production: its options, its processes, its warnings."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from duplexer.asyncio.server import serve, unix_serve
from duplexer.carriers.readiness import Readiness
from duplexer.carriers.routes import text
from duplexer.cli.config import limits_of, read_config
from duplexer.cli.descriptors import raise_limit, room_for
from duplexer.cli.lines import line_handler
from duplexer.cli.listen import gathering, listen_failure
from duplexer.cli.loops import loop_factory
from duplexer.cli.outcome import Failure, Status
from duplexer.cli.watching import Watcher
from duplexer.driver.logs import AccessLog
from duplexer.driver.metrics import Metrics
from duplexer.handshake.server import ANY_ORIGIN, SAME_HOST
from duplexer.limits import Limits
from duplexer.policy.forwarded import TrustedProxies
from duplexer.policy.networks import Networks
from duplexer.workers.certificates import Certificates
from duplexer.workers.running import check_workers, sockets_for
from duplexer.workers.sockets import inherited, notify, unlink
from duplexer.workers.working import Leaving, work

if TYPE_CHECKING:
    from duplexer.asyncio.server import Server
    from duplexer.cli.listen import Handler, Listen
    from duplexer.driver.observing import Observer

__all__ = ["Operation", "operate", "operation_options"]

#: What the command sets for who comes from elsewhere, where the library has no bound: generous for
#: people behind one address, tight for a machine that tries passwords or fills the server up.
PUBLIC = Limits(
    handshake_rate=100.0,
    handshake_burst=1000,
    failure_rate=10.0,
    failure_burst=100,
    max_per_address=2000,
    max_opening_per_address=200,
    max_opening=2000,
    max_incomplete=64 << 20,
)

#: Bounds without which one peer can take all memory, or stay for ever.
_VITAL = (
    "max_message",
    "queue_messages",
    "open_timeout",
    "send_timeout",
    "message_timeout",
    "ping_interval",
    "ping_timeout",
)

#: Bounds without which one address can do so, where others than this machine come.
_FOR_STRANGERS = [
    field.name
    for field in dataclasses.fields(Limits)
    if getattr(Limits(), field.name) is None and getattr(PUBLIC, field.name) is not None
]

#: A handler, and what else ``serve`` is to be given.
Load = Callable[[], "tuple[Handler, dict[str, Any]]"]

_OPTIONS = (
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Serve in N processes that share the port; SIGHUP replaces them by new ones.",
    ),
    click.option(
        "--drain",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="On SIGTERM, the time over which connections are closed with 1012."
        "  [default: a second for each 100 of them, 10 at most]",
    ),
    click.option(
        "--notice",
        type=click.FloatRange(min=0),
        default=0.0,
        show_default=True,
        metavar="SECONDS",
        help="Before that, how long /readyz says 503 while all else goes on.",
    ),
    click.option(
        "--reuse-port",
        is_flag=True,
        help="Listen beside another server on the same port, to take over from it.",
    ),
    click.option(
        "--origin",
        "origins",
        multiple=True,
        metavar="ORIGIN",
        help="Pages of this origin may connect, as https://example.com. Repeatable."
        "  [default: those of the same host]",
    ),
    click.option("--any-origin", is_flag=True, help="Pages of any origin may connect."),
    click.option(
        "--allowed-host",
        "allowed_hosts",
        multiple=True,
        metavar="NAME",
        help="Only requests for this host are answered. Repeatable.",
    ),
    click.option(
        "--trusted-proxy",
        "trusted_proxies",
        multiple=True,
        metavar="NETWORK",
        help="What X-Forwarded-For says is believed from there (also: unix). Repeatable.",
    ),
    click.option(
        "--believe",
        "believes",
        multiple=True,
        type=click.Choice(["for", "proto", "host"]),
        default=("for",),
        show_default=True,
        help="Which X-Forwarded headers the trusted proxies overwrite, always. Repeatable.",
    ),
    click.option(
        "--proxy-protocol",
        multiple=True,
        metavar="NETWORK",
        help="Connections from there begin with the PROXY protocol. Repeatable.",
    ),
    click.option(
        "--limit",
        multiple=True,
        metavar="NAME=VALUE",
        help="A bound of duplexer.limits.Limits; none takes it away. Repeatable.",
    ),
    click.option(
        "--health/--no-health",
        default=True,
        show_default=True,
        help="Answer /healthz and /readyz.",
    ),
    click.option(
        "--metrics/--no-metrics",
        default=False,
        show_default=True,
        help="Answer /metrics with numbers for Prometheus, of all workers.",
    ),
    click.option(
        "--access-log/--no-access-log",
        default=False,
        show_default=True,
        help="A line on standard output for each request and end of a connection.",
    ),
    click.option("--reload", is_flag=True, help="For development: reload code that changes."),
    click.option(
        "--config",
        type=click.Path(dir_okay=False),
        is_eager=True,
        expose_value=False,
        callback=lambda context, _, path: _use_config(context, path),
        help="A TOML file with any of these options.",
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """How a server is operated, from the command line."""

    workers: int | None = None
    drain: float | None = None
    notice: float = 0.0
    reuse_port: bool = False
    origins: tuple[str, ...] = ()
    any_origin: bool = False
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    believes: tuple[str, ...] = ("for",)
    proxy_protocol: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    health: bool = True
    metrics: bool = False
    access_log: bool = False
    reload: bool = False


def _use_config(context: click.Context, path: str | None) -> None:
    if path is not None:
        known: dict[str, click.Parameter] = {}
        for parameter in context.command.params:
            if isinstance(parameter, click.Argument):
                known[str(parameter.name)] = parameter
            for option in (*parameter.opts, *parameter.secondary_opts):
                if option.startswith("--") and option not in ("--config", "--help"):
                    known[option[2:]] = parameter
        context.default_map = {**(context.default_map or {}), **read_config(path, known)}


#: Gives a command the options of ``Operation``, and the ``Operation`` made of them.
operation_options = gathering("operation", Operation, _OPTIONS)


def open_to_others(sockets: Iterable[socket.socket]) -> list[str]:
    """The addresses among those of ``sockets`` that others than this machine can reach."""
    hosts = [
        sock.getsockname()[0].partition("%")[0]
        for sock in sockets
        if sock.family in (socket.AF_INET, socket.AF_INET6)
    ]
    return [host for host in hosts if not ipaddress.ip_address(host).is_loopback]


def limits_for(
    listen: Listen,
    operation: Operation,
    sockets: Iterable[socket.socket],
    descriptors: int | None = None,
) -> Limits:
    """The bounds: rates by address for who comes from elsewhere, and what the user says.

    Who finds no descriptor left would wait in the kernel: before that we answer 503.
    """
    through_proxies = operation.trusted_proxies or operation.proxy_protocol
    base = PUBLIC if through_proxies or open_to_others(sockets) else Limits()
    # As good as no time; nothing would be no number of seconds to Limits.
    base = base.replace(handler_timeout=max(listen.grace, 0.001))
    opening = limits_of(base, operation.limit).max_opening
    base = base.replace(max_connections=room_for(descriptors, opening))
    return limits_of(base, operation.limit)


def warnings_for(
    listen: Listen, operation: Operation, limits: Limits, sockets: Iterable[socket.socket]
) -> Iterator[str]:
    """What an operator should hear before anybody else does."""
    reached = open_to_others(sockets)
    if reached and listen.certfile is None:
        yield (
            f"no TLS on {reached[0]}: whoever is on the way reads and changes everything; give "
            "--certfile, or let only a proxy with TLS reach this port"
        )
    if operation.any_origin:
        yield "--any-origin: every web page can connect in the name of who looks at it"
    for name in _VITAL:
        if getattr(limits, name) is None:
            yield f"--limit {name}=none: one peer can take all memory, or stay for ever"
    for name in _FOR_STRANGERS:
        if reached and getattr(limits, name) is None:
            yield f"--limit {name}=none: one address can try as often, or take as much, as it likes"
    if operation.reload and reached:
        yield "--reload is for development, and others can reach this server"


def _on_output(limits: Limits) -> logging.Logger:
    """A logger of its own, whatever the user's code makes of the others."""
    logger = logging.Logger("duplexer.access", logging.INFO)  # noqa: LOG001 - see above
    handler = line_handler(sys.stdout, limits)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logger.addHandler(handler)
    return logger


class _Site:
    """One server, in one process or several."""

    def __init__(
        self, listen: Listen, operation: Operation, load: Load, descriptors: int | None = None
    ) -> None:
        self.listen = listen
        self.operation = operation
        self.load = load
        over = 0.0 if operation.reload and operation.drain is None else operation.drain
        self.leaving = Leaving(over=over, notice=operation.notice)
        self.path: tuple[str, int] | None = None
        self.shared = False
        limits_of(Limits(), operation.limit)  # mistakes are told before a socket is bound
        self.places = self._bind()
        self.sockets = [sock for place in self.places for sock in place]
        self.limits = limits_for(listen, operation, self.sockets, descriptors)

    def _bind(self) -> list[list[socket.socket]]:
        listen, operation = self.listen, self.operation
        places = operation.workers or 1
        given = inherited()
        if given:
            self.shared = True  # with systemd, where they wait for what comes after us
            return [given] * places
        try:
            if listen.unix is not None:
                at: serve = unix_serve(print, listen.unix)  # type: ignore[arg-type]
            else:
                at = serve(print, listen.host, listen.port)
            bound, self.path = sockets_for(at, places, share=operation.reuse_port)
        except OSError as error:
            raise listen_failure(listen, error) from None
        return bound

    def make(self, context: Certificates | None) -> serve:
        """The server, with the user's handler."""
        handler, options = self.load()
        operation = self.operation
        origins: Any = SAME_HOST
        if operation.any_origin:
            origins = ANY_ORIGIN
        elif operation.origins:
            origins = [*operation.origins, None]
        http = dict(options.pop("http", None) or {})
        if operation.health:
            http = {"/healthz": text("ok\n"), "/readyz": Readiness(), **http}
        observers: list[Observer] = []
        if operation.access_log:
            observers.append(AccessLog(_on_output(self.limits), requests=True))
        if operation.metrics:
            metrics = Metrics()
            observers.append(metrics)
            http = {"/metrics": metrics, **http}
        trusted = operation.trusted_proxies
        return serve(
            handler,
            ssl=context,
            limits=self.limits,
            origins=origins,
            allowed_hosts=operation.allowed_hosts or None,
            trusted_proxies=TrustedProxies(trusted, believes=operation.believes) if trusted else (),
            proxy_protocol=operation.proxy_protocol,
            http=http or None,
            observer=observers,
            **options,
        )

    def run_alone(self) -> None:
        """In this process."""
        context = self.listen.tls()
        serving = self.make(context)

        def reload() -> None:
            if context is None:
                raise ValueError("there is no certificate, and code needs --workers or --reload")
            context.reload()

        def ready(_server: Server) -> None:
            self.announce()
            notify("READY=1")

        with asyncio.Runner(loop_factory=loop_factory(self.listen.uvloop)) as runner:
            runner.run(
                work(
                    lambda: serving,
                    self.leaving,
                    sockets=self.places[0],
                    shared=self.shared,
                    reload=reload,
                    on_ready=ready,
                )
            )

    def run_one(self, place: int, channel: socket.socket, number: int) -> int:
        """In a worker: nothing of the user's was imported before, so that it is the newest."""
        try:
            context = self.listen.tls()
            serving = self.make(context)
            sockets = self.places[place]
            with asyncio.Runner(loop_factory=loop_factory(self.listen.uvloop)) as runner:
                runner.run(
                    work(
                        lambda: serving,
                        self.leaving,
                        sockets=sockets,
                        shared=self.shared,
                        channel=channel,
                        number=number,
                    )
                )
        except click.ClickException as failure:
            failure.show()
            return failure.exit_code
        return 0

    def run_several(self, workers: int) -> int:
        """With a supervisor, which is this process; the exit status."""
        try:
            check_workers(workers)
        except ValueError as error:
            raise Failure(str(error), "see --workers", status=Status.USAGE) from None
        from duplexer.workers.supervisor import Supervisor

        supervisor = Supervisor(
            self.run_one,
            workers,
            self.limits,
            sockets=self.places,
            patience=self.leaving.patience(self.limits),
            on_ready=self.announce,
            changed=Watcher(Path.cwd()).changed if self.operation.reload else None,
        )
        return supervisor.run()

    def announce(self) -> None:
        """Say where it listens, for people and for scripts."""
        for address in self.addresses():
            click.echo(f"listening on {address}")
        sys.stdout.flush()

    def addresses(self) -> Iterator[str]:
        """The addresses, as clients write them."""
        for sock in self.places[0]:
            name = sock.getsockname()
            if sock.family == getattr(socket, "AF_UNIX", None):
                yield f"{self.listen.scheme}+unix://{Path(name).absolute()}"
            else:
                host = f"[{name[0]}]" if ":" in name[0] else name[0]
                yield f"{self.listen.scheme}://{host}:{name[1]}"


def _is_for_operators(record: logging.LogRecord) -> bool:
    # Refusals, which are few in a second (Limits.refusal_log_rate), and what is a warning or worse.
    return record.levelno >= logging.WARNING or hasattr(record, "status")


def operate(
    listen: Listen,
    operation: Operation,
    load: Load,
    *,
    notes: Callable[[str], str] | None = None,
) -> None:
    """Serve what ``load`` gives until told to stop. ``notes`` as of ``run_server``."""
    server_log = logging.getLogger("duplexer.server")
    server_log.setLevel(logging.INFO)
    server_log.addFilter(_is_for_operators)
    workers = operation.workers
    if operation.reload and workers is None:
        workers = 1
        operation = dataclasses.replace(operation, workers=1)
    for option, networks in (
        ("--trusted-proxy", operation.trusted_proxies),
        ("--proxy-protocol", operation.proxy_protocol),
    ):
        try:
            Networks(networks)
        except ValueError as error:
            raise Failure(str(error), f"correct {option}", status=Status.USAGE) from None
    site = _Site(listen, operation, load, raise_limit())
    logging.basicConfig(
        level=logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        handlers=[line_handler(sys.stderr, site.limits)],
    )
    for warning in warnings_for(listen, operation, site.limits, site.sockets):
        click.echo(f"warning: {warning}", err=True)
    if notes is not None:
        site.announce = _with_notes(site, notes)  # type: ignore[method-assign]
    status = 0
    try:
        if workers is None:
            site.run_alone()
        else:
            status = site.run_several(workers)
    finally:
        for sock in site.sockets:
            sock.close()
        if site.path is not None:
            unlink(*site.path)
    if status:
        raise SystemExit(status)


def _with_notes(site: _Site, notes: Callable[[str], str]) -> Callable[[], None]:
    announce = site.announce

    def announce_all() -> None:
        announce()
        click.echo(notes(next(site.addresses())))
        sys.stdout.flush()

    return announce_all
