"""Runs the documents about the opening handshake: whole, cut in two everywhere, byte by byte."""

from __future__ import annotations

from typing import Any

import pytest

from duplexer import errors
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import HttpError, InvalidHandshake
from duplexer.extensions.deflate import (
    enable_client_permessage_deflate,
    enable_server_permessage_deflate,
)
from duplexer.handshake.client import ClientHandshake
from duplexer.handshake.server import ServerOptions, accept, refuse
from duplexer.http.h1 import RequestReader, ResponseReader
from duplexer.http.uri import parse_uri
from duplexer.limits import DEFAULT_LIMITS
from tests.wire import documents

CASES = documents.all_cases("handshake")
#: Of an answer, what is no part of the protocol.
ASIDE = ("server:", "date:", "content-length:", "retry-after:")


def received(block: documents.Block) -> bytes:
    lines, after = block.lines, b""
    if "---" in lines:
        at = lines.index("---")
        after = b"".join(documents.frame(line, block.role) for line in lines[at + 1 :])
        lines = lines[:at]
    return "".join(f"{line}\r\n" for line in lines).encode() + after


def head(data: bytes) -> list[str]:
    lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    return [line for line in lines if not line.lower().startswith(ASIDE)]


def outcome(agreement: Any, rest: bytes) -> set[str]:
    found = {f"extension {extension.name}" for extension in agreement.extensions}
    if agreement.subprotocol is not None:
        found.add(f"subprotocol {agreement.subprotocol}")
    if rest:
        found.add(f"rest {rest.hex(' ')}")
    return found


def subprotocols(block: documents.Block) -> list[str] | None:
    names = block.options.get("subprotocols")
    return names.split(",") if names else None


def run_server(block: documents.Block, pieces: list[bytes]) -> tuple[list[str], set[str]]:
    """The answer's head, and what was agreed on."""
    deflate = "deflate" in block.options
    options = ServerOptions(
        subprotocols=subprotocols(block),
        extensions=enable_server_permessage_deflate() if deflate else (),
    )
    reader = RequestReader(DEFAULT_LIMITS)
    try:
        coming = list(pieces)
        request = None
        while request is None:
            piece = coming.pop(0)
            request = reader.feed(piece)
        agreement = accept(request, options, secure="secure" in block.options, dialects=(RFC6455,))
    except HttpError as error:
        return head(refuse(error).serialize()), set()
    rest = piece[reader.stop :] + b"".join(coming)
    return head(agreement.response.serialize()), outcome(agreement, rest)


def make_client(block: documents.Block) -> ClientHandshake:
    options = block.options
    return ClientHandshake(
        parse_uri(options.get("uri", "ws://example.com/")),
        dialect=RFC6455,
        subprotocols=subprotocols(block),
        extensions=enable_client_permessage_deflate() if "deflate" in options else (),
        user_agent_header=None,
        key=options.get("key"),
    )


def run_client(block: documents.Block, pieces: list[bytes]) -> set[str]:
    """What was agreed on, or what was raised."""
    reader = ResponseReader(DEFAULT_LIMITS)
    response = None
    try:
        coming = list(pieces)
        while response is None:
            response = reader.feed(coming.pop(0)) if coming else reader.feed_eof()
        agreement = make_client(block).check(response)
    except InvalidHandshake as error:
        return {f"raises {type(error).__name__}"}
    return outcome(agreement, reader.rest + b"".join(coming))


def cuts(data: bytes) -> list[list[bytes]]:
    ways = [[data], [data[i : i + 1] for i in range(len(data))]]
    return [*ways, *([data[:i], data[i:]] for i in range(1, len(data)))]


def agreed(case: documents.Case) -> set[str]:
    return {line for line in case.expect("agrees") or () if line}


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.given.role == "server"], ids=lambda case: case.name
)
def test_server(case: documents.Case) -> None:
    answer = case.expect("answers")
    assert answer is not None
    wanted = [line for line in answer if line]
    for pieces in cuts(received(case.given)):
        assert run_server(case.given, pieces) == (wanted, agreed(case)), len(pieces[0])


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.given.role == "client"], ids=lambda case: case.name
)
def test_client(case: documents.Case) -> None:
    request = case.expect("asks")
    if request is not None:
        wanted = [line for line in request if line]
        assert head(make_client(case.given).request.serialize()) == wanted
    assert all(
        hasattr(errors, line.split()[1]) for line in agreed(case) if line.startswith("raises")
    )
    for pieces in cuts(received(case.given)):
        assert run_client(case.given, pieces) == agreed(case), len(pieces[0])
