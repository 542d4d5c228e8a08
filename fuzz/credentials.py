"""What strangers show to come in: tokens and passwords, wherever they may be, of any text.

A secret stands in the input for each ``@``. Oracle: credentials that were in the request, or an
answer that can be sent; the secret is in no answer, nor in what hooks, handlers and logs see of
where it was; everything else is left as it is. So many steps a byte.
"""

from __future__ import annotations

import base64
import json
import urllib.parse

from _steps import is_linear

from duplexer.driver.tickets import Tickets
from duplexer.http.auth import parse_challenges
from duplexer.http.headers import Headers, is_valid_value
from duplexer.http.messages import Request
from duplexer.policy.authentication import Grant, Presented, Scheme
from duplexer.policy.basic import Basic
from duplexer.policy.bearer import Bearer

SECRET = "s3cr3t.t0ken"
PASSWORD = base64.b64encode(f"user:{SECRET}".encode()).decode()
USERS = {SECRET: "user"}
PLACES = {
    "header": "Authorization",
    "subprotocol": "Sec-WebSocket-Protocol",
    "cookie": "Cookie",
}
TICKETS = Tickets()
TICKET = TICKETS.issue("user")
BEARERS = {place: Bearer(USERS, via=place, realm='"') for place in (*PLACES, "query")}
EVERYWHERE = Bearer(TICKETS.redeem, via=(*PLACES, "query", "message"))
IN_JSON = Bearer(USERS, via="message", from_message=lambda message: json.loads(message)["token"])
BASIC = Basic(("user", SECRET), realm='"')


def shown(request: Request) -> str:
    return "\n".join([request.path, *(value for _, value in request.headers.raw_items())])


def read(scheme: Scheme, request: Request) -> Presented:
    """What holds wherever it is."""
    presented = scheme.read(request)
    name = "basic" if scheme is BASIC else "bearer"
    if presented.credentials is None and not presented.is_later:
        answer = presented.refusal
        assert answer is not None and answer.status_code in (400, 401)
        raw = answer.serialize().decode()
        assert SECRET not in raw and PASSWORD not in raw
        [challenge] = parse_challenges(answer.headers.get_all("WWW-Authenticate"))
        assert challenge.scheme == name
    other = [item for item in request.headers.raw_items() if item[0] not in PLACES.values()]
    left = [i for i in presented.request.headers.raw_items() if i[0] not in PLACES.values()]
    assert left == other
    return presented


def tokens(place: str, text: str) -> None:
    """A token in one place, or in all of them."""
    if place == "query":
        # What the reader of requests lets through.
        text = "".join(char for char in text if "!" <= char <= "~" and char != "#")
        request = Request(f"/?{text}", Headers([("Other", "1")]))
    else:
        lines = [line for line in text.split("\n") if is_valid_value(line)]
        request = Request("/", Headers([("Other", "1"), *((PLACES[place], x) for x in lines)]))
    presented = read(BEARERS[place], request)
    before, after = shown(request), shown(presented.request)
    refused = presented.refusal is not None and presented.refusal.status_code == 400
    if presented.credentials is not None:
        [token] = presented.credentials
        assert token
        if place == "query":
            values = [piece.partition("=")[2] for piece in text.split("&")]
            assert token in map(urllib.parse.unquote_plus, values)
        else:
            assert token in before
            assert after.count(SECRET) <= before.count(SECRET) - token.count(SECRET)
        assert place == "subprotocol" or "***" in after
        verdict = BEARERS[place].verify(token)
        assert verdict == USERS.get(token)
        if verdict is not None:
            assert BEARERS[place].judge(presented, verdict) == Grant("user")
        assert TICKETS.redeem(token) is None
    if refused or (place == "header" and presented.credentials is not None):
        assert place == "query" or SECRET not in after
    # What is left shows nobody in again.
    again = read(BEARERS[place], presented.request)
    if again.credentials is not None:
        assert again.credentials == ("***",)
    read(EVERYWHERE, request)


def passwords(text: str) -> None:
    lines = [line for line in text.split("\n") if is_valid_value(line)]
    presented = read(BASIC, Request("/", Headers([("Authorization", line) for line in lines])))
    assert PASSWORD not in shown(presented.request)
    if presented.credentials is not None:
        user, password = presented.credentials
        right = (user, password) == ("user", SECRET)
        verdict = BASIC.verify(user, password)
        assert verdict is right
        judged = BASIC.judge(presented, verdict)
        assert judged == Grant("user") if right else getattr(judged, "status_code", 0) == 401


def messages(data: bytes) -> None:
    request = Request("/", Headers())
    for message in (data, data.decode("utf-8", "replace")):
        for scheme in (EVERYWHERE, IN_JSON):
            presented = scheme.read_message(message, request)
            if presented.credentials is not None:
                [token] = presented.credentials
                assert isinstance(token, str) and token
                assert scheme is not EVERYWHERE or token == message
                TICKETS.redeem(token)
                IN_JSON.verify(token)


def target(data: bytes) -> None:
    if not data:
        return
    assert len(TICKETS) in (0, 1)
    which, data = data[0] % 6, data[1:]
    if which == 5:
        messages(data.replace(b"@", SECRET.encode()))
        return
    text = data.decode("latin-1")
    text = "\n".join(line.strip(" \t") for line in text.split("\n"))
    if which == 4:
        passwords(text.replace("@", PASSWORD))
        return
    place = [*PLACES, "query"][which]
    text = text.replace("@", SECRET)
    tokens(place, text)
    is_linear(lambda longer: tokens(place, longer), text)
