from __future__ import annotations

import pytest

from duplexer.http.headers import Headers, build_authorization_basic
from duplexer.http.messages import Request, make_response
from duplexer.policy.authentication import Grant
from duplexer.policy.basic import Basic, digest, password_checker


def ask(scheme, *values):
    request = Request("/", Headers([("Host", "h"), *(("Authorization", one) for one in values)]))
    presented = scheme.read(request)
    if presented.credentials is None:
        return presented, presented.refusal
    return presented, scheme.judge(presented, scheme.ask(None, presented))


def test_who_knows_the_password_is_the_user():
    presented, outcome = ask(Basic(("ada", "pass")), build_authorization_basic("ada", "pass"))
    assert outcome == Grant("ada")
    assert presented.request.headers["Authorization"] == "Basic ***"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], b"Missing credentials\n"),
        ([build_authorization_basic("ada", "wrong")], b"Invalid credentials\n"),
        ([build_authorization_basic("eve", "")], b"Invalid credentials\n"),
        (["Bearer x"], b"Unsupported credentials\n"),
        (["Basic ???"], b"Unsupported credentials\n"),
        ([build_authorization_basic("ada", "pass")] * 2, b"Unsupported credentials\n"),
    ],
)
def test_the_others_get_a_401(values, says):
    presented, outcome = ask(Basic([("ada", "pass"), ("bob", "x")], 'the "realm"'), *values)
    assert (outcome.status_code, outcome.body) == (401, says)
    challenge = r'Basic realm="the \"realm\"", charset="UTF-8"'
    assert outcome.headers["WWW-Authenticate"] == challenge
    assert "pass" not in repr(presented.request) and "YWRh" not in repr(presented.request)


def test_a_function_may_say_more():
    for verdict, wanted in (
        (True, Grant("ada")),
        ({"id": 7}, Grant({"id": 7})),
        (Grant("x", 5.0), Grant("x", 5.0)),
    ):
        scheme = Basic(lambda username, password, verdict=verdict: verdict)
        assert ask(scheme, build_authorization_basic("ada", ""))[1] == wanted
    response = make_response(429, b"")
    assert ask(Basic(lambda *_: response), build_authorization_basic("a", "b"))[1] is response


def test_passwords_are_compared_as_digests():
    check = password_checker([("ada", "päss"), ("bob", "")])
    assert check("ada", "päss") and check("bob", "")
    assert not check("ada", "p") and not check("eve", "") and not check("ada", "\udc80")
    assert len(digest("")) == len(digest("x" * 1000)) == 32
    with pytest.raises(TypeError, match="pair"):
        password_checker(["ab"])
