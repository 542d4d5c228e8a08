"""Every exception: the tree, what it says, and that it survives a process boundary."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

from duplexer import errors
from duplexer.errors import (
    RULES,
    Close,
    CloseCode,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ProtocolError,
    WebSocketException,
    close_code_is_sendable,
)
from duplexer.http.headers import Headers
from duplexer.http.messages import Response
from duplexer.limits import Limits
from duplexer.rules import CLOSE_CODE_MEANINGS


def response(status: int) -> Response:
    return Response(status, "x", Headers())


EXAMPLES: list[tuple[WebSocketException, str]] = [
    (ConnectionClosed(None, None), "no close frame received or sent"),
    (
        ConnectionClosedError(None, Close(1011)),
        "sent 1011 (internal error); no close",
    ),
    (ConnectionClosedError(Close(1002, "no"), None), "received 1002 (protocol error) no; no close"),
    (ConnectionClosedOK(Close(1000), Close(1000), True), "received 1000 (OK); then sent 1000 (OK)"),
    (ConnectionClosedOK(Close(1001), Close(1000), False, "why"), "sent 1000 (OK); then received"),
    (errors.InvalidURI("x:y", "scheme"), "x:y isn't a valid URI: scheme"),
    (errors.InvalidProxy("x:y", "scheme"), "x:y isn't a valid proxy: scheme"),
    (errors.InvalidHandshake("failed"), "failed"),
    (errors.HttpError(405, "no", [("Allow", "GET")]), "HTTP 405: no"),
    (errors.HttpError(413, "much", bound="max_body"), "HTTP 413: much (max_body)"),
    (errors.InvalidMessage("not HTTP"), "not HTTP"),
    (errors.InvalidStatus(response(404)), "HTTP 404 (is the path right?)"),
    (errors.InvalidStatus(response(418)), "server rejected WebSocket connection: HTTP 418"),
    (errors.ProxyError("no"), "no"),
    (errors.InvalidProxyStatus(response(407)), "HTTP 407 (the proxy wants a user name"),
    (errors.InvalidProxyStatus(response(502)), "proxy rejected connection: HTTP 502 (the proxy c"),
    (errors.InvalidProxyStatus(response(403), "http://p:80"), "proxy http://p:80 rejected"),
    (errors.InvalidProxyStatus(response(418)), "proxy rejected connection: HTTP 418"),
    (errors.InvalidProxyMessage("not HTTP"), "not HTTP"),
    (errors.InvalidProxyReply(5, "refused"), "proxy rejected connection: refused (reply 5)"),
    (errors.InvalidProxyReply(5, "refused", "socks4://p:1"), "proxy socks4://p:1 rejected"),
    (errors.SecurityError("no"), "no"),
    (errors.InvalidHeader("Name"), "missing Name header"),
    (errors.InvalidHeader("Name", ""), "empty Name header"),
    (errors.InvalidHeader("Name", "x"), "invalid Name header: x"),
    (errors.InvalidHeaderFormat("Name", "expected token", "a;;", 2), "expected token at 2 in a;;"),
    (errors.InvalidHeaderValue("Name", "x"), "invalid Name header: x"),
    (errors.InvalidOrigin("http://evil.example"), "invalid Origin header: http://evil.example"),
    (errors.InvalidOrigin(None), "missing Origin header"),
    (errors.InvalidUpgrade("Upgrade", "h2c"), "invalid Upgrade header: h2c"),
    (errors.NegotiationError("no"), "no"),
    (errors.DuplicateParameter("x"), "duplicate parameter: x"),
    (errors.InvalidParameterName("x"), "invalid parameter name: x"),
    (errors.InvalidParameterValue("x", None), "missing value for parameter x"),
    (errors.InvalidParameterValue("x", ""), "empty value for parameter x"),
    (errors.InvalidParameterValue("x", "y"), "invalid value for parameter x: y"),
    (ProtocolError("opcode-unknown", "3"), "unknown opcode: 3"),
    (ProtocolError("utf8-invalid"), "text is not UTF-8"),
    (errors.PeerTimeout("keepalive", "nothing was heard"), "nothing was heard"),
    (errors.InvalidState("no"), "no"),
    (errors.ConcurrencyError("no"), "no"),
]
each_example = pytest.mark.parametrize(
    ("error", "text"), EXAMPLES, ids=[type(error).__name__ for error, _ in EXAMPLES]
)


def subclasses(kind: type[Any]) -> set[type[Any]]:
    found = set(kind.__subclasses__())
    return found.union(*map(subclasses, found))


def test_the_examples_are_all_there_are() -> None:
    ours = {kind for kind in subclasses(WebSocketException) if kind.__module__ == errors.__name__}
    assert ours == {type(error) for error, _ in EXAMPLES}
    assert {kind.__name__ for kind in ours} < set(errors.__all__)


def test_the_tree_is_as_drawn() -> None:
    assert errors.__doc__ is not None
    above: list[str] = []
    drawn: dict[str, str] = {}
    for line in errors.__doc__.splitlines():
        found = re.match(r"    ((?:[│ ]   )*(?:[├└]── )?)(\w+)(?:  |$)", line)
        if found and hasattr(errors, found[2]):
            depth = len(found[1]) // 4
            del above[depth:]
            if above:
                drawn[found[2]] = above[-1]
            above.append(found[2])
    ours = {kind for kind in subclasses(WebSocketException) if kind.__module__ == errors.__name__}
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in ours}


@each_example
def test_what_it_says(error: WebSocketException, text: str) -> None:
    assert text in str(error)
    assert error.party in ("us", "peer", "network")
    assert error.name and re.fullmatch(r"[a-z0-9-]+", error.name)


@each_example
def test_explain(error: WebSocketException, text: str) -> None:
    explanation = error.explain()
    if isinstance(error, ConnectionClosed) and error._explanation:
        assert explanation == "why"
        return
    assert explanation.splitlines()[0] == str(error)
    assert f"Responsible: {error.party} ({error.name})." in explanation
    assert (f"Close code: {error.close_code}" in explanation) is (error.close_code is not None)
    assert ("What to do: " in explanation) is bool(error.advice)


def test_what_a_proxy_said() -> None:
    error: errors.ProxyError = errors.InvalidProxyStatus(response(403))
    assert error.status == 403
    assert error.headers is error.response.headers
    assert error.body == error.response.body
    error = errors.InvalidProxyReply(1, "no")
    assert (error.status, error.headers, error.body) == (None, None, None)


def test_explain_tells_the_cause() -> None:
    error = errors.ProxyError("no")
    error.__cause__ = OSError("refused")
    assert error.explain().endswith("Cause: OSError: refused")


@each_example
@pytest.mark.parametrize("transport", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_it_can_be_copied_and_pickled(error: WebSocketException, text: str, transport: Any) -> None:
    again = transport(error)
    assert type(again) is type(error) and str(again) == str(error)
    assert again.explain() == error.explain()
    for name, value in vars(error).items():
        assert name == "response" or getattr(again, name) == value


def test_concurrency_error_is_a_runtime_error() -> None:
    assert issubclass(errors.ConcurrencyError, RuntimeError)


# -- how connections close -----------------------------------------------------------------------


def test_what_a_closed_connection_tells() -> None:
    error = ConnectionClosed(Close(4000, "bye"), Close(4000), True)
    assert (error.code, error.close_code, error.reason, error.party) == (4000, 4000, "bye", "peer")
    error = ConnectionClosed(None, Close(1000))
    assert (error.code, error.reason, error.party) == (1006, "", "us")
    assert ConnectionClosed(Close(1000), Close(1000), False).party == "us"
    assert ConnectionClosed(Close(1000), None).party == "peer"
    assert ConnectionClosed(None, None).party == "network"


def test_close() -> None:
    assert str(Close(1000)) == "1000 (OK)"
    assert str(Close(1001, "bye")) == "1001 (going away) bye"
    assert str(Close(3500)) == "3500 (registered)"
    assert str(Close(4500)) == "4500 (private use)"
    assert str(Close(2500)) == "2500 (unknown)"


def test_close_codes() -> None:
    assert {int(code) for code in CloseCode} == set(CLOSE_CODE_MEANINGS) - {1004}
    sendable = {code for code in range(65536) if close_code_is_sendable(code)}
    assert sendable == {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


# -- rules ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str) -> None:
    rule = RULES[name]
    assert close_code_is_sendable(rule.code)
    assert len(rule.reason.encode()) <= 123 and rule.advice
    error = ProtocolError(name)
    assert (error.name, error.close_code, error.reason) == (name, rule.code, rule.reason)
    assert error.party == "peer"


def test_the_advice_names_limits_that_exist() -> None:
    fields = set(Limits.__dataclass_fields__)
    for rule in RULES.values():
        for name in re.findall(r"Limits\.(\w+)", rule.advice):
            assert name in fields
    with pytest.raises(KeyError):
        ProtocolError("no-such-rule")


def test_hints_use_what_the_answer_says() -> None:
    def told(status: int, **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return str(errors.InvalidStatus(Response(status, "", Headers(named))))

    assert told(302, Location="/x") == (
        "server rejected WebSocket connection: HTTP 302 (it leads to /x; redirects=1 follows it)"
    )
    assert "it leads to https://a/@b;" in told(302, Location="https://u:secret@a/@b?t=secret")
    assert told(302) == "server rejected WebSocket connection: HTTP 302"
    assert told(429, Retry_After="30").endswith("(too many attempts; try again in 30 s)")
    assert told(503, Retry_After="5").endswith("restarting; try again in 5 s)")
    assert told(503, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT").endswith("try again later)")
    assert len(told(301, Location="/" + "x" * 5000)) < 400
