"""The arguments that ``serve`` of every front understands."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from duplexer.asyncio.server import serve
from duplexer.driver.serving import ServeBase
from duplexer.limits import Limits


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
