"""Answers to a 401."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from duplexer.driver.connecting import ConnectBase
from duplexer.driver.login import MAX_ANSWERS, Login
from duplexer.driver.steps import Call
from duplexer.http.auth import Challenge
from duplexer.http.headers import Headers
from duplexer.http.messages import Response
from duplexer.http.uri import parse_uri

URI = "ws://example.com/chat"
BASIC = 'Basic realm="x"'
DIGEST = 'Digest realm="x", nonce="n1", qop="auth", algorithm=SHA-256'
FRESH = 'Digest realm="x", nonce="n2", qop="auth", algorithm=SHA-256, stale=true'


def login(uri: str = URI, **kwargs: Any) -> Login:
    return Login(ConnectBase(uri, **kwargs), parse_uri(uri))


def ask(one: Login, *challenges: str, uri: str = URI) -> tuple[bool, str | None]:
    """Whether a 401 with ``challenges`` has an answer, and the next request's Authorization."""
    headers = Headers([("WWW-Authenticate", challenge) for challenge in challenges])
    steps = one.answer(Response(401, "", headers), parse_uri(uri))
    value = None
    try:
        while True:
            step = steps.send(value)
            assert isinstance(step, Call)
            value = step.function(*step.args)
    except StopIteration as stop:
        return stop.value, one.authorization(parse_uri(uri))


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_what_is_sent_without_being_asked_for() -> None:
    assert login().authorization(parse_uri(URI)) is None
    assert login(auth=("u", "p")).authorization(parse_uri(URI)) is None
    assert login(auth="t.o-k~e+n/=").authorization(parse_uri(URI)) == "Bearer t.o-k~e+n/="
    assert login("ws://u:p@example.com/").authorization(parse_uri(URI)) == basic("u", "p")
    given = login("ws://u:p@example.com/", additional_headers={"Authorization": "mine"})
    assert given.authorization(parse_uri(URI)) is None


def test_the_safest_way_that_is_offered() -> None:
    answered, value = ask(login(auth=("u", "p")), BASIC, DIGEST)
    assert answered and value is not None and value.startswith("Digest ")
    assert 'uri="/chat"' in value and "algorithm=SHA-256" in value
    assert ask(login(auth=("u", "p")), BASIC) == (True, basic("u", "p"))


def test_credentials_in_the_address_answer_digest_too() -> None:
    answered, value = ask(login("ws://u:p@example.com/chat"), DIGEST)
    assert answered and value is not None and 'username="u"' in value


def test_a_stale_nonce_is_no_wrong_password() -> None:
    one = login(auth=("u", "p"))
    assert ask(one, DIGEST)[0]
    answered, value = ask(one, FRESH)
    assert answered and value is not None and 'nonce="n2"' in value
    assert not ask(one, DIGEST)[0]


def test_wrong_credentials_are_not_tried_again() -> None:
    one = login(auth=("u", "p"))
    assert ask(one, DIGEST)[0]
    assert not ask(one, DIGEST)[0]
    assert not ask(login(auth="expired"), "Bearer error=invalid_token")[0]


def test_after_a_redirect_digest_signs_the_new_target() -> None:
    one = login(auth=("u", "p"))
    ask(one, DIGEST)
    value = one.authorization(parse_uri("ws://example.com/other"))
    assert value is not None and 'uri="/other"' in value and "nc=00000002" in value


def test_a_function_is_given_the_challenges() -> None:
    seen: list[Any] = []

    def give(challenges: list[Challenge]) -> str:
        seen.append([challenge.scheme for challenge in challenges])
        return f"token{len(seen)}"

    one = login(auth=give)
    assert ask(one, "Bearer, " + BASIC) == (True, "Bearer token1")
    assert ask(one, "Bearer error=invalid_token") == (True, "Bearer token2")
    assert seen == [["bearer", "basic"], ["bearer"]]


def test_a_function_may_give_a_password_or_up() -> None:
    assert ask(login(auth=lambda challenges: ("u", "p")), BASIC) == (True, basic("u", "p"))
    assert ask(login(auth=lambda challenges: None), BASIC) == (False, None)


def test_a_function_is_asked_a_few_times_only() -> None:
    calls: list[Any] = []
    one = login(auth=lambda challenges: calls.append(challenges) or "token")
    outcomes = [ask(one, "Bearer")[0] for _ in range(MAX_ANSWERS + 2)]
    assert outcomes == [True] * MAX_ANSWERS + [False, False]
    assert len(calls) == MAX_ANSWERS


def test_challenges_that_cannot_be_read() -> None:
    assert not ask(login(auth=("u", "p")), 'Basic realm="')[0]
    assert not ask(login(auth=("u", "p")))[0]
    assert ask(login(auth=lambda challenges: f"t{len(challenges)}"), "=") == (True, "Bearer t0")


def test_what_a_function_gives_is_checked() -> None:
    with pytest.raises(TypeError, match="not dict"):
        ask(login(auth=lambda challenges: {}), BASIC)
    with pytest.raises(ValueError, match="Bearer"):
        ask(login(auth=lambda challenges: "a\r\nb"), BASIC)
