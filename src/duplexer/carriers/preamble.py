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
START = b"PROXY "
SHORTEST_LINE = len(b"PROXY UNKNOWN\r\n")
LONGEST_LINE = 107  #: bytes of version 1, with its end

_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


class Preamble:
    """Reads one: ``feed`` it at most ``wants`` bytes at a time, until it is ``done``.

    So it never sees what follows: TLS, or HTTP.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit  #: bytes that version 2 may take
        #: who calls, as ``(address, port)``; ``None``: the proxy itself, or it does not know
        self.source: Any = None
        self.wants = len(SIGNATURE)  #: as many bytes are certainly part of it
        self._data = b""

    @property
    def done(self) -> bool:
        """Whether it is complete."""
        return not self.wants

    def feed(self, data: bytes) -> None:
        """The next bytes; none: there will be no more.

        Raises :exc:`~duplexer.errors.InvalidMessage`.
        """
        if not data:
            raise InvalidMessage("the connection ended within the PROXY header")
        self._data += data
        if self._data[: len(SIGNATURE)] == SIGNATURE:
            self._second()
        elif SIGNATURE.startswith(self._data[: len(SIGNATURE)]):
            self.wants = len(SIGNATURE) - len(self._data)
        else:
            self._first()

    def _first(self) -> None:
        line = self._data
        if not (line.startswith(START) or START.startswith(line)):
            raise InvalidMessage(
                "a PROXY header was expected: does the proxy send it, as proxy_protocol wants?"
            )
        if line.endswith(b"\r\n"):
            self.wants = 0
            self._parse(line[:-2].decode("latin-1").split(" "))
        elif len(line) >= LONGEST_LINE or b"\n" in line:
            raise InvalidMessage("the PROXY header has no end")
        elif len(line) < SHORTEST_LINE:
            self.wants = SHORTEST_LINE - len(line)
        else:
            self.wants = 1 if line.endswith(b"\r") else 2

    def _parse(self, words: list[str]) -> None:
        family, rest = words[1], words[2:]
        if family == "UNKNOWN":
            return
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

    def _second(self) -> None:
        data = self._data
        if len(data) < HEAD:
            self.wants = HEAD - len(data)
            return
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
        self.wants = HEAD + size - len(data)
        if self.wants or command == _LOCAL or family not in (_TCP4, _TCP6):
            return
        kind = ipaddress.IPv4Address if family == _TCP4 else ipaddress.IPv6Address
        width = 4 if family == _TCP4 else 16
        if size < 2 * width + 4:
            raise InvalidMessage("the PROXY header is too short for its addresses")
        (port,) = struct.unpack_from("!H", data, HEAD + 2 * width)
        self.source = str(kind(data[HEAD : HEAD + width])), port


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and str(int(text)) == text and int(text) < 65536
