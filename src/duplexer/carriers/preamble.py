r"""The PROXY protocol, versions 1 and 2: a proxy's word, before the first byte, on who calls.

::

    version 1:  PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n
    version 2:  signature (12)  version, command (1)  family (1)  length (2)  addresses, extras

Where it is expected it is required (section 2 of its specification): a server that guessed would
let anybody say who they are.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

from duplexer.errors import InvalidMessage

__all__ = ["Preamble"]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEAD = 16  #: bytes of version 2 before the addresses
LONGEST_LINE = 107  #: bytes of version 1, with its end

_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


class Preamble:
    """Reads one.

    Show it what comes, as often as there is more, and take away the bytes that it says are its own:
    those that follow are TLS, or HTTP.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit  #: bytes that version 2 may take
        self.done = False
        #: who calls, as ``(address, port)``; ``None``: the proxy itself, or it does not know
        self.source: Any = None
        self._data = b""

    def take(self, data: bytes) -> int:
        """How many of the bytes ``data``, which come next, belong to it.

        All of them, unless ``done``. Raises :exc:`~duplexer.errors.InvalidMessage`.
        """
        before = len(self._data)
        self._data += data
        if self._data[: len(SIGNATURE)] == SIGNATURE:
            end = self._second()
        elif SIGNATURE.startswith(self._data[: len(SIGNATURE)]):
            end = None
        else:
            end = self._first()
        if end is None:
            return len(data)
        self.done = True
        return end - before

    def _first(self) -> int | None:
        line = self._data[:LONGEST_LINE]
        if not (line.startswith(b"PROXY ") or b"PROXY ".startswith(line)):
            raise InvalidMessage(
                "a PROXY header was expected: does the proxy send it, as proxy_protocol wants?"
            )
        end = line.find(b"\r\n")
        if end < 0:
            if len(line) == LONGEST_LINE or b"\n" in line:
                raise InvalidMessage("the PROXY header has no end")
            return None
        _, family, *rest = line[:end].decode("latin-1").split(" ")
        if family != "UNKNOWN":
            if family not in ("TCP4", "TCP6") or len(rest) != 4:
                raise InvalidMessage("the PROXY header cannot be read")
            kind = ipaddress.IPv4Address if family == "TCP4" else ipaddress.IPv6Address
            try:
                addresses = [str(kind(text)) for text in rest[:2]]
            except ValueError:
                raise InvalidMessage("the PROXY header has no addresses") from None
            if not all(_is_port(text) for text in rest[2:]):
                raise InvalidMessage("the PROXY header has no ports")
            self.source = addresses[0], int(rest[2])
        return end + 2

    def _second(self) -> int | None:
        data = self._data
        if len(data) < HEAD:
            return None
        size: int
        command, family, size = struct.unpack_from("!BBH", data, len(SIGNATURE))
        if command not in (_LOCAL, _PROXY):
            raise InvalidMessage(
                "the PROXY header is of an unknown version, or asks for the unknown"
            )
        if HEAD + size > self.limit:
            raise InvalidMessage(
                f"the PROXY header has {HEAD + size} bytes: Limits.max_preamble is {self.limit}"
            )
        if len(data) < HEAD + size:
            return None
        if command == _PROXY and family in (_TCP4, _TCP6):
            kind = ipaddress.IPv4Address if family == _TCP4 else ipaddress.IPv6Address
            width = 4 if family == _TCP4 else 16
            if size < 2 * width + 4:
                raise InvalidMessage("the PROXY header is too short for its addresses")
            (port,) = struct.unpack_from("!H", data, HEAD + 2 * width)
            self.source = str(kind(data[HEAD : HEAD + width])), port
        return HEAD + size


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and str(int(text)) == text and int(text) < 65536
