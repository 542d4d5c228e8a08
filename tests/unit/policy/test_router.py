from __future__ import annotations

from types import SimpleNamespace

import pytest

from duplexer.limits import Limits
from duplexer.policy.router import INHERIT, Router


def found(router, path):
    match = router.find(path)
    return None if match is None else (match.route.pattern.text, match.parameters)


def handler(ws, **parameters):
    return ws, parameters


def router(*paths):
    router = Router()
    for path in paths:
        router.add(path, handler)
    return router


def test_a_path_leads_to_its_route():
    one = router("/", "/a", "/rooms/{room}", "/f/{rest:path}")
    assert found(one, "/") == ("/", {})
    assert found(one, "/a?b=/rooms/x") == ("/a", {})
    assert found(one, "/rooms/x") == ("/rooms/{room}", {"room": "x"})
    assert found(one, "/f/a/b") == ("/f/{rest:path}", {"rest": "a/b"})
    for nowhere in ("/b", "/a/", "//a", "/rooms", "*", "", "a", "http://h/a"):
        assert found(one, nowhere) is None


def test_the_most_exact_goes_first():
    one = router("/{any:path}", "/{x}", "/{n:int}", "/new", "/{a}/{b}")
    assert found(one, "/new") == ("/new", {})
    assert found(one, "/7") == ("/{x}", {"x": "7"})  # the first of the two
    assert found(one, "/7/8") == ("/{a}/{b}", {"a": "7", "b": "8"})
    assert found(one, "/7/8/9") == ("/{any:path}", {"any": "7/8/9"})


def test_the_handler_gets_the_parameters():
    one = router("/rooms/{room}")
    route, parameters = one.find("/rooms/x")
    ws = SimpleNamespace(route=route, path_parameters=parameters)
    assert one(ws) == (ws, {"room": "x"})


def test_a_decorator_gives_back_the_handler():
    one = Router()
    limits = Limits(max_message=1)

    @one.route("/a", subprotocols=["chat"], origins=None, authenticate=None, limits=limits)
    def a(ws):
        pass

    (route,) = one
    assert route.handler is a
    assert route.limits is limits
    assert route.given == {"subprotocols": ["chat"], "origins": None, "authenticate": None}
    assert repr(route) == "<Route /a>" and repr(one) == "<Router /a>"
    assert repr(INHERIT) == "<as given to serve>"


def test_what_is_wrong_is_said_at_once():
    one = router("/rooms/{room}")
    with pytest.raises(ValueError, match=r"'/rooms/{x:str}' is what '/rooms/{room}' is already"):
        one.add("/rooms/{x:str}", handler)
    with pytest.raises(TypeError, match="must be a function"):
        one.add("/b", "handler")
    with pytest.raises(TypeError, match="must be a function"):
        one.add("/b", Router)
    with pytest.raises(TypeError, match="must be Limits"):
        one.add("/b", handler, limits=5)
    with pytest.raises(ValueError, match="no routes"):
        Router().seal()
    one.seal()
    with pytest.raises(RuntimeError, match="too late"):
        one.add("/b", handler)
