from __future__ import annotations

import math

import pytest

from duplexer.http.headers import Headers
from duplexer.http.messages import Request, make_response
from duplexer.policy.authentication import (
    Grant,
    Hook,
    Presented,
    Scheme,
    quoted,
    refusal,
    scheme_from,
    with_headers,
)


def request(*headers, path="/"):
    return Request(path, Headers([("Host", "h"), *headers]))


def test_a_grant_expires_at_a_time_that_there_is():
    assert Grant("ada").expires is None
    assert Grant("ada", 1e9) == Grant("ada", expires=1_000_000_000)
    for wrong in ("soon", True, b""):
        with pytest.raises(TypeError, match="seconds since 1970"):
            Grant("ada", wrong)
    for wrong in (math.inf, math.nan):
        with pytest.raises(ValueError, match="seconds since 1970"):
            Grant("ada", wrong)


def test_a_function_is_asked_about_connection_and_request():
    asked = []
    hook = Hook(lambda connection, request: asked.append((connection, request)) or "ada")
    presented = hook.read(request())
    assert presented.request == request()
    assert hook.ask("connection", presented) == "ada"
    assert asked == [("connection", request())]


def test_what_a_function_gives_back():
    hook = Hook(lambda connection, request: None)
    presented = hook.read(request())
    grant, response = Grant("ada", 1.0), make_response(429, b"later")
    assert hook.judge(presented, "ada") == Grant("ada")
    assert hook.judge(presented, grant) is grant
    assert hook.judge(presented, response) is response
    assert hook.judge(presented, 0) == Grant(0)
    for nobody in (None, False):
        refused = hook.judge(presented, nobody)
        assert (refused.status_code, refused.headers["Cache-Control"]) == (403, "no-store")


def test_what_may_be_given():
    assert scheme_from(None) is None
    hook = Hook(print)
    assert scheme_from(hook) is hook
    assert isinstance(scheme_from(print), Hook)
    for wrong in ("token", dict, 1):
        with pytest.raises(TypeError, match="authenticate must be a function"):
            scheme_from(wrong)
    with pytest.raises(TypeError, match="a function"):
        Scheme("verify")


def test_a_scheme_asks_about_its_credentials():
    assert Scheme(lambda *given: given).ask(None, Presented(request(), (1, 2))) == (1, 2)


def test_refusals():
    response = refusal(401, "No.", 'Bearer realm="x"')
    assert response.body == b"No.\n"
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="x"'
    assert "WWW-Authenticate" not in refusal(403, "No.").headers


def test_quoting():
    assert quoted('a "b" \\') == r'"a \"b\" \\"'


def test_other_headers():
    before = request(("A", "1"), ("b", "2"), ("a", "3"), ("C", "4"), path="/x?y")
    after = with_headers(before, {"A": "0", "C": None, "D": "new"})
    assert list(after.headers.raw_items()) == [("Host", "h"), ("A", "0"), ("b", "2")]
    assert after.path == "/x?y"
    assert before.headers.get_all("A") == ["1", "3"]
