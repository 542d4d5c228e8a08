"""Messages in pieces: receiving one as it comes, sending one as it is made (RFC 6455 5.4)."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from duplexer.core.events import Piece
from duplexer.core.prepared import Prepared
from duplexer.core.sending import contiguous
from duplexer.errors import ConcurrencyError, ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from duplexer.core.session import Session

__all__ = ["WHOLE", "AsyncPieces", "Fragments", "Pieces", "check_message", "control_payload"]

#: Messages that are sent in one frame.
WHOLE = (str, bytes, bytearray, memoryview, Prepared)


def check_message(message: Any) -> Any:
    """``message`` as it can be sent: one of ``WHOLE``, or an (async) iterable of pieces.

    Raises ``TypeError`` for what is neither.
    """
    if isinstance(message, (*WHOLE, AsyncIterable)):
        return message
    if isinstance(message, Mapping):
        raise TypeError("message must be str, bytes-like or an iterable, not a mapping")
    try:
        view = memoryview(message)
    except TypeError:
        if isinstance(message, Iterable):
            return message
        raise TypeError(
            f"message must be str, bytes-like or an iterable of these, not {type(message).__name__}"
        ) from None
    return contiguous(view)


def control_payload(data: Any) -> bytes:
    """What a Ping or a Pong carries (RFC 6455 5.5): ``ValueError`` beyond 125 bytes."""
    payload = data.encode() if isinstance(data, str) else bytes(contiguous(data))
    if len(payload) > 125:
        raise ValueError(f"control frames carry at most 125 bytes, not {len(payload)} (5.5)")
    return payload


class Pieces:
    """A message that is taken in pieces, whoever waits for them.

    ``connection`` has ``open_session()``, ``streaming`` (the ``reader`` of who takes pieces, or
    ``None``) and ``is_receiving()`` (whether somebody waits for a message now). A front's iterator
    inherits from this: no generator, which would end some time after a ``break``, when the next
    ``recv()`` has come already.
    """

    __slots__ = ("_connection", "_decode", "_decoder", "delivered", "finished", "reader")

    def __init__(self, connection: Any, decode: bool | None) -> None:
        self._connection = connection
        self._decode = decode
        self.reader: Any = object()  # stands for us: the connection is not to keep us alive
        self._decoder: codecs.IncrementalDecoder | None = None
        self.delivered = False  # something was handed out
        self.finished = False

    def begin(self) -> None:
        """Become the one who reads, unless we are."""
        connection = self._connection
        if connection.streaming is self.reader:
            return
        session = connection.open_session()
        if connection.streaming is not None or connection.is_receiving():
            raise ConcurrencyError("recv_streaming() is called while another task is receiving")
        if not session.inbox.count and connection.finishing is None:
            session.assembler.streaming = True
            session.assembler.flush_piece()
        connection.streaming = self.reader

    def pause(self) -> None:
        """Waiting was cancelled: if nothing was taken, somebody else may take all of it."""
        session = self._connection.open_session()
        if not self.delivered and not isinstance(session.inbox.first, Piece):
            session.assembler.streaming = False
            self._let_go()

    def leave(self) -> None:
        """Read no more; the rest of the message is discarded."""
        if self._connection.streaming is not self.reader:
            return
        if not self.finished:
            self._connection.open_session().assembler.abandon()
        self._let_go()

    def _let_go(self) -> None:
        self._connection.streaming = None
        if self._connection.finishing is not None:  # it has waited for the end of this one
            self._connection.look_again()

    def take(self, message: Any) -> str | bytes | None:
        """What to hand out of what came; ``None`` for nothing: see whether it is ``finished``."""
        last = True
        if isinstance(message, Piece):
            last = message.fin
            message = message.data
        if last:
            self.finished = True
            self.leave()
        piece = self._convert(message, last)
        if piece or (last and not self.delivered):
            self.delivered = True
            return piece
        return None

    def _convert(self, message: str | bytes, last: bool) -> str | bytes:
        if self._decode is False and isinstance(message, str):
            return message.encode()
        if self._decode and isinstance(message, bytes):
            if self._decoder is None:
                self._decoder = codecs.getincrementaldecoder("utf-8")()
            return self._decoder.decode(message, last)
        return message

    def __del__(self) -> None:
        self.leave()


class AsyncPieces(Pieces):
    """The pieces of one message, as an async iterator. A front defines ``receive``."""

    __slots__ = ()

    async def receive(self) -> Any:
        """The next message or piece for ``self.reader``."""
        raise NotImplementedError

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str | bytes:
        while not self.finished:
            self.begin()
            try:
                message = await self.receive()
            except ConnectionClosed:
                self.leave()
                raise
            except BaseException:  # cancelled
                self.pause()
                raise
            piece = self.take(message)
            if piece is not None:
                return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Discard the rest of the message."""
        self.leave()
        self.finished = True


class Fragments:
    """A message that is sent in pieces: the first one says whether it is text.

    The last frame is an empty one, because only the end of the pieces says which was the last.
    """

    __slots__ = ("_compress", "_kind", "_session", "_text")

    def __init__(self, session: Session, text: bool | None, compress: bool | None) -> None:
        self._session = session
        self._text = text
        self._compress = compress
        self._kind: bool | None = None  # whether pieces are ``str``

    def put(self, piece: Any) -> None:
        """Send a piece; ``TypeError`` if it is of another kind than the first."""
        is_text = isinstance(piece, str)
        if self._kind is None:
            self._kind = is_text
        elif is_text is not self._kind:
            raise TypeError("all pieces of a message must be str, or all bytes-like")
        data = piece.encode() if is_text else bytes(contiguous(piece))
        text = self._kind if self._text is None else self._text
        self._session.send_part(data, text, False, self._compress)

    async def send_each(
        self,
        pieces: AsyncIterable[Any],
        hand_over: Callable[[], Awaitable[None]],
        settle: Callable[[], None],
    ) -> None:
        """Send all pieces, and the end: one is handed over before the next is asked for.

        What they fail by is raised, and ``settle()`` is called if that ends the connection.
        """
        try:
            async for piece in pieces:
                self.put(piece)
                await hand_over()
            self.end()
        except BaseException as exc:
            if self.fail(exc):
                settle()
            raise

    def end(self) -> None:
        """That was all; without a piece there is no message."""
        if self._kind is not None:
            self._session.send_part(b"", False, True)

    def fail(self, exc: BaseException) -> bool:
        """The pieces have come to a bad end; true if that ends the connection too.

        Half a message is out then, and it cannot be finished: the connection is of no use.
        """
        session = self._session
        if self._kind is None or not session.sending or not session.is_open:
            return False
        session.fail(exc, 1011, "error in fragmented message")
        return True
