from __future__ import annotations

import pytest

from duplexer.driver.basic_auth import basic_auth
from duplexer.http.headers import Headers, build_authorization_basic
from duplexer.http.messages import Request, make_response


class Connection:
    username = None

    def respond(self, status, text):
        return make_response(status, text.encode())


def ask(process_request, *values):
    connection = Connection()
    headers = Headers([("Authorization", value) for value in values])
    return connection, process_request(connection, Request("/", headers))


def basic(username, password):
    return build_authorization_basic(username, password)


@pytest.mark.parametrize("credentials", [("ada", "pass"), [("eve", "x"), ("ada", "pass")]])
def test_who_knows_the_password_comes_in(credentials):
    auth = basic_auth(credentials=credentials)
    connection, response = ask(auth, basic("ada", "pass"))
    assert response is None
    assert connection.username == "ada"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], b"Missing credentials\n"),
        ([basic("ada", "wrong")], b"Invalid credentials\n"),
        ([basic("ada", "")], b"Invalid credentials\n"),
        ([basic("nobody", "")], b"Invalid credentials\n"),
        ([basic("nobody", "pass")], b"Invalid credentials\n"),
        (["Bearer x"], b"Unsupported credentials\n"),
        (["Basic ???"], b"Unsupported credentials\n"),
        ([basic("ada", "pass"), basic("ada", "pass")], b"Unsupported credentials\n"),
    ],
)
def test_the_others_get_a_401(values, says):
    connection, response = ask(basic_auth("the realm", ("ada", "pass")), *values)
    assert (response.status_code, response.body) == (401, says)
    assert response.headers["WWW-Authenticate"] == 'Basic realm="the realm", charset="UTF-8"'
    assert connection.username is None


def test_a_function_may_decide():
    auth = basic_auth(check_credentials=lambda username, password: username == password)
    assert ask(auth, basic("é", "é"))[1] is None
    assert ask(auth, basic("é", "e"))[1].status_code == 401


async def test_a_coroutine_function_may_decide():
    async def check(username, password):
        return username == password

    auth = basic_auth(check_credentials=check)
    connection, response = ask(auth, basic("a", "a"))
    assert await response is None
    assert connection.username == "a"
    assert (await ask(auth, basic("a", "b"))[1]).status_code == 401


def test_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match="either"):
        basic_auth()
    with pytest.raises(ValueError, match="either"):
        basic_auth(credentials=("a", "b"), check_credentials=print)
    with pytest.raises(TypeError, match="pair"):
        basic_auth(credentials=["ab", "cd"])
    with pytest.raises(ValueError, match="realm"):
        basic_auth("a\nb", ("a", "b"))
