"""The server that a command talks to: address, headers, TLS, and the options that say so."""

from __future__ import annotations

import dataclasses
import re
import ssl
from collections.abc import Callable
from typing import Any

import click

from duplexer.cli.outcome import Failure, Status

__all__ = ["Target", "parse_header", "target_options"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a command line says of the server."""

    uri: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    origin: str | None = None
    ca: str | None = None
    insecure: bool = False
    proxies: tuple[str, ...] = ()

    def tls(self) -> ssl.SSLContext | None:
        """The TLS settings, ``None`` for ``ws://``."""
        if not self.uri.lower().startswith("wss://"):
            if self.ca is not None or self.insecure:
                raise Failure(
                    "a certificate is only checked with wss://",
                    "write wss://, or leave out --ca and --insecure-no-certificate-check",
                    status=Status.USAGE,
                )
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (ssl.SSLError, OSError) as error:
            raise Failure(
                f"{self.ca} holds no certificate: {getattr(error, 'reason', None) or error}",
                "it must be a file of PEM certificates",
                status=Status.USAGE,
            ) from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def arguments(self, context: ssl.SSLContext | None) -> dict[str, Any]:
        """What to give to the client's ``connect``; ``context`` is what ``tls()`` gave."""
        return {
            "additional_headers": self.headers,
            "subprotocols": self.subprotocols or None,
            "origin": self.origin,
            "proxy": self.proxy(),
            **({} if context is None else {"ssl": context}),
        }

    def proxy(self) -> bool | str | list[str] | None:
        """The argument ``proxy`` of ``connect``: the system's unless the options say otherwise."""
        if not self.proxies:
            return True
        if "none" in self.proxies:
            if len(self.proxies) > 1:
                raise Failure(
                    "--proxy none and another --proxy contradict each other",
                    "give one of them",
                    status=Status.USAGE,
                )
            return None
        return self.proxies[0] if len(self.proxies) == 1 else list(self.proxies)

    def warn(self) -> None:
        """Say on standard error what is not safe."""
        if self.insecure:
            click.echo("warning: the server's certificate is not checked", err=True)


def parse_header(text: str) -> tuple[str, str]:
    """``NAME: VALUE`` as a pair; raises ``click.BadParameter`` that says what is wrong."""
    name, colon, value = text.partition(":")
    if not colon:
        raise click.BadParameter(f"'{text}' has no colon; write 'NAME: VALUE'")
    if not _TOKEN.fullmatch(name):
        raise click.BadParameter(f"'{name}' cannot be the name of a header")
    value = value.strip(" \t")
    if any(char != "\t" and (ord(char) < 0x20 or ord(char) == 0x7F) for char in value):
        raise click.BadParameter(f"the value of {name} has a control character in it")
    return name, value


def _headers(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    return tuple(parse_header(value) for value in values)


_OPTIONS = (
    click.option(
        "-H",
        "--header",
        "headers",
        multiple=True,
        metavar="'NAME: VALUE'",
        callback=_headers,
        help="Header of the handshake; may be repeated.",
    ),
    click.option(
        "--subprotocol",
        "subprotocols",
        multiple=True,
        metavar="NAME",
        help="Subprotocol to offer; may be repeated, best first.",
    ),
    click.option("--origin", metavar="URL", help="Origin header, for servers that check it."),
    click.option(
        "--ca",
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="Trust the certificate authorities in this PEM file, and no others.",
    ),
    click.option(
        "--insecure-no-certificate-check",
        "insecure",
        is_flag=True,
        help="Accept any certificate: anybody in between can read and change everything.",
    ),
    click.option(
        "--proxy",
        "proxies",
        multiple=True,
        metavar="URL",
        help="Proxy to go through: http://, https://, socks5h:// and others; repeated, one after "
        "the other; 'none' for no proxy.  [default: the system's]",
    ),
)


def target_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the argument and the options that are the fields of ``Target``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return click.argument("uri")(function)
