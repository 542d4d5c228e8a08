"""Challenges, and what a user name and a password answer to them."""

from __future__ import annotations

import base64
import hashlib
import urllib.parse
import urllib.request
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.errors import InvalidHeaderFormat
from duplexer.http import auth
from duplexer.http.auth import Challenge, PasswordAuth, parse_challenges


class TestChallenges:
    @pytest.mark.parametrize(
        ("header", "challenges"),
        [
            ("", []),
            (" , ,", []),
            ("Basic", [Challenge("basic")]),
            ('BASIC Realm="a b"', [Challenge("basic", {"realm": "a b"})]),
            ("Basic realm=a", [Challenge("basic", {"realm": "a"})]),
            ('Basic realm = "a"', [Challenge("basic", {"realm": "a"})]),
            (r'Basic realm="a\"b\\c, d=\e"', [Challenge("basic", {"realm": 'a"b\\c, d=e'})]),
            ('Basic realm=""', [Challenge("basic", {"realm": ""})]),
            ("Negotiate", [Challenge("negotiate")]),
            ("Negotiate YII+/a.b-c_d~==", [Challenge("negotiate", {}, "YII+/a.b-c_d~==")]),
            ("Negotiate abc=", [Challenge("negotiate", {}, "abc=")]),
            (
                'Digest realm="r",nonce=n , qop="auth,auth-int" ,, Basic realm=x, charset=utf-8',
                [
                    Challenge("digest", {"realm": "r", "nonce": "n", "qop": "auth,auth-int"}),
                    Challenge("basic", {"realm": "x", "charset": "utf-8"}),
                ],
            ),
            (
                'NTLM, Negotiate a==, Newauth realm="apps", type=1, title="Log in to \\"a\\""',
                [
                    Challenge("ntlm"),
                    Challenge("negotiate", {}, "a=="),
                    Challenge("newauth", {"realm": "apps", "type": "1", "title": 'Log in to "a"'}),
                ],
            ),
            ('Basic realm="gr\xfc\xdfe"', [Challenge("basic", {"realm": "gr\xfc\xdfe"})]),
        ],
    )
    def test_read(self, header: str, challenges: list[Challenge]) -> None:
        assert parse_challenges([header]) == challenges

    def test_several_headers(self) -> None:
        assert parse_challenges(["Basic realm=a", "NTLM"]) == [
            Challenge("basic", {"realm": "a"}),
            Challenge("ntlm"),
        ]

    @pytest.mark.parametrize(
        "header",
        [
            'realm="a"',  # of which scheme?
            'Basic realm="a',
            'Basic realm="a\\"',
            'Basic realm="a"b',
            "Basic realm=a b",
            "Basic realm=, nonce=a",
            "Basic realm=a, Realm=b",
            "Basic a b=c",
            "Negotiate abc=, realm=a",
            'Basic"a"',
            "=a",
            '"Basic"',
            "Basic =a",
            "Basic realm=\xfc",
            "\u20ac",
            "Basic\x00",
        ],
    )
    def test_malformed(self, header: str) -> None:
        with pytest.raises(InvalidHeaderFormat, match="Proxy-Authenticate") as raised:
            parse_challenges([header], "Proxy-Authenticate")
        assert raised.value.header == "Proxy-Authenticate"

    def test_a_parameter_belongs_to_a_scheme_of_the_same_header(self) -> None:
        with pytest.raises(InvalidHeaderFormat):
            parse_challenges(["Digest nonce=a", "realm=b"])

    @given(
        st.lists(
            st.tuples(
                st.from_regex(r"[a-z]{1,5}", fullmatch=True),
                st.dictionaries(
                    st.from_regex(r"[a-z]{1,3}", fullmatch=True),
                    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=9),
                    max_size=3,
                ),
            ),
            max_size=4,
        )
    )
    def test_what_is_quoted_comes_back(self, wanted: list[tuple[str, dict[str, str]]]) -> None:
        header = ", ".join(
            f"{scheme} " + ", ".join(f"{k}={auth._quoted(v)}" for k, v in params.items())
            for scheme, params in wanted
        )
        found = parse_challenges([header])
        assert [(challenge.scheme, challenge.params) for challenge in found] == wanted


def fields(answer: str | None) -> dict[str, str]:
    assert answer is not None
    assert answer.startswith("Digest ")
    [challenge] = parse_challenges([answer.replace("username*=UTF-8''", "username*=", 1)])
    return challenge.params


def digest(params: str, name: str = "Mufasa", password: str = "Circle of Life") -> str | None:
    """The answer to a Digest challenge for ``GET /dir/index.html``."""
    credentials = PasswordAuth(name, password)
    return credentials.answer(parse_challenges([f"Digest {params}"]), "GET", "/dir/index.html")


NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC_7616 = (
    'realm="http-auth@example.org", qop="auth, auth-int", '
    f'nonce="{NONCE}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


class TestDigest:
    @pytest.mark.parametrize(
        ("algorithm", "response"),
        [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ],
    )
    def test_the_examples_of_the_rfc(
        self, monkeypatch: pytest.MonkeyPatch, algorithm: str, response: str
    ) -> None:
        """RFC 7616 3.9.1."""
        cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
        monkeypatch.setattr(auth.secrets, "token_hex", lambda size: cnonce)
        found = fields(digest(f"{RFC_7616}, algorithm={algorithm}"))
        assert found == {
            "username": "Mufasa",
            "realm": "http-auth@example.org",
            "uri": "/dir/index.html",
            "algorithm": algorithm,
            "nonce": NONCE,
            "nc": "00000001",
            "cnonce": cnonce,
            "qop": "auth",
            "response": response,
            "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
        }

    def test_the_hashed_user_of_the_rfc(self) -> None:
        """RFC 7616 3.9.2, with a hash that everybody has."""
        realm = "api@example.org"
        found = fields(digest(f'realm="{realm}", nonce=n, userhash=true, qop=auth', "Jäsøn Doe"))
        assert found["userhash"] == "true"
        assert found["username"] == hashlib.md5(f"Jäsøn Doe:{realm}".encode()).hexdigest()

    @pytest.mark.parametrize(("algorithm", "name"), [("MD5", "md5"), ("SHA-256", "sha256")])
    def test_sessions(self, algorithm: str, name: str) -> None:
        found = fields(digest(f"realm=r, nonce=n, qop=auth, algorithm={algorithm}-sess"))

        def h(text: str) -> str:
            return hashlib.new(name, text.encode()).hexdigest()

        first = h(f"{h('Mufasa:r:Circle of Life')}:n:{found['cnonce']}")
        second = h("GET:/dir/index.html")
        assert found["response"] == h(f"{first}:n:00000001:{found['cnonce']}:auth:{second}")
        assert found["algorithm"] == f"{algorithm}-sess"

    def test_rfc_2069_as_the_standard_library_does_it(self) -> None:
        found = fields(digest('realm="a b", nonce="n"'))
        handler: Any = urllib.request.HTTPDigestAuthHandler()
        handler.add_password("a b", "http://h/", "Mufasa", "Circle of Life")
        request = urllib.request.Request("http://h/dir/index.html")
        theirs = handler.get_authorization(request, {"realm": "a b", "nonce": "n"})
        [challenge] = parse_challenges([f"Digest {theirs}"])
        assert found["response"] == challenge.params["response"]
        assert not {"qop", "nc", "cnonce", "algorithm"} & set(found)

    def test_each_use_of_a_nonce_is_counted(self) -> None:
        credentials = PasswordAuth("a", "b")
        first = fields(credentials.answer(parse_challenges([f"Digest {RFC_7616}"]), "GET", "/"))
        second = fields(credentials.preempt("GET", "/"))
        assert (first["nc"], second["nc"]) == ("00000001", "00000002")
        assert first["cnonce"] != second["cnonce"]
        assert first["response"] != second["response"]

    def test_names_in_other_alphabets(self) -> None:
        found = fields(digest("realm=r, nonce=n, charset=UTF-8", "Jäsøn"))
        assert urllib.parse.unquote(found["username*"]) == "Jäsøn"
        found = fields(digest("realm=r, nonce=n", "Jäsøn"))
        assert found["username"].encode("latin-1").decode() == "Jäsøn"

    def test_bytes_of_a_realm_are_hashed_as_they_were_sent(self) -> None:
        for sent in ("Grüße".encode(), "Grüße".encode("latin-1")):
            realm = sent.decode("latin-1")
            found = fields(digest(f'realm="{realm}", nonce=n'))
            assert found["realm"] == realm
            first = hashlib.md5(b"Mufasa:" + sent + b":Circle of Life").hexdigest()
            second = hashlib.md5(b"GET:/dir/index.html").hexdigest()
            assert found["response"] == hashlib.md5(f"{first}:n:{second}".encode()).hexdigest()

    def test_quotes_in_what_is_repeated(self) -> None:
        found = fields(digest(r'realm="a\"b", nonce="c\\d", opaque="\"", qop=auth', 'x"y\\z'))
        assert (found["realm"], found["nonce"], found["opaque"]) == ('a"b', "c\\d", '"')
        assert found["username"] == 'x"y\\z'

    @pytest.mark.parametrize(
        "params",
        [
            "realm=r",  # no nonce
            "realm=r, nonce=n, algorithm=SHA-1",
            "realm=r, nonce=n, qop=auth-int",
            "realm=r, nonce=n, qop=authentic",
        ],
    )
    def test_what_cannot_be_answered(self, params: str) -> None:
        assert digest(params) is None


class TestChoice:
    @pytest.mark.parametrize(
        ("headers", "algorithm"),
        [
            (["Basic realm=a", "Digest nonce=n"], None),
            (["Digest nonce=n", "Digest nonce=n, algorithm=sha-256"], "sha-256"),
            (["Digest nonce=n, algorithm=SHA-256-sess, Digest nonce=n"], "SHA-256-sess"),
            (["Digest nonce=n, algorithm=MD5-sess, Digest nonce=n, algorithm=MD5"], "MD5-sess"),
            (["Digest nonce=n, algorithm=SHA-3, Digest nonce=n, algorithm=MD5"], "MD5"),
        ],
    )
    def test_the_strongest_is_taken(self, headers: list[str], algorithm: str | None) -> None:
        answer = PasswordAuth("a", "b").answer(parse_challenges(headers), "GET", "/")
        assert fields(answer).get("algorithm") == algorithm

    def test_basic_where_there_is_nothing_else(self) -> None:
        challenges = parse_challenges(["Negotiate", "Basic realm=a", "Digest realm=b"])
        wanted = "Basic " + base64.b64encode(b"a:b").decode()
        assert PasswordAuth("a", "b").answer(challenges, "GET", "/") == wanted

    def test_nothing_that_we_know(self) -> None:
        challenges = parse_challenges(["Negotiate", "Bearer realm=x"])
        assert PasswordAuth("a", "b").answer(challenges, "GET", "/") is None
        assert PasswordAuth("a", "b").answer([], "GET", "/") is None

    def test_a_wrong_password_is_said_once(self) -> None:
        for header in ("Basic realm=a", "Digest nonce=n"):
            credentials, challenges = PasswordAuth("a", "b"), parse_challenges([header])
            assert credentials.answer(challenges, "GET", "/") is not None
            assert credentials.answer(challenges, "GET", "/") is None

    def test_basic_unasked_and_then_refused(self) -> None:
        credentials = PasswordAuth("a", "b")
        assert credentials.preempt("CONNECT", "h:1") == "Basic YTpi"
        assert credentials.answer(parse_challenges(["Basic realm=a"]), "CONNECT", "h:1") is None

    def test_basic_unasked_where_digest_is_wanted(self) -> None:
        credentials = PasswordAuth("a", "b")
        credentials.preempt("CONNECT", "h:1")
        challenges = parse_challenges(["Digest nonce=n, Basic realm=a"])
        assert fields(credentials.answer(challenges, "CONNECT", "h:1"))["uri"] == "h:1"
        assert credentials.answer(parse_challenges(["Basic realm=a"]), "CONNECT", "h:1") is None

    def test_an_old_nonce_is_no_wrong_password(self) -> None:
        credentials = PasswordAuth("a", "b")
        assert credentials.answer(parse_challenges(["Digest nonce=1"]), "GET", "/") is not None
        stale = parse_challenges(["Digest nonce=2, stale=TRUE"])
        found = fields(credentials.answer(stale, "GET", "/"))
        assert found["nonce"] == "2"
        assert credentials.answer(stale, "GET", "/") is None  # the same nonce again

    def test_stale_for_ever(self) -> None:
        credentials = PasswordAuth("a", "b")
        tries = 0
        while True:
            header = f"Digest nonce={tries}, stale=true"
            if credentials.answer(parse_challenges([header]), "GET", "/") is None:
                break
            tries += 1
        assert tries == PasswordAuth.MAX_ANSWERS


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(PasswordAuth("user", "secret"))


def test_a_colon_in_the_name() -> None:
    with pytest.raises(ValueError, match="colon"):
        PasswordAuth("a:b", "c")


@pytest.mark.parametrize(("name", "password"), [("a\r\nX", "b"), ("a", "b\x7f")])
def test_control_characters(name: str, password: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        PasswordAuth(name, password)
