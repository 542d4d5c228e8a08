"""Every bound: on sizes, counts and times. Nothing grows without one of these.

``None`` means "no bound" and has to be written out; zero and negative numbers are refused.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

__all__ = ["DEFAULT_LIMITS", "Limits"]

KiB = 1024
MiB = 1024 * 1024

#: Fields where ``None`` makes sense.
_OPTIONAL = frozenset(
    {
        "max_message",
        "max_frame",
        "open_timeout",
        "happy_eyeballs_delay",
        "max_connecting",
        "close_timeout",
        "handler_timeout",
        "ping_interval",
        "ping_timeout",
        "message_timeout",
        "send_timeout",
        "write_unsent",
        "queue_messages",
        "control_rate",
        "max_connections",
        "max_opening",
        "max_opening_per_address",
        "max_incomplete",
        "max_per_address",
        "handshake_rate",
        "failure_rate",
        "message_rate",
        "address_message_rate",
        "address_control_rate",
        "inflate_ratio",
        "worker_start_timeout",
    }
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one connection, or of all connections of one server.

    Sizes are in bytes, times in seconds. The default of each comes from what real servers use and
    from attacks that were seen; the comment says which.
    """

    # -- the opening handshake -----------------------------------------------------------------
    open_timeout: float | None = 10.0  #: from accept (or dial) to 101, TLS and proxy included
    happy_eyeballs_delay: float | None = 0.25  #: before the next address (RFC 8305)
    max_connecting: int | None = 1  #: at a time to an address, but for 127.0.0.1 (RFC 6455 4.1)
    max_preamble: int = 4 * KiB  #: of the PROXY protocol, extras included; beyond: closed
    max_request_line: int = 8 * KiB  #: as nginx, aiohttp and Apache; beyond: 414
    max_header_line: int = 8 * KiB  #: as nginx, aiohttp and Apache; beyond: 431
    max_header_bytes: int = 16 * KiB  #: all header lines together, as node; beyond: 431
    max_headers: int = 100  #: as uWebSockets and Apache; beyond: 431
    max_body: int = 1 * MiB  #: of a plain HTTP request on the same port; beyond: 413
    max_ahead: int = 1 * MiB  #: of requests that came before the last was answered; beyond: closed
    max_error_body: int = 64 * KiB  #: kept of a refusal's body, on the client
    max_pac: int = 1 * MiB  #: of a PAC file, which chooses a proxy; as Chromium
    keep_alive_timeout: float = 30.0  #: between two plain HTTP requests on one connection
    first_message: int = 8 * KiB  #: where that is to have a token (``Bearer``); beyond: 1009
    first_message_timeout: float = 10.0  #: the same, from the 101 on; then: 3008
    ticket_lifetime: float = 30.0  #: of ``Tickets``: from a page to its WebSocket
    max_tickets: int = 10_000  #: of ``Tickets`` that nobody used yet; beyond: the oldest go

    # -- receiving -------------------------------------------------------------------------------
    max_message: int | None = 1 * MiB  #: after decompression; beyond: 1009. As websockets
    max_frame: int | None = None  #: one frame's payload; ``None``: as ``max_message``
    max_fragments: int = 1024  #: fragments of a message whatever its size; beyond: 1008 ...
    bytes_per_fragment: int = 64  #: ... and one more for each so many bytes (CVE-2026-48779)
    message_timeout: float | None = 60.0  #: from the first fragment to the last
    queue_messages: int | None = 16  #: messages waiting for ``recv()`` before reading pauses
    queue_bytes: int = 256 * KiB  #: the same in bytes ...
    queue_overhead: int = 128  #: ... where each message counts for its size plus this
    control_burst: int = 100  #: control frames in a burst; beyond: 1008
    control_rate: float | None = 20.0  #: ... and a second, in the long run
    message_rate: float | None = None  #: messages a second, in the long run ...
    message_burst: int = 200  #: ... and at once; beyond: 1008
    inflate_ratio: float | None = None  #: of decompression above 1 MiB; ``None``: size alone
    frames_per_turn: int = 256  #: of one connection, or plain requests; then the others

    # -- sending ---------------------------------------------------------------------------------
    write_high: int = 64 * KiB  #: buffered bytes above which ``send()`` waits
    write_unsent: int | None = 128 * KiB  #: the same in the kernel, which takes MiB if ``None``
    write_hard: int = 1 * MiB  #: ... above which what cannot wait fails: broadcasts, pongs
    send_timeout: float | None = 30.0  #: without a byte leaving, then the connection is aborted
    send_queue_messages: int = 1024  #: waiting in a ``SendQueue``, then its ``on_full`` ...
    send_queue_bytes: int = 1 * MiB  #: ... or as soon as there are so many bytes
    deflate_min: int = 128  #: shorter messages are sent uncompressed
    deflate_idle: float = 5.0  #: after which compression contexts are given back
    unacknowledged_bytes: int = 64 * MiB  #: kept with ``keep_unacknowledged``, then BufferError

    # -- staying and leaving ---------------------------------------------------------------------
    ping_interval: float | None = 20.0  #: below the 60 s after which nginx cuts an idle tunnel
    ping_timeout: float | None = 20.0  #: without a byte from the peer after a ping
    ping_jitter: float = 0.1  #: as a part of ``ping_interval``, so that pings do not align
    max_pings: int = 16  #: unanswered at a time; older ones are forgotten
    close_timeout: float | None = 5.0  #: from our Close to the end, then the connection is aborted
    handler_timeout: float | None = 10.0  #: to end when the server closes; then it is cancelled
    drain_rate: float = 100.0  #: connections a second that ``drain()`` closes by itself ...
    drain_time: float = 10.0  #: ... or as many as have to be to need no more seconds than this

    # -- one address (of IPv6, a /64) ------------------------------------------------------------
    max_per_address: int | None = None  #: connections; beyond: closed at once, before TLS
    max_opening_per_address: int | None = None  #: of these, not opened yet; beyond: the same
    handshake_rate: float | None = None  #: handshakes a second, in the long run ...
    handshake_burst: int = 50  #: ... and at once; beyond: 429
    failure_rate: float | None = None  #: answers 401 and 403 a second, in the long run ...
    failure_burst: int = 20  #: ... and at once, with those being looked at; beyond: 429
    address_message_rate: float | None = None  #: messages a second, of all connections together ...
    address_message_burst: int = 1000  #: ... and at once; beyond: 1008
    address_control_rate: float | None = None  #: the same of control frames ...
    address_control_burst: int = 500  #: ... and at once; beyond: 1008
    max_addresses: int = 10_000  #: remembered for these rates; then the longest silent is forgotten

    # -- the whole process -----------------------------------------------------------------------
    max_connections: int | None = None  #: of one server; beyond: 503
    max_opening: int | None = None  #: of these, not opened yet; beyond: closed at once, before TLS
    max_incomplete: int | None = None  #: bytes of unfinished messages, of one server; beyond: 1013
    max_threads: int = 1000  #: of one server of ``duplexer.sync``; a tenth is for telling 503
    backlog: int = 1024  #: connections that the kernel may hold before we accept them
    refusal_log_rate: float = 1.0  #: lines a second about handshakes that were refused ...
    refusal_log_burst: int = 20  #: ... and at once; of the rest, the next line tells the number
    log_lines: int = 10_000  #: of ``duplexer serve`` that nobody reads; beyond: dropped, counted
    log_flush_timeout: float = 2.0  #: for these to be read when it ends

    # -- several worker processes ----------------------------------------------------------------
    max_groups: int = 1000  #: that one connection may be in
    bus_queue: int = 8 * MiB  #: bytes of broadcasts waiting for another worker; beyond: dropped
    bus_message: int = 16 * MiB  #: of one broadcast to other workers; beyond: ValueError
    bus_timeout: float = 2.0  #: for other workers to give their metrics; then left out of a scrape
    worker_start_timeout: float | None = 120.0  #: until a worker serves; then it is killed
    worker_stop_timeout: float = 5.0  #: to end after all its connections' times; then it is killed
    worker_backoff: float = 0.5  #: before a worker that crashed again is replaced; doubles ...
    worker_backoff_max: float = 30.0  #: ... up to this ...
    worker_steady: float = 10.0  #: ... until one has lived so long

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None:
                if field.name in _OPTIONAL:
                    continue
                raise TypeError(f"{field.name} must be a number, not None")
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{field.name} must be a number, not {type(value).__name__}")
            if isinstance(value, float) and "float" not in str(field.type):
                raise TypeError(f"{field.name} must be an int, not {value}")
            if math.isnan(value):
                raise ValueError(f"{field.name} must be a number, not nan")
            if value <= 0 and not (value == 0 and field.name in ("deflate_min", "ping_jitter")):
                raise ValueError(
                    f"{field.name} must be positive, not {value}"
                    + ("; use None for no bound" if field.name in _OPTIONAL else "")
                )

        if self.ping_jitter >= 1:
            raise ValueError(f"ping_jitter must be less than 1, not {self.ping_jitter}")

    def replace(self, **changes: Any) -> Limits:
        """A copy with some bounds changed."""
        return dataclasses.replace(self, **changes)


#: What ``connect`` and ``serve`` use unless they are given something else.
DEFAULT_LIMITS = Limits()
