"""The protocol, without I/O: bytes and the time in; events, bytes and a deadline out."""
