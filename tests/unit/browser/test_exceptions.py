"""DOMException and WebSocketError."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from duplexer.browser.exceptions import (
    DOMException,
    WebSocketError,
    check_close,
)
from duplexer.errors import WebSocketException


def test_name_message_and_code() -> None:
    exc = DOMException("no", "SyntaxError")
    assert (exc.name, exc.message, exc.code) == ("SyntaxError", "no", DOMException.SYNTAX_ERR)
    assert str(exc) == "SyntaxError: no"
    assert isinstance(exc, WebSocketException)


def test_defaults() -> None:
    exc = DOMException()
    assert (exc.name, exc.message, exc.code, str(exc)) == ("Error", "", 0, "Error")


@pytest.mark.parametrize(
    ("init", "keywords", "wanted"),
    [
        (None, {}, (None, "")),
        ({"closeCode": 3000}, {}, (3000, "")),
        ({"reason": "r"}, {}, (1000, "r")),
        ({"closeCode": 4000, "reason": "r"}, {}, (4000, "r")),
        (None, {"closeCode": 4000, "reason": "r"}, (4000, "r")),
    ],
)
def test_websocket_error(init: Any, keywords: Any, wanted: Any) -> None:
    exc = WebSocketError("m", init, **keywords)
    assert (exc.closeCode, exc.reason) == wanted
    assert (exc.name, exc.message, exc.code) == ("WebSocketError", "m", 0)


def test_errors_can_be_copied_and_pickled() -> None:
    for exc in (DOMException("m", "AbortError"), WebSocketError.received("m", 1006, "r")):
        for again in (copy.copy(exc), pickle.loads(pickle.dumps(exc))):
            assert again.name == exc.name
            assert vars(again) == vars(exc)


@pytest.mark.parametrize("code", [0, 999, 1001, 1005, 1006, 1015, 2999, 5000, 65536, -5, True])
def test_codes_that_must_not_be_sent(code: int) -> None:
    with pytest.raises(DOMException, match="1000 or from 3000 to 4999") as caught:
        check_close(code, None)
    assert caught.value.name == "InvalidAccessError"


@pytest.mark.parametrize("code", [1000, 3000, 4999, 2999.5])
def test_codes_that_may_be_sent(code: float) -> None:
    assert check_close(code, None) == (round(code), "")


def test_reasons() -> None:
    assert check_close(None, "é" * 61) == (1000, "é" * 61)
    assert check_close(None, "") == (None, "")
    assert check_close(3000, "\ud800") == (3000, "\ufffd")
    with pytest.raises(DOMException, match="not 124") as caught:
        check_close(1000, "é" * 62)
    assert caught.value.name == "SyntaxError"


def test_what_is_no_number_and_no_text() -> None:
    with pytest.raises(TypeError, match="must be a number, not str"):
        check_close("1000", None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be str, not int"):
        check_close(1000, 5)  # type: ignore[arg-type]


def test_the_code_is_looked_at_first() -> None:
    with pytest.raises(DOMException) as caught:
        check_close(1, "x" * 200)
    assert caught.value.name == "InvalidAccessError"
