"""Extensions and subprotocols by themselves; both roles' tests go through all of it."""

from __future__ import annotations

import pytest

from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import InvalidHeader, InvalidHeaderFormat, NegotiationError
from duplexer.handshake.negotiate import (
    Agreement,
    accept_extensions,
    check_extensions,
    check_subprotocol,
    offer_extensions,
    read_subprotocols,
    select_subprotocol,
)
from duplexer.http.headers import Headers
from duplexer.http.messages import Response


def test_agreement_is_frozen() -> None:
    agreement = Agreement(Response(101, "", Headers()), None, (), RFC6455)
    with pytest.raises(AttributeError):
        agreement.subprotocol = "a"  # type: ignore[misc]


def test_nothing_to_accept() -> None:
    assert accept_extensions("foo; bar=1", ()) == ("", ())
    with pytest.raises(InvalidHeaderFormat):
        accept_extensions("foo; bar=", ())


def test_nothing_to_offer() -> None:
    assert offer_extensions(()) == ""
    with pytest.raises(NegotiationError):
        check_extensions("foo", ())


def test_read_subprotocols() -> None:
    assert read_subprotocols("a, b") == ["a", "b"]
    assert read_subprotocols(["a", "b, c"]) == ["a", "b", "c"]
    with pytest.raises(InvalidHeader, match="duplicate in a, b, a"):
        read_subprotocols(["a, b", "a"])


def test_select_subprotocol() -> None:
    assert select_subprotocol(["a"], None, None) is None
    assert select_subprotocol(["a"], [], None) is None
    assert select_subprotocol(["a", "b"], ["b", "a"], None) == "b"
    with pytest.raises(NegotiationError, match="no common subprotocol; expected one of b, c"):
        select_subprotocol(["a"], ["b", "c"], None)
    with pytest.raises(NegotiationError, match="missing subprotocol"):
        select_subprotocol([], ["b"], None)
    assert select_subprotocol(["a"], ["b"], lambda offers: None) is None


def test_check_subprotocol() -> None:
    assert check_subprotocol(None, ["a"]) is None
    assert check_subprotocol("a", ["a"]) == "a"
    with pytest.raises(NegotiationError):
        check_subprotocol("b", ["a"])
