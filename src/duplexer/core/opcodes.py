"""What a frame or a message can be. The numbers are those of RFC 6455 5.2.

``opcodes.pxd`` repeats them for compiled modules; a test compares the two.
"""

from __future__ import annotations

__all__ = ["BINARY", "CLOSE", "CONT", "PING", "PONG", "TEXT"]

CONT = 0
TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10
