"""What both roles do about extensions and subprotocols (RFC 6455 4.2.2, 9.1, 11.3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from duplexer.errors import InvalidHeader, NegotiationError
from duplexer.http.headers import (
    build_extension,
    parse_extension,
    parse_subprotocol,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from duplexer.core.dialect import Dialect
    from duplexer.core.extension import (
        ClientExtensionFactory,
        Extension,
        ServerExtensionFactory,
    )
    from duplexer.http.headers import (
        ExtensionItem,
        ExtensionParameter,
    )
    from duplexer.http.messages import Response

__all__ = [
    "Agreement",
    "accept_extensions",
    "check_extensions",
    "check_subprotocol",
    "offer_extensions",
    "read_subprotocols",
    "select_subprotocol",
]

_PROTOCOL = "Sec-WebSocket-Protocol"


class Agreement(NamedTuple):
    """What came out of a handshake, on either side."""

    response: Response
    subprotocol: str | None
    extensions: tuple[Extension, ...]
    dialect: Dialect


def _joined(value: str | list[str]) -> str:
    """Several lines of a list header are one list (RFC 9110 5.3)."""
    return value if isinstance(value, str) else ", ".join(value)


# -- extensions ----------------------------------------------------------------------------------


def accept_extensions(
    header: str | list[str], factories: Sequence[ServerExtensionFactory]
) -> tuple[str, tuple[Extension, ...]]:
    """Choose among the client's offers; gives the value of the answer's header too.

    The client's order is that of its preference, and the order of what is accepted is that in
    which messages are transformed. An offer that is unknown, that its factory declines, or that
    needs a reserved bit which is taken, is left out: that is how to decline (RFC 7692 5.1).
    Raises :exc:`InvalidHeaderFormat` for a header that cannot be read; one without a value is sent
    by clients that have a list of extensions with nothing in it.
    """
    header = _joined(header)
    offers = parse_extension(header) if header.strip() else []
    if not factories:
        return "", ()
    answers: list[tuple[str, Sequence[ExtensionParameter]]] = []
    accepted: list[Extension] = []
    names: set[str] = set()
    bits = 0
    for name, params in offers:
        if name in names:
            continue
        for factory in factories:
            if factory.name != name:
                continue
            try:
                answer, extension = factory.accept(params, accepted)
            except NegotiationError:
                continue
            if extension.rsv & bits:
                continue
            bits |= extension.rsv
            names.add(name)
            accepted.append(extension)
            answers.append((name, answer))
            break
    return build_extension(answers), tuple(accepted)


def offer_extensions(factories: Sequence[ClientExtensionFactory]) -> str:
    """The value of ``Sec-WebSocket-Extensions`` in the request; empty without any."""
    return build_extension([(factory.name, factory.offer()) for factory in factories])


def check_extensions(
    header: str | list[str], factories: Sequence[ClientExtensionFactory]
) -> tuple[Extension, ...]:
    """What the server accepted, in its order, which is the order of transformation.

    Raises :exc:`NegotiationError` for an extension that was not offered, that comes twice or
    whose parameters are not what was offered (RFC 6455 4.1), and :exc:`InvalidHeaderFormat`.
    """
    accepted: list[Extension] = []
    names: set[str] = set()
    bits = 0
    for item in parse_extension(_joined(header)):
        name = item[0]
        if name in names:
            raise NegotiationError(f"extension accepted twice: {shown(name)}")
        extension = _check_extension(item, factories, accepted)
        if extension.rsv & bits:
            raise NegotiationError(f"extensions that exclude each other were accepted: {name}")
        bits |= extension.rsv
        names.add(name)
        accepted.append(extension)
    return tuple(accepted)


def _check_extension(
    item: ExtensionItem, factories: Sequence[ClientExtensionFactory], accepted: list[Extension]
) -> Extension:
    name, params = item
    refusal: NegotiationError | None = None
    for factory in factories:
        if factory.name == name:
            try:
                return factory.accept(params, accepted)
            except NegotiationError as exc:
                refusal = exc
    if refusal is not None:
        raise refusal
    raise NegotiationError(f"the server accepted an extension that was not offered: {shown(name)}")


# -- subprotocols --------------------------------------------------------------------------------


def read_subprotocols(header: str | list[str]) -> list[str]:
    """What the client offers, in its order of preference.

    Raises :exc:`InvalidHeaderFormat` for what is no list of tokens, :exc:`InvalidHeader` for a
    name that comes twice (RFC 6455 4.1).
    """
    offers = parse_subprotocol(_joined(header))
    if len(offers) > 1 and len(set(offers)) != len(offers):
        raise InvalidHeader(_PROTOCOL, f"duplicate in {shown(_joined(header))}")
    return offers


def select_subprotocol(
    offers: Sequence[str],
    available: Sequence[str] | None,
    select: Callable[[Sequence[str]], str | None] | None,
) -> str | None:
    """Choose a subprotocol, or ``None`` for going on without one.

    Without ``select`` the first in ``available`` that the client offers is taken, and having none
    in common is an error, as in the ``websockets`` package; a browser would give up too (WHATWG).
    Raises :exc:`NegotiationError`; :exc:`ValueError` where ``select`` chose what is not offered.
    """
    if select is not None:
        choice = select(offers)
        if choice is not None and choice not in offers:
            raise ValueError(
                f"select_subprotocol returned {choice!r}, which the client does not offer"
            )
        return choice
    if not available:
        return None
    for name in available:
        if name in offers:
            return name
    if offers:
        raise NegotiationError(f"no common subprotocol; expected one of {', '.join(available)}")
    raise NegotiationError(f"missing subprotocol; expected one of {', '.join(available)}")


def check_subprotocol(header: str | list[str] | None, offered: Sequence[str]) -> str | None:
    """What the server chose, on the client.

    Raises :exc:`NegotiationError` for one that was not offered, :exc:`InvalidHeader` for several
    (RFC 6455 4.1, 11.3.4).
    """
    if header is None:
        return None
    if isinstance(header, list):
        raise InvalidHeader(_PROTOCOL, f"multiple values: {shown(_joined(header))}")
    choices = parse_subprotocol(header)
    if len(choices) > 1:
        raise InvalidHeader(_PROTOCOL, f"multiple values: {shown(header)}")
    if choices[0] not in offered:
        raise NegotiationError(
            f"the server chose a subprotocol that was not offered: {shown(choices[0])}"
        )
    return choices[0]
