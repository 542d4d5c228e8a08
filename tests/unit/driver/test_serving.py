"""The arguments that ``serve`` of every front understands."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import pytest

from duplexer.asyncio.connection import Listener
from duplexer.asyncio.server import serve
from duplexer.driver.serving import ServeBase
from duplexer.handshake.server import ANY_ORIGIN, SAME_HOST
from duplexer.limits import Limits
from duplexer.policy.authentication import Scheme
from duplexer.policy.basic import Basic
from duplexer.policy.bearer import Bearer
from duplexer.policy.router import Router


def handler(ws: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"compression": "gzip"}, ValueError),
        ({"subprotocols": ["a b"]}, ValueError),
        ({"origins": [3]}, TypeError),
        ({"max_size": 0}, ValueError),
        ({"open_timeout": "1"}, TypeError),
        ({"colour": "red"}, TypeError),
    ],
)
def test_arguments_are_checked_before_anything_listens(kwargs: Any, error: Any) -> None:
    with pytest.raises(error):
        ServeBase(handler, "localhost", 0, **kwargs)


@pytest.mark.parametrize("front", ["asyncio", "sync", "trio"])
def test_workers_are_somewhere_else(front: str) -> None:
    cure = r"duplexer\.workers\.run\(serve\(\.\.\.\), workers=4\)"
    server = importlib.import_module(f"duplexer.{front}.server")
    for listen in server.serve, server.unix_serve:
        with pytest.raises(TypeError, match=cure):
            listen(handler, workers=4)


def test_what_follows_from_them() -> None:
    base = ServeBase(
        handler,
        "localhost",
        8765,
        subprotocols=["chat"],
        compression=None,
        limits=Limits(max_message=5),
        open_timeout=None,
        server_header=None,
        http={"/": handler},
    )
    assert base.handler is handler
    assert base.where == ("localhost", 8765)
    assert base.limits is base.serving.limits
    assert (base.limits.max_message, base.limits.open_timeout) == (5, None)
    assert base.serving.options.subprotocols == ["chat"]
    assert base.serving.options.extensions == ()
    assert base.serving.options.server_header is None
    assert base.serving.routes is not None
    assert base.logger.name == "duplexer.server"


def test_fronts_show_the_arguments() -> None:
    assert "process_request" in inspect.signature(serve).parameters


def in_a_thread(ws: Any, **parameters: Any) -> None:
    pass


async def in_a_task(ws: Any, **parameters: Any) -> None:
    pass


def test_routes_have_their_own() -> None:
    router = Router()
    limits = Limits(max_message=5)
    router.add("/a", in_a_task)
    router.add("/b", in_a_task, origins=ANY_ORIGIN, subprotocols=["b"], limits=limits)
    router.add("/c", in_a_task, authenticate=None, select_subprotocol=max)
    a, b, c = router
    bearer = Bearer({"token": "ada"})
    base = ServeBase(router, "localhost", 0, subprotocols=["chat"], authenticate=bearer)
    places = base.serving.places
    assert base.handler is router and base.serving.router is router
    assert places[a].scheme is places[b].scheme is bearer and places[c].scheme is None
    assert places[a].options is not None and places[a].options.subprotocols == ["chat"]
    assert (places[b].options.origins, places[b].options.subprotocols) == (ANY_ORIGIN, ["b"])
    assert places[b].limits is limits and places[a].limits is base.limits
    assert places[c].select_subprotocol is max and places[a].select_subprotocol is None
    assert len(places[b].options.extensions) == 1  # made for its limits


def test_a_mistake_in_a_route_names_it() -> None:
    router = Router()
    router.add("/a", in_a_task, origins=["*"])
    with pytest.raises(ValueError, match="ANY_ORIGIN") as caught:
        ServeBase(router, "localhost", 0)
    assert caught.value.__notes__ == ["This is about <Route /a>."]

    class Threads(ServeBase):
        IS_ASYNC = False

    router = Router()
    router.add("/a", in_a_task)
    with pytest.raises(TypeError, match="the handler of <Route /a> must be a function"):
        Threads(router, "localhost", 0)


AMBIENT = [Bearer({"token": "ada"}, via=["header", "cookie"]), Basic(("ada", "pass"))]


@pytest.mark.parametrize("scheme", AMBIENT)
@pytest.mark.parametrize(
    "origins",
    [
        None,
        ANY_ORIGIN,
        [SAME_HOST, re.compile(".*")],
        [re.compile(r"https?://[\w.:-]+")],
        [re.compile(r"http://.*")],
        ["https://example.com", "null"],  # which a frame of any page can be
    ],
)
def test_what_browsers_send_by_themselves_and_pages_of_any_site(
    origins: Any, scheme: Scheme
) -> None:
    with pytest.raises(ValueError, match="cookies"):
        ServeBase(handler, "localhost", 0, authenticate=scheme, origins=origins)
    ServeBase(handler, "localhost", 0, authenticate=Bearer({"token": "ada"}), origins=origins)
    router = Router()
    router.add("/a", in_a_task, origins=origins)
    with pytest.raises(ValueError, match="cookies"):
        ServeBase(router, "localhost", 0, authenticate=scheme)


@pytest.mark.parametrize("scheme", AMBIENT)
@pytest.mark.parametrize(
    "origins", [SAME_HOST, ["https://example.com", None], [re.compile(r"https://.*\.example\.com")]]
)
def test_what_browsers_send_by_themselves_and_pages_of_some_sites(
    origins: Any, scheme: Scheme
) -> None:
    ServeBase(handler, "localhost", 0, authenticate=scheme, origins=origins)


def test_a_first_message_is_for_functions() -> None:
    bearer = Bearer({"token": "ada"}, via="message")
    base = ServeBase(in_a_task, "localhost", 0, authenticate=bearer)
    assert base.handler is not in_a_task and inspect.iscoroutinefunction(base.handler)
    with pytest.raises(TypeError, match="a token via message needs a handler that is a function"):
        ServeBase(Listener, "localhost", 0, authenticate=bearer)
    with pytest.raises(TypeError, match="a token via message needs a handler that is a function"):
        ServeBase(Listener(), "localhost", 0, authenticate=bearer)
