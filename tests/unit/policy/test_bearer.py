from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.http.headers import Headers
from duplexer.http.messages import Request
from duplexer.policy.authentication import Grant
from duplexer.policy.bearer import Bearer

SECRET = "s3cret.Token-_~"
EVERYWHERE = ("header", "subprotocol", "cookie", "query")


def request(*headers, path="/"):
    return Request(path, Headers([("Host", "h"), *headers]))


def ask(scheme, request):
    """What was read, and what it leads to; what everybody else sees never has the token."""
    presented = scheme.read(request)
    assert SECRET not in repr(presented.request)
    assert SECRET not in repr(presented.refusal)
    if presented.credentials is None:
        return presented, presented.refusal
    return presented, scheme.judge(presented, scheme.ask(None, presented))


@pytest.mark.parametrize("value", [f"Bearer {SECRET}", f"bearer   {SECRET}", f"BEARER {SECRET} "])
def test_in_a_header(value):
    presented, outcome = ask(Bearer({SECRET: "ada"}), request(("Authorization", value)))
    assert outcome == Grant("ada")
    assert presented.request.headers["Authorization"] == "Bearer ***"
    assert presented.subprotocol is None


@pytest.mark.parametrize(
    ("offers", "left"),
    [
        ([f"bearer, {SECRET}"], "bearer"),
        (["bearer", SECRET], "bearer"),
        ([f"chat.v2,bearer,{SECRET} , chat.v1"], "chat.v2, chat.v1, bearer"),
    ],
)
def test_among_the_subprotocols(offers, left):
    scheme = Bearer({SECRET: "ada"}, via="subprotocol")
    headers = [("Sec-WebSocket-Protocol", offer) for offer in offers]
    presented, outcome = ask(scheme, request(*headers))
    assert outcome == Grant("ada")
    assert presented.subprotocol == "bearer"
    assert presented.request.headers["Sec-WebSocket-Protocol"] == left


@pytest.mark.parametrize(
    ("header", "left"),
    [
        (f"token={SECRET}", "token=***"),
        (f'a=b; token="{SECRET}";c', "a=b; token=***; c"),
        (f"token={SECRET}; token=other", "token=***; token=***"),
    ],
)
def test_in_a_cookie(header, left):
    scheme = Bearer({SECRET: "ada"}, via=["cookie"])
    presented, outcome = ask(scheme, request(("Cookie", header)))
    assert outcome == Grant("ada")
    assert presented.request.headers["Cookie"] == left
    assert scheme.is_ambient and not Bearer({SECRET: "ada"}).is_ambient


@pytest.mark.parametrize(
    ("path", "left"),
    [
        (f"/x?ticket={SECRET}", "/x?ticket=***"),
        (f"/x?a=1&ticket={SECRET.replace('~', '%7E')}&b", "/x?a=1&ticket=***&b"),
        (f"/x?%74icket={SECRET}", "/x?%74icket=***"),
    ],
)
def test_in_the_query(path, left):
    presented, outcome = ask(Bearer({SECRET: "ada"}, via=["query"]), request(path=path))
    assert outcome == Grant("ada")
    assert presented.request.path == left


@pytest.mark.parametrize(
    "wrong",
    [
        request(),
        request(("Authorization", "Basic abc")),
        request(("Cookie", "token=; other=x")),
        request(("Sec-WebSocket-Protocol", "chat")),
        request(path="/?ticket="),
    ],
)
def test_none(wrong):
    _, outcome = ask(Bearer({SECRET: "ada"}, via=EVERYWHERE, realm="chat"), wrong)
    assert outcome.status_code == 401
    assert outcome.headers["WWW-Authenticate"] == 'Bearer realm="chat"'
    assert outcome.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("token", ["wrong", SECRET[:-1], SECRET + "x"])
def test_a_wrong_one(token):
    _, outcome = ask(Bearer({SECRET[1:]: "ada"}), request(("Authorization", f"Bearer {token}")))
    assert outcome.status_code == 401
    assert outcome.headers["WWW-Authenticate"] == 'Bearer realm="", error="invalid_token"'


@pytest.mark.parametrize(
    "wrong",
    [
        request(("Authorization", f"Bearer {SECRET}"), ("Authorization", f"Bearer {SECRET}")),
        request(("Authorization", f"Bearer {SECRET} {SECRET}")),
        request(("Authorization", "Bearer \u00e4")),
        request(("Sec-WebSocket-Protocol", "bearer")),
        request(("Sec-WebSocket-Protocol", f"bearer, {SECRET}/x")),
        request(("Sec-WebSocket-Protocol", f"{SECRET}, bearer, {SECRET}")),
        request(("Sec-WebSocket-Protocol", f"bearer, {SECRET}, bearer, {SECRET}")),
        request(path=f"/?ticket={SECRET}&ticket={SECRET}"),
    ],
)
def test_what_cannot_be_read(wrong):
    _, outcome = ask(Bearer({SECRET: "ada"}, via=EVERYWHERE), wrong)
    assert outcome.status_code == 400
    assert 'error="invalid_request"' in outcome.headers["WWW-Authenticate"]


def test_the_first_place_counts_and_all_are_cleaned():
    both = request(
        ("Authorization", f"Bearer {SECRET}"), ("Cookie", "token=other"), path=f"/?ticket={SECRET}"
    )
    tokens = {SECRET: "ada", "other": "bob"}
    assert ask(Bearer(tokens, via=["cookie", "header", "query"]), both)[1] == Grant("bob")
    assert ask(Bearer(tokens, via=["header", "cookie", "query"]), both)[1] == Grant("ada")


def test_in_the_first_message():
    scheme = Bearer({SECRET: "ada"}, via=["header", "message"])
    presented, _ = ask(scheme, request(("Authorization", f"Bearer {SECRET}")))
    assert not presented.is_later
    presented, _ = ask(scheme, request())
    assert presented.is_later and presented.credentials is None and presented.refusal is None
    assert scheme.read_message(SECRET, request()).credentials == (SECRET,)
    for wrong in ("", b"x", None):
        assert scheme.read_message(wrong, request()).credentials is None


def test_a_function_finds_it_in_the_first_message():
    import json

    scheme = Bearer(
        {SECRET: "ada"}, via=["message"], from_message=lambda message: json.loads(message)["token"]
    )
    found = scheme.read_message(f'{{"token": "{SECRET}"}}', request())
    assert found.credentials == (SECRET,)
    for wrong in ("", "{}", '{"token": 1}', b"\xff", "[" * 100_000):
        assert scheme.read_message(wrong, request()).credentials is None


def test_other_names():
    scheme = Bearer(
        {SECRET: "ada"}, EVERYWHERE, cookie="session", query="t", subprotocol="x.bearer"
    )
    for one in (
        request(("Cookie", f"session={SECRET}")),
        request(path=f"/?t={SECRET}"),
        request(("Sec-WebSocket-Protocol", f"x.bearer, {SECRET}")),
    ):
        assert ask(scheme, one)[1] == Grant("ada")


def test_arguments():
    for via in ("nowhere", [], ["header", "header"]):
        with pytest.raises(ValueError, match="via="):
            Bearer({}, via=via)
    for name in ("cookie", "subprotocol"):
        with pytest.raises(ValueError, match=name):
            Bearer({}, **{name: "a b"})
    with pytest.raises(ValueError, match="realm"):
        Bearer({}, realm="\n")
    with pytest.raises(TypeError, match="tokens must be str"):
        Bearer({"": "nobody"})
    with pytest.raises(TypeError, match="a function"):
        Bearer("token")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Authorization", "Sec-WebSocket-Protocol", "Cookie"]),
            st.text(st.sampled_from('bearer token=;,"*/ \u00e4'), max_size=30).map(str.strip),
        ),
        max_size=4,
    ),
    st.text(st.sampled_from("ticke=&%7?/"), max_size=30),
)
def test_anything(headers, query):
    scheme = Bearer(lambda token: None, via=EVERYWHERE)
    presented = scheme.read(request(*headers, path=f"/?{query}"))
    assert (presented.credentials is None) == (presented.refusal is not None)
    again = scheme.read(presented.request)
    for token in presented.credentials or ():
        assert again.credentials is None or again.credentials[0] in ("***", token)
