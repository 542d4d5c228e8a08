"""Plays a script, without I/O: steps for whoever has a byte stream, as in ``driver.steps``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from duplexer.driver.steps import Read, Write
from duplexer.handshake.server import accept_key
from duplexer.http.messages import reason_for
from duplexer.testing import frames
from duplexer.testing.script import (
    ScriptMismatch,
    ScriptStep,
    accept,
    expect_status,
    matches,
)
from duplexer.testing.waiting import Waits

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

__all__ = ["Break", "End", "Pause", "Player"]

#: What a client that is a script sends as Sec-WebSocket-Key.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
#: ... and what it masks by: any key will do, and this one is the same each time.
MASK = b"\x01\x02\x03\x04"

_NAMES = {frames.PING: "ping", frames.PONG: "pong", frames.CLOSE: "close"}


@dataclasses.dataclass(frozen=True, slots=True)
class Pause:
    """Wants ``seconds`` to pass; ``None``: all the time there is, without reading."""

    seconds: float | None


class End:
    """Wants to write no more: the byte stream ends in order."""


class Break:
    """Wants the byte stream to be broken off."""


class _Came:
    """Something that came: a message, a control frame, or the end."""

    def __init__(self, kind: str, value: Any = None) -> None:
        self.kind = kind
        self.value = value

    def __str__(self) -> str:
        if self.kind == "close":
            code, reason = self.value
            return f"a Close, {code}" + (f" {reason!r}" if reason else "")
        if self.kind == "end":
            return "the end of the connection"
        shown = repr(self.value)
        return f"{self.kind} {shown if len(shown) < 200 else shown[:200] + '...'}"


class Player(Waits):
    """Plays ``script`` once; ``steps`` is a generator that is driven over a byte stream.

    ``title`` says in messages whose script it is, ``client`` which end it plays: the client asks
    for ``path`` of ``host`` with ``headers``.
    """

    def __init__(
        self,
        script: Sequence[ScriptStep],
        title: str,
        *,
        client: bool = False,
        path: str = "/",
        host: str = "localhost",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        for step in script:
            if not isinstance(step, ScriptStep):
                raise TypeError(
                    f"a script is a list of steps such as expect('hello'), not of {step!r}"
                )
        self.script = list(script)
        if not any(step.is_opening and step.verb != "expect_request" for step in self.script):
            at = 1 if self.script and self.script[0].verb == "expect_request" else 0
            self.script.insert(at, expect_status(101) if client else accept())
        self.title = title
        self.request: list[bytes] = []  #: the lines of the opening handshake's request
        self.position = 0  #: of the step that is being played
        self.finished = False
        self.mismatch: ScriptMismatch | None = None
        self._client = client
        self._ask = (path, host, headers)
        self._buffer = bytearray()
        self._kind, self._parts = "binary", b""  # of the message that is coming in fragments
        self._ended = False
        self._last_ping = b""
        self._closed = False  # a Close has come, and one has been sent

    # -- what is said about it -------------------------------------------------------------------

    def shown(self) -> str:
        """The script, with an arrow where it is."""
        rows = [
            f"  {'>' if i == self.position else ' '} {step!r}" for i, step in enumerate(self.script)
        ]
        if self.position >= len(self.script):
            rows.append("  > (the end of the script)")
        return "\n".join(rows)

    def waiting(self) -> str | None:
        """See :class:`~duplexer.testing.waiting.Waits`."""
        if self.finished or self.mismatch is not None:
            return None
        return f"{self.title} is here, waiting:\n{self.shown()}"

    @property
    def is_stalled(self) -> bool:
        """Whether it does nothing any more, on purpose."""
        last = self.position - 1
        return self.finished and last >= 0 and self.script[last].verb == "stall"

    def fail(self, came: object) -> ScriptMismatch:
        """The error for what ``came``; the first one is kept."""
        where = min(self.position + 1, len(self.script))
        text = f"{self.title}, at step {where} of {len(self.script)}: {came}\n{self.shown()}"
        if self.mismatch is None:
            self.mismatch = ScriptMismatch(text)
        return self.mismatch

    # -- playing ---------------------------------------------------------------------------------

    def steps(self) -> Generator[Any, Any, None]:
        """Play; a mismatch ends it, tells the peer if that can be, and is kept in ``mismatch``."""
        opened = False
        try:
            if self._client:
                yield Write(self._request())
            else:
                yield from self._read_request()
            for i, step in enumerate(self.script):
                self.position = i
                if step.verb in {"refuse", "drop", "reset", "stall"}:
                    self.position += 1
                    self.finished = True
                yield from getattr(self, f"_{step.verb}")(*step.arguments)
                if self.finished:
                    return
                opened = opened or step.verb in {"accept", "answer", "expect_status"}
            self.position = len(self.script)
            yield from self._leave()
            self.finished = True
        except ScriptMismatch as exc:
            self.fail(exc)
            if not self._ended:
                yield Write(self._complaint(opened))
                yield End()

    def _complaint(self, opened: bool) -> bytes:
        text = str(self.mismatch).partition("\n")[0].encode()[:120]
        if not opened:
            return b"" if self._client else b"HTTP/1.1 500 Script Mismatch\r\n\r\n" + text
        reason = text.decode(errors="ignore").encode()
        return self._frame(frames.CLOSE, (1008).to_bytes(2, "big") + reason)

    def _frame(self, opcode: int, payload: bytes, **kwargs: Any) -> bytes:
        return frames.encode(opcode, payload, mask=MASK if self._client else None, **kwargs)

    # -- the opening handshake -------------------------------------------------------------------

    def _request(self) -> bytes:
        path, host, headers = self._ask
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {KEY}",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in headers),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _read_head(self) -> Generator[Any, Any, list[bytes]]:
        while b"\r\n\r\n" not in self._buffer:
            if not (yield from self._read()):
                raise self.fail("the connection ended within the opening handshake")
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer = bytearray(rest)
        return head.split(b"\r\n")

    def _read_request(self) -> Generator[Any, Any, None]:
        self.request = yield from self._read_head()

    def _header(self, name: str) -> str | None:
        for line in self.request[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return None

    def _expect_request(self, path: str | None, headers: dict[str, str]) -> Generator[Any]:
        yield from ()
        target = self.request[0].split(b" ")[1].decode("latin-1")
        if path is not None and target != path:
            raise self.fail(f"the request was for {target}")
        for name, value in headers.items():
            if self._header(name) != value:
                raise self.fail(f"the request had {name}: {self._header(name)}")

    def _accept(self, subprotocol: str | None, headers: dict[str, str]) -> Generator[Any]:
        key = self._header("Sec-WebSocket-Key")
        if key is None:
            raise self.fail(f"no request for a WebSocket came, but {self.request[0]!r}")
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_key(key)}",
        ]
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        yield Write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def _refuse(self, status: int, headers: dict[str, str], body: bytes) -> Generator[Any]:
        lines = [f"HTTP/1.1 {status} {reason_for(status)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"Content-Length: {len(body)}")
        yield Write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        yield End()

    def _answer(self, data: bytes) -> Generator[Any]:
        yield Write(data)

    def _expect_status(self, status: int) -> Generator[Any]:
        head = yield from self._read_head()
        if int(head[0].split(b" ")[1]) != status:
            raise self.fail(f"the server answered {head[0].decode('latin-1')!r}")

    # -- what comes ------------------------------------------------------------------------------

    def _read(self) -> Generator[Any, Any, bool]:
        if not self._ended:
            data = yield Read()
            self._buffer += data
            self._ended = not data
        return not self._ended

    def _next_frame(self) -> Generator[Any, Any, frames.Frame | None]:
        while (frame := frames.parse(self._buffer)) is None:
            if not (yield from self._read()):
                return None
        del self._buffer[: frame.size]
        if frame.masked is self._client:
            raise self.fail("a frame was masked the wrong way round (RFC 6455 5.1)")
        return frame

    def _next(self) -> Generator[Any, Any, _Came]:
        while True:
            frame = yield from self._next_frame()
            if frame is None:
                return _Came("end")
            if frame.opcode == frames.CLOSE:
                body = frame.payload
                code = int.from_bytes(body[:2], "big") if body else None
                return _Came("close", (code, body[2:].decode(errors="replace")))
            if frame.opcode in _NAMES:
                return _Came(_NAMES[frame.opcode], frame.payload)
            if frame.rsv:
                raise self.fail(f"a frame came with reserved bits set: {frame}")
            if frame.opcode != frames.CONT:
                self._kind = "text" if frame.opcode == frames.TEXT else "binary"
                self._parts = b""
            self._parts += frame.payload
            if frame.fin and self._kind == "text":
                return _Came("text", self._parts.decode(errors="replace"))
            if frame.fin:
                return _Came(self._kind, self._parts)

    def _wanted(self, *kinds: str) -> Generator[Any, Any, _Came]:
        # The next thing that is not answered or passed over by itself.
        while True:
            came = yield from self._next()
            if came.kind == "ping":
                self._last_ping = came.value
                if "ping" not in kinds:
                    yield Write(self._frame(frames.PONG, came.value))
                    continue
            if came.kind == "pong" and "pong" not in kinds:
                continue
            if came.kind not in kinds:
                raise self.fail(f"{came} came")
            return came

    def _check(self, expected: Any, came: _Came) -> None:
        if not matches(expected, came.value):
            raise self.fail(f"{came} came")

    def _expect(self, message: Any) -> Generator[Any]:
        came = yield from self._wanted("text", "binary")
        self._check(message, came)

    def _expect_ping(self, payload: Any) -> Generator[Any]:
        self._check(payload, (yield from self._wanted("ping")))

    def _expect_pong(self, payload: Any) -> Generator[Any]:
        self._check(payload, (yield from self._wanted("pong")))

    def _expect_close(self, code: Any, reason: Any) -> Generator[Any]:
        came = yield from self._wanted("close")
        if not (matches(code, came.value[0]) and matches(reason, came.value[1])):
            raise self.fail(f"{came} came")
        yield from self._confirm(came)

    def _confirm(self, came: _Came) -> Generator[Any]:
        code = came.value[0]
        yield Write(self._frame(frames.CLOSE, b"" if code is None else code.to_bytes(2, "big")))
        self._closed = True

    def _expect_end(self) -> Generator[Any]:
        yield from self._wanted("end")

    # -- what is said ----------------------------------------------------------------------------

    def _send(self, message: str | bytes) -> Generator[Any]:
        if isinstance(message, str):
            yield Write(self._frame(frames.TEXT, message.encode()))
        else:
            yield Write(self._frame(frames.BINARY, bytes(message)))

    def _ping(self, payload: bytes) -> Generator[Any]:
        yield Write(self._frame(frames.PING, payload))

    def _pong(self, payload: bytes | None) -> Generator[Any]:
        yield Write(self._frame(frames.PONG, self._last_ping if payload is None else payload))

    def _send_bytes(self, data: bytes) -> Generator[Any]:
        yield Write(data)

    def _send_frame(
        self, opcode: int, payload: bytes, fin: bool, rsv: int, masked: bool | None
    ) -> Generator[Any]:
        mask = MASK if (self._client if masked is None else masked) else None
        yield Write(frames.encode(opcode, payload, fin=fin, rsv=rsv, mask=mask))

    def _wait(self, seconds: float) -> Generator[Any]:
        yield Pause(seconds)

    # -- the end ---------------------------------------------------------------------------------

    def _close(self, code: int | None, reason: str) -> Generator[Any]:
        body = b"" if code is None else code.to_bytes(2, "big") + reason.encode()
        yield Write(self._frame(frames.CLOSE, body))
        while not self._closed and not self._ended:
            came = yield from self._next()
            self._closed = came.kind == "close"

    def _drop(self) -> Generator[Any]:
        yield End()

    def _reset(self) -> Generator[Any]:
        yield Break()

    def _stall(self) -> Generator[Any]:
        yield Pause(None)

    def _leave(self) -> Generator[Any]:
        # The script is through: only the closing handshake may be left.
        if not self._closed and not self._ended:
            came = yield from self._wanted("close", "end")
            if came.kind == "close":
                yield from self._confirm(came)
        if self._client:  # the server is the first to end TCP (RFC 6455 7.1.1)
            while not self._ended:
                yield from self._read()
        yield End()
