"""Why a connection closed, in words: for ``explain()`` on connections and exceptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from duplexer.errors import PeerTimeout, ProtocolError, WebSocketException

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duplexer.core.closing import State
    from duplexer.core.session import Session
    from duplexer.errors import Close

__all__ = ["Facts", "explain", "facts_of"]


class Facts(NamedTuple):
    """What there is to say: as it is now, and without the session, which may be large."""

    error: BaseException | None
    rcvd: Close | None
    sent: Close | None
    rcvd_then_sent: bool | None
    state: State
    last_rcvd: tuple[int, int]  # opcode and size
    last_sent: tuple[int, int]
    excerpt: bytes
    notes: tuple[str, ...] = ()


def facts_of(session: Session) -> Facts:
    """What there is to say of ``session`` now."""
    return Facts(
        session.error,
        session.close_rcvd,
        session.close_sent,
        session.rcvd_then_sent,
        session.state,
        (session.decoder.last_opcode, session.decoder.last_size),
        (session.encoder.last_opcode, session.encoder.last_size),
        session.excerpt,
        tuple(_notes(session)),
    )


def _notes(session: Session) -> Iterator[str]:
    keepalive, waiting = session.keepalive, session.inbox.count
    if keepalive is not None and keepalive.slept:
        yield (
            f"This machine was suspended for {keepalive.slept:.0f} s meanwhile: the peer or a "
            "router on the way may have given the connection up."
        )
    if waiting and not (session.reading and session.reads):
        yield (
            f"This application is behind: {waiting} messages wait for recv()"
            + (", and until then nothing is read." if session.is_open else ".")
        )


_OPCODES = {
    0: "continuation",
    1: "text",
    2: "binary",
    8: "close",
    9: "ping",
    10: "pong",
}

_CURES = {
    1001: "The other side is shutting down or leaving the page; reconnect if you need it.",
    1002: "Compare the last frames with RFC 6455; a proxy or a library on the way is at fault.",
    1003: "The other side does not accept this type of message.",
    1005: "No code was given, which is a polite way of leaving.",
    1007: "Send text as UTF-8, and other bytes as binary messages.",
    1008: "The other side's policy forbids this; its reason should tell more.",
    1009: "Send smaller messages, or raise the limit on the receiving side (max_size=).",
    1010: "The other side needs an extension that was not agreed on.",
    1011: "The other side had an error of its own; its log tells more.",
    1012: "The service restarts: reconnect after a short random delay.",
    1013: "The service is overloaded: reconnect later.",
    1014: "A gateway could not reach the server behind it.",
}


def _who(facts: Facts) -> str:
    rcvd, sent = facts.rcvd, facts.sent
    if facts.error is not None and isinstance(facts.error, ProtocolError):
        return f"We failed the connection because the peer broke a rule: {facts.error}."
    if isinstance(facts.error, PeerTimeout):
        return "We gave the connection up because the peer was silent."
    if rcvd is not None and facts.rcvd_then_sent is not False:
        return f"The peer closed the connection: {rcvd}."
    if sent is not None and rcvd is not None:
        return f"We closed the connection: {sent}; the peer confirmed: {rcvd}."
    if sent is not None:
        return f"We closed the connection: {sent}; the peer did not confirm."
    if facts.state.name == "OPEN":
        return "The connection is open."
    return "The connection was lost: it ended without a Close from either side."


def _advice(facts: Facts) -> str:
    error, rcvd = facts.error, facts.rcvd
    if isinstance(error, WebSocketException) and error.advice:
        return error.advice
    if isinstance(error, TimeoutError):
        return (
            "The peer, or the network to it, is gone or stuck. Reconnect; if it happens to "
            "healthy peers, raise ping_timeout or close_timeout."
        )
    if rcvd is not None and rcvd.code == 1011 and "keepalive" in rcvd.reason:
        return (
            "The peer did not hear from us in time: this application was busy for too long "
            "without reading, or the network stalled. Do not block, and call recv() more often."
        )
    if rcvd is not None:
        return _CURES.get(rcvd.code, "")
    if facts.state.name == "OPEN":
        return ""
    return (
        "The peer's process died, its machine or the network went away, or a proxy cut an idle "
        "connection. Reconnect; keep ping_interval below the proxy's idle timeout."
    )


def _last(direction: str, opcode: int, size: int) -> str:
    if opcode < 0:
        return f"Nothing was {direction}."
    return f"Last frame {direction}: {_OPCODES.get(opcode, opcode)}, {size} bytes."


def explain(facts: Facts) -> str:
    """Who closed, why, the last frame each way, the likely cause and its cure."""
    lines = [_who(facts)]
    if facts.error is not None:
        lines.append(f"Cause: {type(facts.error).__name__}: {facts.error}")
    lines.append(_last("received", *facts.last_rcvd))
    lines.append(_last("sent", *facts.last_sent))
    if facts.excerpt:
        lines.append(f"It was reading: {facts.excerpt.hex(' ')}")
    lines.extend(facts.notes)
    advice = _advice(facts)
    if advice:
        lines.append(f"What to do: {advice}")
    return "\n".join(lines)
