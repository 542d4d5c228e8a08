"""Arguments that all fronts understand alike."""

from __future__ import annotations

from typing import Any

import pytest

from duplexer.driver.options import UNSET, client_extensions, limits_from, server_extensions
from duplexer.extensions.deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from duplexer.limits import DEFAULT_LIMITS, Limits


@pytest.mark.parametrize(
    ("name", "value", "changed"),
    [
        ("open_timeout", 5, {"open_timeout": 5}),
        ("ping_interval", None, {"ping_interval": None}),
        ("ping_timeout", 1.5, {"ping_timeout": 1.5}),
        ("close_timeout", None, {"close_timeout": None}),
        ("max_size", 10, {"max_message": 10}),
        ("max_size", None, {"max_message": None}),
        ("max_size", (10, 5), {"max_message": 10, "max_frame": 5}),
        ("max_size", (None, None), {"max_message": None, "max_frame": None}),
        ("max_queue", 4, {"queue_messages": 4}),
        ("max_queue", (4, 1), {"queue_messages": 4}),
        ("max_queue", (None, None), {"queue_messages": None}),
        ("write_limit", 1000, {"write_high": 1000}),
        ("write_limit", (1000, None), {"write_high": 1000}),
    ],
)
def test_names_of_websockets(name: str, value: Any, changed: dict[str, Any]) -> None:
    assert limits_from(None, **{name: value}) == DEFAULT_LIMITS.replace(**changed)


def test_what_is_not_given_is_as_it_was() -> None:
    base = Limits(max_message=5)
    assert limits_from(base, max_size=UNSET, open_timeout=UNSET) is base
    assert limits_from(None) is DEFAULT_LIMITS
    assert limits_from(base, max_queue=7) == base.replace(queue_messages=7)
    assert repr(UNSET) == "<as in Limits>"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_size", 0),
        ("max_size", -1),
        ("max_queue", 0),
        ("open_timeout", 0),
        ("max_size", (1, 0)),
    ],
)
def test_bounds_that_are_none(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match="positive"):
        limits_from(None, **{name: value})


@pytest.mark.parametrize("value", ["1", True, [1], 1.5])
def test_what_is_no_bound(value: Any) -> None:
    with pytest.raises(TypeError):
        limits_from(None, max_size=value)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (server_extensions, ServerPerMessageDeflateFactory),
        (client_extensions, ClientPerMessageDeflateFactory),
    ],
)
def test_compression(make: Any, kind: type[Any]) -> None:
    (factory,) = make(None, "deflate", DEFAULT_LIMITS)
    assert isinstance(factory, kind)
    assert make(None, None, DEFAULT_LIMITS) == ()
    own = kind()
    assert make([own], "deflate", DEFAULT_LIMITS) == (own,)
    assert make([own], None, DEFAULT_LIMITS) == (own,)
    with pytest.raises(ValueError, match="unsupported compression: 'gzip'"):
        make(None, "gzip", DEFAULT_LIMITS)
