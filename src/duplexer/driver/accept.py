"""The steps of a server's opening handshake, and of plain HTTP on the same port."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from duplexer.carriers.dates import http_date
from duplexer.carriers.h1 import ServerCarrier
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.driver.admission import authenticate, prepare
from duplexer.driver.handling import log_refusal
from duplexer.driver.steps import Call, Overdue, Read, Write
from duplexer.errors import HttpError
from duplexer.handshake.server import ServerOptions, accept, refuse
from duplexer.http.h1 import RequestReader
from duplexer.http.headers import shown
from duplexer.http.messages import Response, is_upgrade
from duplexer.limits import DEFAULT_LIMITS, Limits
from duplexer.policy.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from duplexer.carriers.routes import Routes
    from duplexer.core.dialect import Dialect
    from duplexer.core.staying import Staying
    from duplexer.driver.observing import Observer
    from duplexer.driver.sendqueue import SendQueue
    from duplexer.driver.steps import Step, Steps
    from duplexer.handshake.negotiate import Agreement
    from duplexer.http.messages import Request
    from duplexer.policy.authentication import Presented, Scheme
    from duplexer.policy.forwarded import TrustedProxies
    from duplexer.policy.networks import Networks
    from duplexer.policy.router import Route, Router

__all__ = ["Opener", "Serving", "open_server"]

#: What a 503 says beside: when to try again.
_LATER = [("Retry-After", "5")]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a server does with the requests that come in."""

    options: ServerOptions
    limits: Limits = DEFAULT_LIMITS
    dialects: Sequence[Dialect] = (RFC6455,)
    routes: Routes | None = None
    #: (connection, request) → a response in place of a WebSocket, or ``None``
    process_request: Callable[..., Any] | None = None
    #: (connection, request, response) → another response, or ``None``
    process_response: Callable[..., Any] | None = None
    #: (connection, offered) → the subprotocol, or ``None``
    select_subprotocol: Callable[..., Any] | None = None
    staying: Staying | None = None
    send_queue: SendQueue | None = None
    observer: Observer | None = None
    #: whose word on a client is believed: in headers ...
    trusted: TrustedProxies | None = None
    #: ... and in the PROXY protocol
    introducers: Networks | None = None
    #: what is remembered of those who come; by default a new one, for these limits
    guard: Guard = None  # type: ignore[assignment]  # never is

    def __post_init__(self) -> None:
        if self.guard is None:
            headers = None if self.trusted is None else self.trusted.networks
            proxies = [one for one in (headers, self.introducers) if one is not None]
            object.__setattr__(self, "guard", Guard(self.limits, proxies))
        if self.observer is not None:
            self.observer.serves(self.guard)

    #: who asks clients who they are, before the 101
    scheme: Scheme | None = None
    #: what finds the handler, and for each of its routes what is to be done there
    router: Router | None = None
    places: Mapping[Route, Serving] = dataclasses.field(default_factory=dict)

    @property
    def is_simple(self) -> bool:
        """Whether a route has nobody else to ask."""
        return self.scheme is None and self.select_subprotocol is None

    def place(self, connection: Any, request: Request) -> Serving | None:
        """What is to be done where ``request`` wants a WebSocket; ``None`` if there is none."""
        if self.router is None:
            return self
        match = self.router.find(request.path)
        if match is None:
            return None
        connection.route, connection.path_parameters = match
        return self.places[match.route]


class Opener:
    """The usual opening on a server, in one call: one read brings a request that is agreed to.

    It knows nothing by itself: what is not simply agreed to, or where a hook has a say, is left to
    ``open_server``, which begins anew with the same bytes.
    """

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self._reader = RequestReader(serving.limits)  # for all connections: it is between requests
        self._applies = (
            serving.process_request is None
            and serving.process_response is None
            and serving.select_subprotocol is None
            and serving.scheme is None
            and not serving.guard.asks
        )
        self._is_routed = serving.router is not None

    def open(self, connection: Any, data: bytes, secure: bool) -> tuple[Agreement, bytes] | None:
        """What ``open_server`` ends in if ``data`` is all that it reads; ``None`` to let it run.

        The response in the agreement is to be written. Unless there is an agreement nothing has
        been done.
        """
        if not self._applies:
            return None
        serving, reader = self.serving, self._reader
        try:
            request = reader.feed(data)
            if request is not None and is_upgrade(request):
                if serving.trusted is not None:
                    _believe(connection, serving, request, strikes=False)
                if self._is_routed:
                    place = serving.place(connection, request)
                    if place is None or not place.is_simple:
                        raise LookupError(request.path)
                    agreement = _accept(connection, place, request, secure)
                    connection.use_limits(place.limits)
                else:
                    agreement = _accept(connection, serving, request, secure)
                connection.request = request
                _equip(connection, serving)
                return agreement, data[reader.stop :]
        except Exception:  # noqa: BLE001, S110 - open_server meets it again, and deals with it
            pass
        self._reader = RequestReader(serving.limits)
        return None


def open_server(connection: Any, serving: Serving, *, secure: bool) -> Steps:
    """Answer requests until one becomes a WebSocket.

    Ends in the agreement and the first bytes after the request, or in ``None`` when the connection
    is to be closed. ``connection`` gets the ``request``, and says whether it ``is_full``.
    """
    carrier = ServerCarrier(
        serving.limits,
        serving.routes,
        secure=secure,
        server_header=serving.options.server_header,
        allowed_hosts=serving.options.allowed_hosts,
    )
    while not carrier.closing:
        try:
            request = yield from _read_request(connection, serving, carrier)
            if request is None:
                return None
            agreement = yield from _answer(connection, serving, carrier, request)
        except HttpError as error:
            serving.guard.refused(error)
            _refused(connection, serving, error.status, error.text)
            yield Write(carrier.refuse(error, date=http_date(time.time())))
        except Overdue:
            serving.guard.strike("open_timeout")
            _refused(connection, serving, 503, "a hook did not end in time (open_timeout)")
            late = HttpError(503, "the server could not decide in time; try again later", _LATER)
            yield Write(carrier.refuse(late, date=http_date(time.time())))
        except Exception:  # the user's code failed: the client hears no more than that
            failure = HttpError(500, "the server failed; its log says more")
            yield Write(carrier.refuse(failure, date=http_date(time.time())))
            raise
        else:
            if agreement is not None:
                return agreement, carrier.take_rest()
    return None


def _read_request(
    connection: Any, serving: Serving, carrier: ServerCarrier
) -> Generator[Step, Any, Request | None]:
    request = carrier.next_request()
    while request is None:
        if carrier.closing:
            return None
        interim = carrier.interim()
        if interim:
            yield Write(interim)
        idle = connection.request is not None and not carrier.started  # it was kept alive for more
        try:
            data = yield Read(carrier.timeout, carrier.stage, idle=idle)
        except TimeoutError:
            if not idle:
                serving.guard.strike("open_timeout")
                _refused(connection, serving, 408, "the request did not come in time")
            answer = carrier.expire(date=http_date(time.time()))
            if answer:
                yield Write(answer)
            return None
        if not data:
            return None
        request = carrier.receive(data)
    return request


def _answer(
    connection: Any, serving: Serving, carrier: ServerCarrier, request: Request
) -> Generator[Step, Any, Agreement | None]:
    wants_socket = is_upgrade(request)
    place = serving.place(connection, request) if wants_socket else serving
    presented: Presented | None = None
    if wants_socket and place is not None and place.scheme is not None:
        # What is secret is taken out before hooks, handlers and logs see it.
        presented = place.scheme.read(request)
        request = presented.request
    connection.request = request
    if serving.trusted is not None:
        _believe(connection, serving, request)
    if not wants_socket:
        serving.guard.opened(connection)  # between requests it has a time of its own
        return _answer_plainly(connection, serving, carrier)
    steps = _decide(connection, serving, place, carrier, presented)
    if not serving.guard.asks:
        return steps
    serving.guard.check(connection.client.address, time.monotonic())
    return _counted(connection, serving.guard, steps)


def _counted(
    connection: Any, guard: Guard, steps: Generator[Step, Any, Agreement | None]
) -> Generator[Step, Any, Agreement | None]:
    """``steps``; whether they fail to let somebody in is told to ``guard``."""
    address = connection.client.address
    status: int | None = None
    try:
        return (yield from steps)
    except HttpError as error:
        status = error.status
        raise
    finally:
        if connection.response is not None:  # else the client has left before, or a hook failed
            status = connection.response.status_code
        guard.answered(address, status, time.monotonic())


def _decide(
    connection: Any,
    serving: Serving,
    place: Serving | None,
    carrier: ServerCarrier,
    presented: Presented | None,
) -> Generator[Step, Any, Agreement | None]:
    """What becomes of a request for a WebSocket."""
    request: Request = connection.request
    response: Response | None = None
    if serving.process_request is not None:
        response = yield Call(serving.process_request, (connection, request), in_time=True)
        _check_response(response)
    agreement: Agreement | None = None
    why = ""
    if response is None:
        try:
            if place is None:
                raise _nowhere(request, carrier)
            agreement = _accept(connection, place, request, carrier.secure, presented)
            response = agreement.response
        except HttpError as error:
            serving.guard.refused(error)
            why = error.text
            response = refuse(error, serving.options.server_header)
        else:
            if presented is not None:
                refused = yield from authenticate(connection, place, presented)
                if refused is not None:
                    agreement, response = None, refused
    return (yield from _conclude(connection, serving, place, carrier, agreement, response, why))


def _answer_plainly(
    connection: Any, serving: Serving, carrier: ServerCarrier
) -> Generator[Step, Any, None]:
    """Answer a request of plain HTTP."""
    request: Request = connection.request
    response: Response | None = None
    if serving.process_request is not None:
        response = yield Call(serving.process_request, (connection, request))
        _check_response(response)
    if response is None:
        response = yield from _page(serving, carrier, request)
    if serving.observer is not None:
        serving.observer.answered(connection, request, response.status_code)
    yield Write(carrier.respond(request, response, date=http_date(time.time())))


def _check_response(response: Any) -> None:
    if response is not None and not isinstance(response, Response):
        raise TypeError(
            f"process_request must return a Response or None, not {type(response).__name__}"
        )


def _page(
    serving: Serving, carrier: ServerCarrier, request: Request
) -> Generator[Step, Any, Response]:
    """The answer of plain HTTP."""
    router = serving.router
    if router is not None and not carrier.routes.has(request) and not router.find(request.path):
        raise HttpError(404, f"There is nothing at {shown(request.path.partition('?')[0])}.")
    target = carrier.target(request)
    response: Any = yield Call(target.call, (request,), target.blocking)
    if not isinstance(response, Response):
        raise TypeError(
            f"what answers {request.path} must return a Response, not {type(response).__name__}"
        )
    return response


def _nowhere(request: Request, carrier: ServerCarrier) -> HttpError:
    path = shown(request.path.partition("?")[0])
    if carrier.routes.has(request):
        return HttpError(404, f"What is at {path} is plain HTTP, and no WebSocket.")
    return HttpError(404, f"There is no WebSocket at {path}: no route of the server matches it.")


def _conclude(
    connection: Any,
    serving: Serving,
    place: Serving | None,
    carrier: ServerCarrier,
    agreement: Agreement | None,
    response: Response,
    why: str,
) -> Generator[Step, Any, Agreement | None]:
    """Answer a handshake."""
    request: Request = connection.request
    if serving.process_response is not None:
        asked = (connection, request, response)
        changed = yield Call(serving.process_response, asked, in_time=True)
        if changed is not None:
            response = changed
            if agreement is not None:
                agreement = agreement._replace(response=response)
    connection.response = response
    if agreement is not None and response.status_code == 101:
        if not connection.is_full():  # it may have become so while a hook was awaited
            if place is not None and place is not serving:
                connection.use_limits(place.limits)
            _equip(connection, serving)
            if place is not None and place.scheme is not None:
                prepare(connection)
            yield Write(response.serialize())
            return agreement
        full = _full(connection, serving)
        serving.guard.refused(full)
        response = connection.response = refuse(full, serving.options.server_header)
    _refused(connection, serving, response.status_code, why or response.reason_phrase)
    yield Write(carrier.respond(request, response, date=http_date(time.time())))
    return None


def _believe(connection: Any, serving: Serving, request: Request, *, strikes: bool = True) -> None:
    # Anew for each request: a proxy may use one connection for several clients.
    assert serving.trusted is not None
    peer = connection.introduced or connection.remote_address
    connection.client = serving.trusted.client(peer, request.headers)
    serving.guard.identify(connection, connection.client.address, strikes=strikes)


def _refused(connection: Any, serving: Serving, status: int, why: str) -> None:
    if serving.observer is not None:
        serving.observer.refused(connection, connection.request, status)
    log_refusal(connection, serving.guard, status, why)


def _accept(
    connection: Any,
    serving: Serving,
    request: Request,
    secure: bool,
    presented: Presented | None = None,
) -> Agreement:
    if connection.is_full():
        raise _full(connection, serving)
    options = serving.options
    host = None
    if serving.trusted is not None:
        client = connection.client
        secure, host = secure if client.secure is None else client.secure, client.host
    if serving.select_subprotocol is not None or presented is not None:
        options = _options(connection, serving, presented)
    return accept(request, options, secure=secure, dialects=serving.dialects, host=host)


def _equip(connection: Any, serving: Serving) -> None:
    connection.staying = serving.staying
    connection.observer = serving.observer
    if serving.send_queue is not None:
        connection.send_queue = serving.send_queue


def _options(connection: Any, serving: Serving, presented: Presented | None) -> ServerOptions:
    options, select = serving.options, serving.select_subprotocol
    # A browser that offers any has to be told one: at least the name that its token came after.
    name = None if presented is None else presented.subprotocol

    def choose(offers: Sequence[str]) -> str | None:
        assert select is not None
        if name is not None:
            offers = [offer for offer in offers if offer != name]
        choice: str | None = select(connection, offers)
        return choice or name

    if select is not None:
        return dataclasses.replace(options, select_subprotocol=choose)
    if name is not None and not options.subprotocols:
        return dataclasses.replace(options, subprotocols=[name])
    return options


def _full(connection: Any, serving: Serving) -> HttpError:
    text = "this server takes no more connections; try again later"
    bound = None
    if not connection.is_left():
        limits = serving.guard.limits
        bound = "max_threads" if limits.max_connections is None else "max_connections"
    return HttpError(503, text, _LATER, bound=bound)
