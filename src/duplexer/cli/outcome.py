"""How a command ends: its exit status, and an error that says what was wrong and what to do."""

from __future__ import annotations

import enum
import errno
import socket
import ssl
from typing import IO, Any

import click
from rich.console import Console
from rich.text import Text

from duplexer.cli.render import escape, preview
from duplexer.errors import InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI, ProxyError

__all__ = ["Failure", "Status", "bind_failure", "connect_failure"]

#: How much of the body of a refusal is shown, in characters.
BODY_SHOWN = 300


class Status(enum.IntEnum):
    """Exit statuses of ``duplexer connect``; the other commands use those that apply."""

    OK = 0
    CLOSED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED = 4
    TIMEOUT = 5
    NOT_WEBSOCKET = 6
    WRONG = 7
    INTERNAL = 70
    INTERRUPTED = 130


class Failure(click.ClickException):
    """An error to show: ``message`` names the culprit, ``cure`` says what to do about it."""

    def __init__(
        self, message: str, cure: str = "", *, status: int = Status.CLOSED, detail: str = ""
    ) -> None:
        super().__init__(message)
        self.cure = cure
        self.detail = detail
        self.exit_code = int(status)  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the error to ``file``, by default standard error; in colour on a terminal."""
        console = Console(file=file, stderr=file is None, highlight=False, soft_wrap=True)
        console.print(Text.assemble(("error: ", "bold red"), escape(self.message)))
        for line in self.detail.splitlines():
            console.print(Text(f"  | {escape(line)}", "dim"))
        if self.cure:
            console.print(Text.assemble(("  cure: ", "bold green"), self.cure))


def bind_failure(error: OSError, host: str, port: int) -> Failure:
    """Why the server cannot listen on ``host`` and ``port``."""
    where = f"port {port} on {host}"
    if error.errno == errno.EADDRINUSE:
        return Failure(
            f"{where} is already in use by another program",
            "stop that program, choose another port with --port, or let --port 0 find a free one",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return Failure(f"{where} is not allowed to you", "choose a port from 1024 on with --port")
    # Where no address of a host can be bound, asyncio drops the number of the error.
    nowhere = error.errno == errno.EADDRNOTAVAIL or "could not bind on any address" in str(error)
    if nowhere or isinstance(error, socket.gaierror):
        return Failure(
            f"{host} is not an address of this machine",
            "use --host 127.0.0.1 for this machine only, or --host 0.0.0.0 for all its addresses",
        )
    return Failure(f"cannot listen on {where}: {error.strerror or error}")


def _refused(error: InvalidStatus) -> Failure:
    response = error.response
    retry = response.headers.get("Retry-After")
    body = bytes(response.body or b"").decode("utf-8", "replace").strip()
    return Failure(
        str(error),
        f"the server asks to try again after {escape(retry)}" if retry else "",
        status=Status.REFUSED,
        detail=preview(body, BODY_SHOWN),
    )


def _tls(error: ssl.SSLError, uri: str) -> Failure:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(
            f"the certificate of {uri} is not trusted: {error.verify_message}",
            "if it is signed by an authority of your own, give its certificate with --ca FILE",
            status=Status.UNREACHABLE,
        )
    return Failure(
        f"no TLS connection to {uri}: {getattr(error, 'reason', None) or error}",
        "if the server speaks without TLS, write ws:// in place of wss://",
        status=Status.UNREACHABLE,
    )


def connect_failure(error: Exception, uri: str, *, timeout_option: str = "--timeout") -> Failure:
    """Why no connection to ``uri`` could be opened, with the exit status that says so."""
    if isinstance(error, InvalidURI):
        return Failure(str(error), _address_cure(uri), status=Status.USAGE)
    if isinstance(error, TimeoutError):
        return Failure(
            f"{uri} did not answer in time",
            f"is a firewall in between? {timeout_option} SECONDS waits longer",
            status=Status.TIMEOUT,
        )
    if isinstance(error, InvalidStatus):
        return _refused(error)
    if isinstance(error, InvalidProxy):
        return Failure(str(error), "see --proxy", status=Status.USAGE)
    if isinstance(error, ProxyError):
        return Failure(
            str(error),
            "--proxy URL takes another one, --proxy none none",
            status=Status.UNREACHABLE,
        )
    if isinstance(error, InvalidHandshake):
        return Failure(
            f"{uri} did not answer as a WebSocket server does: {error}",
            "check host, port and whether it is ws:// or wss://",
            status=Status.NOT_WEBSOCKET,
        )
    if isinstance(error, ssl.SSLError):
        return _tls(error, uri)
    if isinstance(error, socket.gaierror):
        return Failure(
            f"no address is known for the host in {uri}",
            "check the spelling of the host name, and the network",
            status=Status.UNREACHABLE,
        )
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return Failure(
            f"nothing listens at {uri}",
            "is the server running, and is this its port?",
            status=Status.UNREACHABLE,
        )
    if isinstance(error, (OSError, EOFError)):
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Failure(f"cannot connect to {uri}: {reason}", status=Status.UNREACHABLE)
    raise error


def _address_cure(uri: str) -> str:
    for wrong, right in (("https://", "wss://"), ("http://", "ws://")):
        if uri.lower().startswith(wrong):
            return f"write {right}{uri[len(wrong) :]}"
    if "://" not in uri:
        return f"write ws://{uri}, or wss://{uri} where the server uses TLS"
    return "an address looks like ws://localhost:8765/path or wss://example.com/path"
