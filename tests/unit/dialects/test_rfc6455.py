"""The dialect of RFC 6455: who masks."""

from __future__ import annotations

import pytest

from duplexer.core.bytesops import Cork
from duplexer.core.messages import Assembler
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import ProtocolError
from duplexer.limits import DEFAULT_LIMITS
from tests.wire.frames import BINARY, KEY, build, joined, parse


def test_its_name() -> None:
    assert (RFC6455.name, RFC6455.version) == ("rfc6455", 13)


@pytest.mark.parametrize("server", [True, False])
def test_the_client_masks_and_the_server_does_not(server: bool) -> None:
    cork = Cork()
    RFC6455.encoder(server).put_frame(cork, BINARY, True, 0, b"Hello", 5)
    (frame,) = parse(joined(cork.take()))
    assert frame.payload == b"Hello" and (frame.key is None) is server
    for key in (KEY, None):
        decoder = RFC6455.decoder(Assembler(DEFAULT_LIMITS, ()), server)
        decoder.budget = 1
        data = build(BINARY, b"Hello", key=key)
        if (key is not None) is server:
            assert decoder.feed(data, 0, len(data)) == len(data)
        else:
            with pytest.raises(ProtocolError):
                decoder.feed(data, 0, len(data))
