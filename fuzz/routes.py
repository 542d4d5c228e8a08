"""Where strangers want to go, from where, and on what terms: paths, Host and Origin, offers.

Oracle: a path leads to a route and to parameters that make the same path again, or nowhere; a page
comes in only where a browser reads the same host in both headers; what is agreed to was offered. So
many steps a byte.
"""

# ruff: noqa: PT017
from __future__ import annotations

import posixpath
import urllib.parse
import uuid
from typing import Any

import ada_url
from _steps import is_linear
from werkzeug.routing import Map, Rule

from duplexer.driver.routing import Router as WerkzeugRouter
from duplexer.errors import HttpError, InvalidHeader, InvalidOrigin, NegotiationError
from duplexer.extensions.deflate import (
    enable_client_permessage_deflate,
    enable_server_permessage_deflate,
)
from duplexer.handshake.negotiate import (
    accept_extensions,
    check_extensions,
    check_subprotocol,
    read_subprotocols,
    select_subprotocol,
)
from duplexer.handshake.server import SAME_HOST, check_host, check_origin
from duplexer.http.headers import Headers, is_token, parse_extension, valid_host
from duplexer.http.messages import Request, Response, make_response
from duplexer.policy.router import Router

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ROUTER = Router()
for pattern in (
    "/",
    "/chat",
    "/rooms/{room}",
    "/users/{user:int}/log",
    "/things/{thing:uuid}",
    "/files/{path:path}",
    "/{first}/of/{rest:path}",
):
    ROUTER.add(pattern, lambda connection: connection)
WERKZEUG = WerkzeugRouter(
    Map(
        [
            Rule("/", endpoint="root"),
            Rule("/rooms/<room>/", endpoint="room"),
            Rule("/users/<int:user>", endpoint="user"),
            Rule("/old/<path:path>", redirect_to="/rooms/<path>"),
        ]
    )
)
SERVER = enable_server_permessage_deflate()
CLIENT = enable_client_permessage_deflate()


class Connection:
    """What a router asks of one."""

    handler: Any = None
    handler_kwargs: Any = None

    def respond(self, status: int, text: str) -> Response:
        return make_response(status, text.encode())


def paths(text: str) -> None:
    text = "/" + "".join(char for char in text if "!" <= char <= "~" and char != "#")
    match = ROUTER.find(text)
    if match is not None:
        parameters = match.parameters
        assert ROUTER.find(text.partition("?")[0]) == match
        path = match.route.pattern.text
        for name, value in parameters.items():
            assert isinstance(value, (str, int, uuid.UUID))
            said = str(value)
            assert said and len(said.splitlines()) == 1
            if name in ("path", "rest"):
                assert posixpath.normpath(f"/{said}") == f"/{said}"
                said = urllib.parse.quote(said)
            else:
                assert "/" not in said and said not in (".", "..")
                said = urllib.parse.quote(said, safe="")
            for kind in ("", ":int", ":uuid", ":path"):
                path = path.replace(f"{{{name}{kind}}}", said)
        again = ROUTER.find(path)
        assert again is not None and again.route is match.route and again.parameters == parameters
    connection, request = Connection(), Request(text, Headers({"Host": "example.com"}))
    answer = WERKZEUG.route_request(connection, request)
    if answer is None:
        assert connection.handler in ("root", "room", "user")
    else:
        assert answer.status_code in (302, 400, 404) and answer.serialize()


def pages(text: str) -> None:
    origin, _, host = text.partition("\n")
    origin = origin.strip(" \t")
    if host and valid_host(host):
        hosts(host)
        for secure in (False, True):
            try:
                check_origin(origin, host, SAME_HOST, secure=secure)
            except InvalidOrigin as error:
                assert str(error).isascii() and len(str(error)) < 400
                continue
            page = as_browsers_read(origin)
            if page is not None:
                here = as_browsers_read(f"{origin.partition(':')[0]}://{host}")
                assert page.protocol in ("http:", "https:") and page.pathname == "/"
                assert here is not None and (page.hostname, page.port) == (here.hostname, here.port)
                assert not (secure and page.protocol == "http:")
    page = as_browsers_read(origin)
    if page is not None and page.protocol in ("http:", "https:"):
        # Whatever a browser makes of it comes in where it belongs.
        check_origin(page.origin, page.host, SAME_HOST, secure=False)
        check_origin(page.origin, page.host, ["http://nowhere", page.origin], secure=True)


def as_browsers_read(url: str) -> ada_url.URL | None:
    try:
        return ada_url.URL(url)
    except ValueError:
        return None


def hosts(host: str) -> None:
    request = Request("/", Headers({"Host": host}))
    for allowed in (LOOPBACK, ("*.example.com:80", "example.org")):
        try:
            check_host(request, allowed)
        except HttpError as error:
            assert error.status == 421 and error.text.isascii()
            continue
        page = as_browsers_read(f"http://{host}")
        if page is not None:
            name = page.hostname
            assert name in allowed or (allowed[0][0] == "*" and name.endswith(".example.com"))


def extensions(text: str) -> None:
    try:
        answer, accepted = accept_extensions(text, SERVER)
    except InvalidHeader as error:
        assert str(error)
    else:
        offers = parse_extension(text) if text.strip() else []
        assert len(accepted) <= len(SERVER) and bool(accepted) is bool(answer)
        for name, parameters in parse_extension(answer) if answer else []:
            offered = [dict(given) for each, given in offers if each == name]
            assert offered
            if "client_max_window_bits" in dict(parameters):
                assert any("client_max_window_bits" in given for given in offered)
    try:
        agreed = check_extensions(text, CLIENT)
    except (InvalidHeader, NegotiationError) as error:
        assert str(error)
    else:
        assert len(agreed) <= len(CLIENT)


def subprotocols(text: str) -> None:
    lines = text.split("\n")
    try:
        offers = read_subprotocols(lines)
        assert offers and all(map(is_token, offers)) and len(set(offers)) == len(offers)
        assert read_subprotocols(", ".join(offers)) == offers
        assert select_subprotocol(offers, ["chat", "superchat"], None) in offers
    except (InvalidHeader, NegotiationError) as error:
        assert str(error)
    try:
        assert check_subprotocol(lines[0], ["chat", "superchat"]) in ("chat", "superchat")
    except (InvalidHeader, NegotiationError) as error:
        assert str(error)


def target(data: bytes) -> None:
    if not data:
        return
    check = (paths, pages, extensions, subprotocols)[data[0] % 4]
    text = data[1:].decode("latin-1")
    check(text)
    is_linear(check, text)
