"""TLS of a client: whom to trust by default, and TLS over any byte stream, without I/O."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["TlsLayer", "default_context"]

#: TLS records hold at most this much.
_RECORD = 16 * 1024


def default_context() -> ssl.SSLContext:
    """A context that trusts whom the system trusts, checks names, and offers HTTP/1.1 by ALPN.

    With the extra ``truststore`` the operating system itself checks certificates, by the rules of
    its administrator; without it OpenSSL does, with the authorities that it finds on the disk.
    """
    context: ssl.SSLContext
    try:
        # Compiled, a plain `import` does not notice that the name is blocked (`None`).
        from truststore import SSLContext as Trusting
    except ImportError:
        context = ssl.create_default_context()
    else:
        context = Trusting(ssl.PROTOCOL_TLS_CLIENT)
    # A server that speaks HTTP/2 as well must not choose that: it has another handshake.
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsLayer:
    """One TLS connection over any byte stream, which may be TLS itself.

    ::

        handshake()  ──► bytes to write, or None to be sent what came, until it is done
        early()      ──► what the peer said along with the last of it
        decrypt(data) ──► what the peer said          encrypt(data) ──► bytes to write
        receive(data), read_into(buffer) until 0      the same without a copy
        outgoing()   ──► bytes that TLS itself has to write, after decrypt()
        finish()     ──► the last bytes to write

    Raises :exc:`ssl.SSLError`, above all :exc:`ssl.SSLCertVerificationError`.
    """

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None) -> None:
        """``server_hostname``: whom to ask for, as a client; ``None`` for a server."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
        )
        #: Whether the peer has said that nothing follows (RFC 8446 6.1).
        self.at_end = False

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """For its ``getpeercert()``, ``version()`` and so on."""
        return self._object

    def handshake(self) -> Generator[bytes | None, bytes, None]:
        """Yields bytes to write, and ``None`` to be sent what came; ``b""`` says it is the end."""
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                written = self._outgoing.read()
                if written:
                    yield written
                data = yield None
                if not data:
                    raise ssl.SSLEOFError(
                        ssl.SSL_ERROR_EOF, "the peer left during the TLS handshake"
                    ) from None
                self._incoming.write(data)
            else:
                break
        written = self._outgoing.read()
        if written:
            yield written

    def early(self) -> bytes:
        """What the peer said together with the end of its handshake."""
        return self._read() if self._incoming.pending else b""

    def decrypt(self, data: bytes | memoryview) -> bytes:
        """What the peer said, as far as it is complete; ``data=b""`` says that the stream ended.

        Raises :exc:`ssl.SSLError` if that came before the peer's end: somebody may have cut it.
        """
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return self._read()

    def _read(self) -> bytes:
        pieces = []
        while not self.at_end:
            try:
                piece = self._object.read(_RECORD)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                piece = b""
            if not piece:
                self.at_end = True
            pieces.append(piece)
            if not (self._incoming.pending or self._incoming.eof or self._object.pending()):
                break  # the next read would only say so, by raising
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def receive(self, data: bytes | memoryview) -> None:
        """Take ``data``, and leave it to ``read_into()`` to decrypt it."""
        self._incoming.write(data)

    def read_into(self, buffer: bytearray) -> int:
        """Put more of what the peer said into ``buffer``: so many bytes; 0 when that was all."""
        if self.at_end or not (self._incoming.pending or self._object.pending()):
            return 0
        try:
            n: Any = self._object.read(len(buffer), buffer)
        except ssl.SSLWantReadError:
            return 0
        except ssl.SSLZeroReturnError:
            n = 0
        if not n:
            self.at_end = True
        return n  # type: ignore[no-any-return]  # typeshed has bytes

    def encrypt(self, data: bytes) -> bytes:
        """The bytes to write in place of ``data``."""
        if data:
            self._object.write(data)
        return self._outgoing.read()

    def outgoing(self) -> bytes:
        """What TLS has to say by itself: new keys, alerts."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def finish(self) -> bytes:
        """Say that nothing follows: the bytes to write. Nothing may be encrypted after that."""
        try:
            self._object.unwrap()
        except ssl.SSLError:
            pass  # the peer's own end is not waited for
        return self._outgoing.read()
