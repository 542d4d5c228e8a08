"""Every way in which a peer can break the protocol, and what close codes and refusals mean."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CLOSE_CODE_MEANINGS", "RULES", "STATUS_HINTS", "Rule"]


class Rule(NamedTuple):
    """One rule of the protocol: what its breach costs, and what to do about it."""

    code: int  #: the close code that fails the connection
    reason: str  #: the short fixed text in our Close frame; it never repeats the peer's data
    advice: str  #: for the human who reads the error


#: Stable name → rule. Names of limits end in the name of the field of ``Limits`` in ``advice``.
RULES: dict[str, Rule] = {
    "close-code": Rule(
        1002, "invalid close code", "The peer's library sends a close code that is not allowed."
    ),
    "close-length": Rule(
        1002,
        "close frame with one byte",
        "A Close body is empty or starts with a two-byte code (RFC 6455 5.5.1).",
    ),
    "close-utf8": Rule(
        1007, "close reason is not UTF-8", "The peer's library sends a reason that is not UTF-8."
    ),
    "control-fragmented": Rule(
        1002, "fragmented control frame", "Control frames must have FIN set (RFC 6455 5.5)."
    ),
    "control-rate": Rule(
        1008,
        "too many control frames",
        "The peer floods with pings, pongs or closes. Raise Limits.control_burst or "
        "Limits.control_rate if that is legitimate.",
    ),
    "control-too-long": Rule(
        1002, "control frame too long", "Control frames carry at most 125 bytes (RFC 6455 5.5)."
    ),
    "continuation-unexpected": Rule(
        1002,
        "unexpected continuation frame",
        "A continuation came without a message to continue (RFC 6455 5.4).",
    ),
    "continuation-expected": Rule(
        1002,
        "expected a continuation frame",
        "A new message began inside a fragmented one (RFC 6455 5.4).",
    ),
    "deflate-corrupt": Rule(
        1002,
        "corrupt compressed data",
        "The peer's deflate stream cannot be inflated (RFC 7692 7.2.2). Try compression=None.",
    ),
    "frame-too-big": Rule(
        1009, "frame too big", "Raise Limits.max_frame if frames of this size are legitimate."
    ),
    "fragments-too-many": Rule(
        1008,
        "too many fragments (max_fragments)",
        "Raise Limits.max_fragments or Limits.bytes_per_fragment if the peer is legitimate.",
    ),
    "length-minimal": Rule(
        1002,
        "length not minimally encoded",
        "The shortest length encoding must be used (RFC 6455 5.2).",
    ),
    "length-sign": Rule(
        1002,
        "length with the top bit set",
        "The top bit of a 64-bit length must be 0 (RFC 6455 5.2).",
    ),
    "mask-missing": Rule(
        1002,
        "unmasked frame",
        "A client must mask every frame (RFC 6455 5.1); is the peer a server?",
    ),
    "mask-unexpected": Rule(
        1002, "masked frame", "A server must not mask (RFC 6455 5.1); is the peer a client?"
    ),
    "message-rate": Rule(
        1008,
        "too many messages (message_rate)",
        "The peer sends more messages than it may. Raise Limits.message_rate and "
        "Limits.message_burst if that is legitimate.",
    ),
    "message-timeout": Rule(
        1008,
        "message not finished in time",
        "Raise Limits.message_timeout if the peer sends long messages slowly.",
    ),
    "message-too-big": Rule(
        1009,
        "message too big (max_message)",
        "Raise Limits.max_message (max_size=) if messages of this size are legitimate; "
        "recv_streaming() then reads them without holding all of one.",
    ),
    "messages-incomplete": Rule(
        1013,
        "too many incomplete messages (max_incomplete)",
        "All connections together hold more of messages that are not complete than they may. Raise "
        "Limits.max_incomplete if there is memory for it, or lower Limits.message_timeout.",
    ),
    "opcode-unknown": Rule(
        1002, "unknown opcode", "Opcodes 3 to 7 and 11 to 15 are reserved (RFC 6455 5.2)."
    ),
    "rsv-unexpected": Rule(
        1002,
        "reserved bit set",
        "A reserved bit is set that no agreed extension gives a meaning to (RFC 6455 5.2).",
    ),
    "utf8-invalid": Rule(
        1007, "text is not UTF-8", "Text messages must be UTF-8; send other bytes as binary."
    ),
}

#: Status of a server that refuses the handshake → what it probably means to a client.
STATUS_HINTS: dict[int, str] = {
    200: "this is an ordinary web page, not a WebSocket endpoint; is the path right?",
    400: "the server found the request malformed; is a proxy changing it?",
    401: "credentials are missing or wrong, or the token has expired; see auth=",
    403: "the origin or the user is not allowed; check origin= and the credentials",
    404: "is the path right?",
    405: "this is not a WebSocket endpoint; is the path right?",
    407: "the proxy wants credentials",
    410: "there was a WebSocket endpoint, but it has gone for good",
    421: "the server does not answer for this host; check the Host header and server_hostname=",
    426: "the server wants another WebSocket version, or this is not a WebSocket endpoint",
    429: "too many attempts; wait before the next one",
    431: "the server finds the headers too large; are there many cookies?",
    500: "the server has failed; its log says more",
    502: "the proxy in front could not reach the server",
    503: "the server is overloaded or restarting; try again later",
    504: "the server did not answer the proxy in front of it in time",
}

#: What each registered code means, in the words that errors use.
CLOSE_CODE_MEANINGS: dict[int, str] = {
    1000: "OK",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1004: "reserved",
    1005: "no status received [internal]",
    1006: "abnormal closure [internal]",
    1007: "invalid frame payload data",
    1008: "policy violation",
    1009: "message too big",
    1010: "mandatory extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS handshake failure [internal]",
}
