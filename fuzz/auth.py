"""Challenges of any bytes: reading them, and answering with a user name and a password.

Oracle: challenges, or InvalidHeader; an answer that a header can hold, that can be read again, and
that never has the password in it; and no more than so many answers to the same party.
"""

# ruff: noqa: PT017
from __future__ import annotations

import base64

from duplexer.errors import InvalidHeader
from duplexer.http.auth import PasswordAuth, parse_challenges
from duplexer.http.headers import is_token, is_valid_value

PASSWORD = "Pass:word 1"
BASIC = "Basic " + base64.b64encode(f'us"er\\:{PASSWORD}'.encode()).decode()


def target(data: bytes) -> None:
    values = data.decode("latin-1").split("\n")
    try:
        challenges = parse_challenges(values)
    except InvalidHeader as error:
        assert str(error)
        return
    for challenge in challenges:
        assert is_token(challenge.scheme) and challenge.scheme == challenge.scheme.lower()
        assert not (challenge.params and challenge.token68)
        assert all(is_token(name) and is_valid_value(v) for name, v in challenge.params.items())
    credentials = PasswordAuth('us"er\\', PASSWORD)
    for _ in range(PasswordAuth.MAX_ANSWERS + 1):
        answer = credentials.answer(challenges, "CONNECT", "example.com:80")
        if answer is None:
            return
        assert is_valid_value(answer)
        if answer == BASIC:
            continue
        assert PASSWORD not in answer or any(PASSWORD in value for value in values)
        [again] = parse_challenges([answer])
        assert again.scheme == "digest"
        assert again.params["uri"] == "example.com:80" and "response" in again.params
    raise AssertionError("it answers for ever")
