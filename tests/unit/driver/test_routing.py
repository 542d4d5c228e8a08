from __future__ import annotations

import sys
from typing import Any

import pytest
from werkzeug.routing import Map, Rule

from duplexer.driver.routing import Router, routed
from duplexer.http.headers import Headers
from duplexer.http.messages import Request, make_response


class Connection:
    handler: Any = None
    handler_kwargs: Any = None

    def respond(self, status, text):
        return make_response(status, text.encode())


def one(connection, **kwargs):
    return ("one", kwargs)


def a_map():
    return Map(
        [
            Rule("/one/<name>", endpoint=one),
            Rule("/old", redirect_to="/one/new"),
            Rule("/slash/", endpoint=one),
        ]
    )


def ask(path, router=None):
    connection = Connection()
    request = Request(path, Headers({"Host": "example.com:8000"}))
    router = router or Router(a_map())
    return connection, router.route_request(connection, request), router


def test_the_handler_gets_what_the_path_has():
    connection, response, router = ask("/one/x?y=1")
    assert response is None
    assert router.handler(connection) == ("one", {"name": "x"})


def test_what_the_map_does_not_have():
    assert ask("/two")[1].status_code == 404


def test_a_target_is_a_path_and_no_url():
    assert ask("//[")[1].status_code == 404
    # Whoever guards /one/ before us does not see it in this.
    connection, response, _ = ask("//example.com/one/x")
    assert connection.handler is None
    assert response.status_code in (302, 404)


@pytest.mark.parametrize("host", ["a..b", "a" * 64])
def test_a_host_that_no_name_can_be(host):
    request = Request("/one/x", Headers({"Host": host}))
    assert Router(a_map()).route_request(Connection(), request).status_code == 400


def test_a_request_without_host():
    request = Request("/one/x", Headers(), version="HTTP/1.0")
    assert Router(a_map()).route_request(Connection(), request) is None


@pytest.mark.parametrize("path", ["/old", "/slash"])
def test_redirects_say_where(path):
    response = ask(path)[1]
    assert response.status_code == 302
    assert response.headers["Location"].startswith("ws://example.com:8000/")


def test_a_router_may_be_called_otherwise_and_behind_tls():
    response = ask("/slash", Router(a_map(), "public.example", "wss"))[1]
    assert response.headers["Location"] == "wss://public.example/slash/"


def serve(handler, *args, **kwargs):
    return handler, args, kwargs


def request():
    return Request("/one/x", Headers({"Host": "h"}))


def test_routed_serves_with_the_handlers_of_the_map():
    handler, args, kwargs = routed(serve, a_map(), "localhost", 8765, max_size=1)
    assert args == ("localhost", 8765)
    assert kwargs.pop("max_size") == 1
    connection = Connection()
    assert kwargs["process_request"](connection, request()) is None
    assert handler(connection) == ("one", {"name": "x"})
    assert kwargs["ssl"] is None


def test_who_is_asked_first_may_answer():
    refusal = make_response(403, b"no")
    for answer, wanted in ((refusal, refusal), (None, None)):
        _, _, kwargs = routed(serve, a_map(), process_request=lambda c, r, a=answer: a, ssl=True)
        assert kwargs["ssl"] is None
        connection = Connection()
        assert kwargs["process_request"](connection, request()) is wanted
        assert (connection.handler is None) == (answer is refusal)


async def test_who_is_asked_first_may_be_a_coroutine():
    refusal = make_response(403, b"no")
    for answer, wanted in ((refusal, refusal), (None, None)):

        async def process_request(connection, request, answer=answer):
            return answer

        _, _, kwargs = routed(serve, a_map(), process_request=process_request)
        connection = Connection()
        assert await kwargs["process_request"](connection, request()) is wanted
        assert (connection.handler is None) == (answer is refusal)


def test_another_router():
    class Mine(Router):
        def not_found(self, connection):
            return connection.respond(410, "gone")

    _, _, kwargs = routed(serve, a_map(), create_router=Mine)
    answer = kwargs["process_request"](Connection(), Request("/no", Headers({"Host": "h"})))
    assert answer.status_code == 410


def test_without_werkzeug_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "werkzeug.routing", None)
    with pytest.raises(ImportError, match=r"duplexer\[router\]"):
        routed(serve, None)
