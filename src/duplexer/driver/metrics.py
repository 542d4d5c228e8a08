"""The numbers of a server, for Prometheus.

Connections count what goes over them by themselves: a scrape adds that up, and what a connection
has counted is kept when it ends. So no message costs anything for being counted here.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

from duplexer.driver.exposition import CONTENT_TYPE, Histogram, Page, together
from duplexer.driver.observing import Observer, Observers
from duplexer.http.headers import Headers
from duplexer.http.messages import Response, make_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from duplexer.core.session import Session
    from duplexer.http.messages import Request
    from duplexer.policy.guard import Guard

    #: Asks the other workers for their pages: those that came, and how many did not.
    Others = Callable[[], Awaitable[tuple[Sequence[str], int]]]

__all__ = ["Metrics", "metrics_among"]

#: Seconds, of what should take none of them.
_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Seconds, of what lasts.
_LONG = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Metrics(Observer):
    """Counts what happens on a server; as a route of ``http=`` it gives that to Prometheus.

    ::

        metrics = Metrics()
        serve(handler, ..., observer=metrics, http={"/metrics": metrics})

    One object may serve several servers of the process: it adds them up. ``labels`` are added to
    every sample, such as ``{"site": "paris"}``. Of :func:`~duplexer.workers.running.run` with
    workers, whichever is scraped answers for all: a label ``worker`` tells them apart.

    Raises ``ValueError`` for a label that Prometheus does not take.
    """

    #: A scrape looks at each connection: an event loop has that done by a thread.
    blocking = True

    def __init__(self, labels: Mapping[str, str] | None = None) -> None:
        for name in labels or {}:
            if not _LABEL.fullmatch(name) or name.startswith("__"):
                raise ValueError(f"this cannot be the name of a label: {name!r}")
        self._labels = {name: str(value) for name, value in (labels or {}).items()}
        self._others: Others | None = None
        self._started = time.time()
        self._lock = threading.Lock()
        self._open: dict[Any, float] = {}  # connection → when it was opened
        self._guards: list[Guard] = []
        self._totals: Counter[tuple[str, ...]] = Counter()  # of those that have ended
        self._opened = 0
        self._handshakes: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        self._closes: Counter[tuple[str, str]] = Counter()
        self._lifetimes = Histogram(_LONG)
        self._pings = Histogram(_SHORT)
        self._late = Histogram(_SHORT)
        self._handled = Histogram(_SHORT)
        self._lag = Histogram(_SHORT)

    def join(self, worker: int, others: Others) -> None:
        """This process is a worker, of this number; ``others`` asks the others for their pages.

        To be called before it serves. ``others()`` gives the pages, and how many did not answer.
        """
        self._labels["worker"] = str(worker)
        self._others, self._started = others, time.time()

    # -- what is told ----------------------------------------------------------------------------

    def serves(self, guard: Guard) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        with self._lock:
            self._guards.append(guard)

    def opened(self, connection: Any) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        with self._lock:
            self._opened += 1
            self._handshakes["101"] += 1
            self._open[connection] = time.monotonic()

    def refused(self, connection: Any, request: Request | None, status: int) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        with self._lock:
            self._handshakes[str(status)] += 1

    def answered(self, connection: Any, request: Request, status: int) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        with self._lock:
            self._requests[str(status)] += 1

    def ended(self, connection: Any) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        with self._lock:
            since = self._open.pop(connection, None)
            if since is None:
                return
            self._lifetimes.observe(time.monotonic() - since)
            self._closes[_who_closed(connection.session)] += 1
            self._totals.update(_counts(connection))

    def pong(self, connection: Any, latency: float) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        with self._lock:
            self._pings.observe(latency)

    def sent_late(self, connection: Any, seconds: float) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        with self._lock:
            self._late.observe(seconds)

    def handling(self, connection: Any, message: Any) -> AbstractContextManager[Any]:
        """See :class:`~duplexer.driver.observing.Observer`."""
        return _Timing(self)

    def handled(self, seconds: float) -> None:
        """A message has been handled."""
        with self._lock:
            self._handled.observe(seconds)

    def lagged(self, seconds: float) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        with self._lock:
            self._lag.observe(seconds)

    # -- what is asked ---------------------------------------------------------------------------

    def __call__(self, request: Request) -> Response | Awaitable[Response]:  # the route
        """The answer to Prometheus; in a worker an awaitable of it."""
        page = self.render()
        if self._others is None:
            return _response(page)
        return _Gathering(self._labels, page, self._others)

    def render(self) -> str:
        """All numbers of this process, in the text format of Prometheus."""
        with self._lock:
            connections, totals = list(self._open), self._totals.copy()
        queued = waiting = congested = 0
        # Without the lock, which nobody is to wait for: who ends meanwhile keeps its counters, and
        # is not among the totals that were copied.
        for connection in connections:
            totals.update(_counts(connection))
            congested += connection.session.congested
            if connection.backlog is not None:
                queued += connection.backlog.messages
                waiting += connection.backlog.bytes
        page = Page(self._labels)
        with self._lock:
            self._about_connections(page, len(connections))
            page.family(
                "duplexer_connections_congested",
                "gauge",
                "Connections whose peers do not read what is sent to them.",
                [({}, congested)],
            )
            page.family(
                "duplexer_send_queue_messages", "gauge", "Waiting in send queues.", [({}, queued)]
            )
            page.family(
                "duplexer_send_queue_bytes", "gauge", "Waiting in send queues.", [({}, waiting)]
            )
            _about_traffic(page, totals)
            self._about_times(page, totals)
        return str(page)

    def _about_connections(self, page: Page, count: int) -> None:
        page.family(
            "duplexer_start_time_seconds",
            "gauge",
            "When counting began, since the epoch.",
            [({}, self._started)],
        )
        page.family("duplexer_connections", "gauge", "Open connections.", [({}, count)])
        page.family("duplexer_connections_total", "counter", "Opened so far.", [({}, self._opened)])
        page.family(
            "duplexer_handshakes_total",
            "counter",
            "Handshakes, by the status they were answered with.",
            [({"status": status}, n) for status, n in sorted(self._handshakes.items())],
        )
        page.family(
            "duplexer_http_requests_total",
            "counter",
            "Plain HTTP requests, by the status they were answered with.",
            [({"status": status}, n) for status, n in sorted(self._requests.items())],
        )
        page.family(
            "duplexer_closes_total",
            "counter",
            "Connections that ended, by who began it and the close code.",
            [({"by": by, "code": code}, n) for (by, code), n in sorted(self._closes.items())],
        )
        struck: Counter[str] = Counter()
        for guard in self._guards:
            struck.update(dict(guard.struck))
        page.family(
            "duplexer_limits_struck_total",
            "counter",
            "How often a limit struck, by its name in Limits.",
            [({"limit": name}, n) for name, n in sorted(struck.items())],
        )

    def _about_times(self, page: Page, totals: Counter[tuple[str, ...]]) -> None:
        page.histogram("duplexer_connection_seconds", "How long connections last.", self._lifetimes)
        page.histogram("duplexer_ping_seconds", "From a Ping of ours to its Pong.", self._pings)
        at_once = max(0, totals["messages", "sent"] - self._late.count)
        page.histogram(
            "duplexer_send_delay_seconds",
            "How long messages waited for a peer that did not read.",
            self._late,
            at_once,
        )
        page.histogram(
            "duplexer_message_seconds", "Handling of a message by dispatch().", self._handled
        )
        page.histogram("duplexer_loop_lag_seconds", "Lateness of the event loop.", self._lag)


class _Gathering:
    """The numbers of all workers: to be awaited in the event loop, or forgotten."""

    def __init__(self, labels: Mapping[str, str], page: str, others: Others) -> None:
        self._labels = {name: text for name, text in labels.items() if name != "worker"}
        self._page = page
        self._others = others

    def __await__(self) -> Generator[Any, Any, Response]:
        return self._gather().__await__()

    async def _gather(self) -> Response:
        pages, silent = await self._others()
        about = Page(self._labels)
        about.family(
            "duplexer_workers",
            "gauge",
            "Worker processes, by whether they gave their numbers in time.",
            [({"answered": "yes"}, 1 + len(pages)), ({"answered": "no"}, silent)],
        )
        return _response(together([str(about), self._page, *pages]))


def _response(page: str) -> Response:
    headers = Headers([("Cache-Control", "no-store")])
    return make_response(200, page.encode(), CONTENT_TYPE, headers)


def metrics_among(observer: Observer | None) -> Iterator[Metrics]:
    """Those among what a server was given as its ``observer``."""
    for each in observer.observers if isinstance(observer, Observers) else (observer,):
        if isinstance(each, Metrics):
            yield each


class _Timing:
    """The handling of one message."""

    __slots__ = ("_metrics", "_since")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._since = 0.0

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._metrics.handled(time.perf_counter() - self._since)


def _counts(connection: Any) -> dict[tuple[str, ...], int]:
    """What a connection has counted, by what it is."""
    traffic = connection.traffic
    counts: dict[tuple[str, ...], int] = {
        ("messages", "received"): traffic.messages_received,
        ("messages", "sent"): traffic.messages_sent,
        ("bytes", "received"): traffic.bytes_received,
        ("bytes", "sent"): traffic.bytes_sent,
    }
    queue = connection.backlog
    if queue is not None:
        for why in ("dropped", "conflated", "lost"):
            counts["unsent", why] = getattr(queue, why)
    for extension in connection.session.extensions:
        volume = getattr(extension, "volume", None)
        if volume is not None:
            for key, n in volume().items():
                counts[("deflate", *key)] = counts.get(("deflate", *key), 0) + n
    return counts


def _who_closed(session: Session) -> tuple[str, str]:
    # Codes of the peer's own choice are not counted apart: there are two thousand of them.
    sent, rcvd = session.close_sent, session.close_rcvd
    if rcvd is not None and session.rcvd_then_sent is not False:
        return "peer", str(rcvd.code) if rcvd.code < 3000 else f"{rcvd.code // 1000}xxx"
    if sent is not None:
        return "us", str(sent.code)
    return "nobody", "1006"


def _about_traffic(page: Page, totals: Counter[tuple[str, ...]]) -> None:
    for what in ("messages", "bytes"):
        page.family(
            f"duplexer_{what}_total",
            "counter",
            "Whole messages." if what == "messages" else "On the wire, below TLS.",
            _of(totals, (what,), "direction", ("received", "sent")),
        )
    page.family(
        "duplexer_unsent_messages_total",
        "counter",
        "Messages that left a send queue in another way than to the peer.",
        _of(totals, ("unsent",), "why", ("dropped", "conflated", "lost")),
    )
    ways = ("received", "sent")
    page.family(
        "duplexer_deflate_bytes_total",
        "counter",
        "What was compressed or inflated, by its form.",
        [
            ({"direction": way, "form": form}, totals["deflate", way, form])
            for way in ways
            for form in ("plain", "compressed")
        ],
    )
    page.family(
        "duplexer_compression_ratio",
        "gauge",
        "Compressed size by plain size, of all so far.",
        [
            (
                {"direction": way},
                totals["deflate", way, "compressed"] / totals["deflate", way, "plain"],
            )
            for way in ways
            if totals["deflate", way, "plain"]
        ],
    )


def _of(
    totals: Counter[tuple[str, ...]], what: tuple[str, ...], label: str, values: tuple[str, ...]
) -> Iterator[tuple[Mapping[str, str], float]]:
    for value in values:
        yield {label: value}, totals[(*what, value)]
