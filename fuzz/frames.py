"""Frames of any bytes, both roles, against a model of RFC 6455 5 and against themselves.

The first byte chooses the role, small limits and whether deflate was agreed on; the second where
the rest is cut. Oracle: however it is cut the messages, events and answers are the same; without
deflate they are those of the model; nothing but a ProtocolError fails a session; every call makes
progress.
"""

from __future__ import annotations

from typing import Any

from duplexer.core.events import CloseReceived, PingReceived
from duplexer.core.session import Session
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import ProtocolError
from duplexer.extensions.deflate import PerMessageDeflate
from duplexer.limits import Limits

WIDE = Limits(ping_interval=None)
TIGHT = Limits(
    ping_interval=None, max_message=100, max_frame=80, max_fragments=3, bytes_per_fragment=20
)

#: (kind, payload), and at last the name of the rule that was broken, if one was.
Outcome = tuple[list[tuple[str, bytes]], list[tuple[str, bytes]], str]


def make(flags: int) -> Session:
    limits = TIGHT if flags & 2 else WIDE
    extensions = (PerMessageDeflate(False, False, 15, 15, limits=limits),) if flags & 4 else ()
    return Session(RFC6455, server=bool(flags & 1), limits=limits, extensions=extensions)


def run(flags: int, pieces: list[bytes]) -> Outcome:
    session = make(flags)
    events: list[tuple[str, bytes]] = []
    for piece in pieces:
        stop = 0
        while stop < len(piece):
            before = stop
            stop = session.receive(piece, stop, len(piece))
            assert before < stop <= len(piece), "no progress"
        session.conclude()
        for event in session.events or ():
            if isinstance(event, CloseReceived):
                events.append(("close", str(event.close).encode()))
            else:
                events.append(("ping" if isinstance(event, PingReceived) else "pong", event.data))
        session.events = None
    messages: list[tuple[str, bytes]] = []
    while session.inbox.count:
        message: Any = session.inbox.pop()
        if isinstance(message, str):
            messages.append(("text", message.encode()))
        else:
            messages.append(("binary", message))
    assert session.inbox.size == 0
    error = session.error
    assert error is None or isinstance(error, ProtocolError), repr(error)
    assert session.reads is (error is None and session.close_rcvd is None)
    assert (session.close_sent is not None) is not session.reads
    session.tick(0.0)
    session.explain()
    return messages, events, "" if error is None else error.name


def unmasked(payload: bytes, key: bytes) -> bytes:
    """``payload``, XORed with ``key`` if there is one."""
    return bytes([byte ^ key[j & 3] for j, byte in enumerate(payload)]) if key else payload


def model(flags: int, data: bytes) -> Outcome:
    """The rules, as short as they can be written."""
    messages: list[tuple[str, bytes]] = []
    events: list[tuple[str, bytes]] = []
    limits = TIGHT if flags & 2 else WIDE
    kind, parts, count, i = "", b"", 0, 0
    while i < len(data):
        b0 = data[i]
        opcode, fin = b0 & 15, b0 & 128
        if opcode in (3, 4, 5, 6, 7) or opcode > 10:
            return messages, events, "opcode-unknown"
        if b0 & 0x70:
            return messages, events, "rsv-unexpected"
        if opcode >= 8 and not fin:
            return messages, events, "control-fragmented"
        if i + 1 == len(data):
            break
        masked, n = data[i + 1] & 128, data[i + 1] & 127
        if bool(masked) is not bool(flags & 1):
            return messages, events, "mask-missing" if flags & 1 else "mask-unexpected"
        if opcode >= 8 and n > 125:
            return messages, events, "control-too-long"
        size = 2 + (0 if n < 126 else 2 if n == 126 else 8)
        start = i + size + (4 if masked else 0)
        if start > len(data):
            break
        form, n = n, n if n < 126 else int.from_bytes(data[i + 2 : i + size], "big")
        if n >> 63:
            return messages, events, "length-sign"
        if n < {126: 126, 127: 65536}.get(form, 0):
            return messages, events, "length-minimal"
        payload = unmasked(data[start : start + n], data[start - 4 : start] if masked else b"")
        complete = start + n <= len(data)
        i = start + n
        if opcode >= 8:
            if complete:
                verdict = control(opcode, payload, events)
                if verdict is not None:
                    return messages, events, verdict
            continue
        if (opcode == 0) is not bool(kind):
            return messages, events, "continuation-expected" if kind else "continuation-unexpected"
        if limits.max_frame is not None and n > limits.max_frame:
            return messages, events, "frame-too-big"
        assert limits.max_message is not None
        if len(parts) + n > limits.max_message:
            return messages, events, "message-too-big"
        kind = kind or ("text" if opcode == 1 else "binary")
        count += 1
        if count > limits.max_fragments + (len(parts) + n) // limits.bytes_per_fragment:
            return messages, events, "fragments-too-many"
        parts += payload
        if kind == "text" and not is_text(parts, bool(fin) and complete):
            return messages, events, "utf8-invalid"
        if complete and fin:
            messages.append((kind, parts))
            kind, parts, count = "", b"", 0
    return messages, events, ""


def is_text(data: bytes, whole: bool) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as exc:
        return not whole and exc.reason == "unexpected end of data"
    return True


def control(opcode: int, payload: bytes, events: list[tuple[str, bytes]]) -> str | None:
    """What a control frame means: ``None`` to go on, or the end and why."""
    if opcode != 8:
        events.append(("ping" if opcode == 9 else "pong", payload))
        return None
    if len(payload) == 1:
        return "close-length"
    code = int.from_bytes(payload[:2], "big") if payload else 1005
    if payload and not (1000 <= code < 1004 or 1007 <= code < 1015 or 3000 <= code < 5000):
        return "close-code"
    if not is_text(payload[2:], True):
        return "close-utf8"
    events.append(("close", str(code).encode()))
    return ""


def target(data: bytes) -> None:
    if len(data) < 3:
        return
    flags, place, data = data[0] & 7, data[1], data[2:]
    cut = place % len(data)
    whole = run(flags, [data])
    twice = run(flags, [data[:cut], data[cut:]])
    singly = run(flags, [data[i : i + 1] for i in range(min(len(data), 2000))] + [data[2000:]])
    if flags & 4:
        # With deflate two rules may be broken at once, and which is seen first depends on the cut.
        assert whole[0] == twice[0] == singly[0]
        assert bool(whole[2]) == bool(twice[2]) == bool(singly[2])
        return
    assert whole == twice == singly
    messages, events, broken = model(flags, data)
    found = [(kind, text.split()[0] if kind == "close" else text) for kind, text in whole[1]]
    assert (whole[0], found, whole[2]) == (messages, events, broken)
