"""The route that a load balancer asks."""

from __future__ import annotations

from duplexer.carriers.readiness import Readiness
from duplexer.carriers.routes import Routes
from duplexer.http.headers import Headers
from duplexer.http.messages import Request

ASK = Request("/readyz", Headers())


def test_until_it_leaves() -> None:
    ready = Readiness()
    answer = ready(ASK)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    ready.leave()
    answer = ready(ASK)
    assert (answer.status_code, answer.headers["Connection"]) == (503, "close")


def test_for_reasons_of_its_user() -> None:
    usable = False
    ready = Readiness(lambda: usable)
    assert ready(ASK).status_code == 503
    usable = True
    assert ready(ASK).status_code == 200
    ready.leave()
    assert ready(ASK).status_code == 503


def test_every_one_of_the_routes_is_told() -> None:
    first, second = Readiness(), Readiness()
    Routes({"/readyz": first, "/healthz": {"GET": lambda request: ASK}, "/up": second}).leave()
    assert first.leaving and second.leaving
