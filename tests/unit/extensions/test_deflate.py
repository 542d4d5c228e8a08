"""permessage-deflate (RFC 7692): negotiation in both roles, and messages both ways."""

from __future__ import annotations

import base64
import random
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.core.extension import Extension
from duplexer.errors import (
    DuplicateParameter,
    InvalidParameterName,
    InvalidParameterValue,
    NegotiationError,
    ProtocolError,
)
from duplexer.extensions import zlibs
from duplexer.extensions.deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
    enable_client_permessage_deflate,
    enable_server_permessage_deflate,
)
from duplexer.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

Params = list[tuple[str, str | None]]

TAIL = b"\x00\x00\xff\xff"
TEXT = b'{"type":"trade","symbol":"BTC-USD","price":27123.41,"size":12,"side":"buy"},'
BACKENDS = {
    "module": {"_zlib": None, "isal_zlib": None, "zlib_ng": None},
    "zlib": {"isal_zlib": None, "zlib_ng": None},
    "best": {},
}


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for attribute, value in BACKENDS[request.param].items():
        monkeypatch.setattr(zlibs, attribute, value)
    monkeypatch.setattr(zlibs, "_shared", {})
    name: str = request.param
    return name


def params(text: str) -> Params:
    """``"a; b=1"`` → ``[("a", None), ("b", "1")]``; S, C stand for server and client."""
    found: Params = []
    for item in filter(None, (part.strip() for part in text.split(";"))):
        name, _, value = item.partition("=")
        side = {"S": "server", "C": "client"}.get(name[:1])
        short = {"nct": "no_context_takeover", "mwb": "max_window_bits"}.get(name[1:])
        full = f"{side}_{short}" if side and short else name
        found.append((full, value if "=" in item else None))
    return found


def short(parameters: Sequence[tuple[str, str | None]]) -> str:
    text = []
    for name, value in parameters:
        name = name.replace("server_", "S").replace("client_", "C")
        name = name.replace("no_context_takeover", "nct").replace("max_window_bits", "mwb")
        text.append(name if value is None else f"{name}={value}")
    return "; ".join(text)


def agreed(extension: PerMessageDeflate) -> tuple[int, int, int, int]:
    """Without takeover: remote, local; windows: remote, local."""
    return (
        int(extension.remote_no_context_takeover),
        int(extension.local_no_context_takeover),
        extension.remote_max_window_bits,
        extension.local_max_window_bits,
    )


# -- the server's side of the negotiation ----------------------------------------------------------

#: (factory's arguments, offer, answer, agreement) with None for "declined"
SERVER: list[tuple[dict[str, Any], str, str | None, tuple[int, int, int, int] | None]] = [
    # nothing configured: what the client wishes
    ({}, "", "", (0, 0, 15, 15)),
    ({}, "Snct", "Snct", (0, 1, 15, 15)),
    ({}, "Cnct", "Cnct", (1, 0, 15, 15)),
    ({}, "Snct; Cnct", "Snct; Cnct", (1, 1, 15, 15)),
    ({}, "Cnct; Snct", "Snct; Cnct", (1, 1, 15, 15)),
    ({}, "Smwb=8", "Smwb=8", (0, 0, 15, 8)),
    ({}, "Smwb=9", "Smwb=9", (0, 0, 15, 9)),
    ({}, "Smwb=10", "Smwb=10", (0, 0, 15, 10)),
    ({}, "Smwb=15", "Smwb=15", (0, 0, 15, 15)),
    ({}, "Cmwb", "", (0, 0, 15, 15)),
    ({}, "Cmwb=8", "Cmwb=8", (0, 0, 8, 15)),
    ({}, "Cmwb=11", "Cmwb=11", (0, 0, 11, 15)),
    ({}, "Cmwb=15", "Cmwb=15", (0, 0, 15, 15)),
    ({}, "Smwb=9; Cmwb=10", "Smwb=9; Cmwb=10", (0, 0, 10, 9)),
    (
        {},
        "Snct; Cnct; Smwb=9; Cmwb=10",
        "Snct; Cnct; Smwb=9; Cmwb=10",
        (1, 1, 10, 9),
    ),
    # asked for by the server, unasked by the client
    ({"server_no_context_takeover": True}, "", "Snct", (0, 1, 15, 15)),
    ({"server_no_context_takeover": True}, "Snct", "Snct", (0, 1, 15, 15)),
    ({"client_no_context_takeover": True}, "", "Cnct", (1, 0, 15, 15)),
    ({"client_no_context_takeover": True}, "Cnct", "Cnct", (1, 0, 15, 15)),
    ({"server_max_window_bits": 12}, "", "Smwb=12", (0, 0, 15, 12)),
    ({"server_max_window_bits": 12}, "Smwb=15", "Smwb=12", (0, 0, 15, 12)),
    ({"server_max_window_bits": 12}, "Smwb=12", "Smwb=12", (0, 0, 15, 12)),
    ({"server_max_window_bits": 12}, "Smwb=9", "Smwb=9", (0, 0, 15, 9)),
    ({"server_max_window_bits": 8}, "Smwb=9", "Smwb=8", (0, 0, 15, 8)),
    # never client_max_window_bits in the answer unless offered
    ({"client_max_window_bits": 12}, "", "", (0, 0, 15, 15)),
    ({"client_max_window_bits": 12}, "Smwb=9", "Smwb=9", (0, 0, 15, 9)),
    ({"client_max_window_bits": 12}, "Cmwb", "Cmwb=12", (0, 0, 12, 15)),
    ({"client_max_window_bits": 12}, "Cmwb=15", "Cmwb=12", (0, 0, 12, 15)),
    ({"client_max_window_bits": 12}, "Cmwb=12", "Cmwb=12", (0, 0, 12, 15)),
    ({"client_max_window_bits": 12}, "Cmwb=9", "Cmwb=9", (0, 0, 9, 15)),
    ({"client_max_window_bits": 8}, "Cmwb", "Cmwb=8", (0, 0, 8, 15)),
    (
        {"client_max_window_bits": 12, "require_client_max_window_bits": True},
        "Cmwb",
        "Cmwb=12",
        (0, 0, 12, 15),
    ),
    (
        {"client_max_window_bits": 12, "require_client_max_window_bits": True},
        "Snct",
        None,
        None,
    ),
    # browsers
    (
        {"server_max_window_bits": 12, "client_max_window_bits": 12},
        "Cmwb",
        "Smwb=12; Cmwb=12",
        (0, 0, 12, 12),
    ),
    ({"server_max_window_bits": 12, "client_max_window_bits": 12}, "", "Smwb=12", (0, 0, 15, 12)),
]

MALFORMED_OFFERS: list[tuple[str, type[NegotiationError]]] = [
    ("Smwb", InvalidParameterValue),
    ("Smwb=", InvalidParameterValue),
    ("Smwb=7", InvalidParameterValue),
    ("Smwb=16", InvalidParameterValue),
    ("Smwb=08", InvalidParameterValue),
    ("Smwb=+9", InvalidParameterValue),
    ("Smwb= 9", InvalidParameterValue),
    ("Smwb=9.0", InvalidParameterValue),
    ("Smwb=0x9", InvalidParameterValue),
    ("Smwb=\u0669", InvalidParameterValue),
    ("Smwb=-10", InvalidParameterValue),
    ("Smwb=999999999999999999999", InvalidParameterValue),
    ("Cmwb=", InvalidParameterValue),
    ("Cmwb=7", InvalidParameterValue),
    ("Cmwb=16", InvalidParameterValue),
    ("Cmwb=015", InvalidParameterValue),
    ("Cmwb=true", InvalidParameterValue),
    ("Snct=", InvalidParameterValue),
    ("Snct=true", InvalidParameterValue),
    ("Snct=1", InvalidParameterValue),
    ("Cnct=9", InvalidParameterValue),
    ("Snct; Snct", DuplicateParameter),
    ("Cnct; Snct; Cnct", DuplicateParameter),
    ("Smwb=9; Smwb=9", DuplicateParameter),
    ("Cmwb; Cmwb=9", DuplicateParameter),
    ("level=9", InvalidParameterName),
    ("Snct; foo", InvalidParameterName),
    ("SERVER_NO_CONTEXT_TAKEOVER", InvalidParameterName),
    ("server_max_window_bit=9", InvalidParameterName),
    ("_make", InvalidParameterName),
]


class TestServer:
    @pytest.mark.parametrize(("arguments", "offer", "answer", "agreement"), SERVER)
    def test_table(
        self,
        arguments: dict[str, Any],
        offer: str,
        answer: str | None,
        agreement: tuple[int, int, int, int] | None,
    ) -> None:
        factory = ServerPerMessageDeflateFactory(**arguments)
        if answer is None:
            with pytest.raises(NegotiationError):
                factory.accept(params(offer), [])
            return
        given, extension = factory.accept(params(offer), [])
        assert short(given) == answer
        assert agreed(extension) == agreement
        assert extension.parameters == given
        # and a client that made this offer is content with this answer
        wish = dict(params(offer))
        bits = wish.get("client_max_window_bits", "missing")
        server_bits = wish.get("server_max_window_bits")
        client = ClientPerMessageDeflateFactory(
            "server_no_context_takeover" in wish,
            "client_no_context_takeover" in wish,
            int(server_bits) if server_bits else None,
            None if bits == "missing" else True if bits is None else int(bits),
        )
        assert set(client.offer()) == set(params(offer))
        theirs = client.accept(given, [])
        assert theirs.remote_no_context_takeover == extension.local_no_context_takeover
        assert theirs.local_no_context_takeover == extension.remote_no_context_takeover
        assert theirs.remote_max_window_bits == extension.local_max_window_bits
        assert theirs.local_max_window_bits <= extension.remote_max_window_bits

    @pytest.mark.parametrize(("offer", "error"), MALFORMED_OFFERS)
    def test_malformed_offers_are_declined(self, offer: str, error: type[NegotiationError]) -> None:
        with pytest.raises(error):
            ServerPerMessageDeflateFactory().accept(params(offer), [])

    def test_whoever_has_rsv1_excludes_it(self) -> None:
        class Other(Extension):
            name = "x-other"
            rsv = 4

        with pytest.raises(NegotiationError, match="x-other"):
            ServerPerMessageDeflateFactory().accept([], [Other()])
        with pytest.raises(NegotiationError, match="x-other"):
            ClientPerMessageDeflateFactory().accept([], [Other()])
        Other.rsv = 2
        ServerPerMessageDeflateFactory().accept([], [Other()])
        ClientPerMessageDeflateFactory().accept([], [Other()])

    @pytest.mark.parametrize(
        "arguments",
        [
            {"server_max_window_bits": 7},
            {"server_max_window_bits": 16},
            {"server_max_window_bits": True},
            {"server_max_window_bits": "12"},
            {"client_max_window_bits": 7},
            {"client_max_window_bits": True},
            {"client_max_window_bits": 9.0},
            {"require_client_max_window_bits": True},
            {"compress_settings": {"level": 10}},
            {"compress_settings": {"memLevel": 0}},
            {"compress_settings": {"strategy": 5}},
            {"compress_settings": {"level": True}},
            {"compress_settings": {"level": "6"}},
        ],
    )
    def test_invalid_arguments(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"must be|needs"):
            ServerPerMessageDeflateFactory(**arguments)

    @pytest.mark.parametrize("key", ["wbits", "mem_level", "zdict"])
    def test_unknown_settings(self, key: str) -> None:
        with pytest.raises(TypeError, match=key):
            ServerPerMessageDeflateFactory(compress_settings={key: 5})


# -- the client's side -----------------------------------------------------------------------------

#: (factory's arguments, offer, answer, agreement), with an error's class for a failed connection
CLIENT: list[tuple[dict[str, Any], str, str, Any]] = [
    ({}, "Cmwb", "", (0, 0, 15, 12)),
    ({}, "Cmwb", "Snct", (1, 0, 15, 12)),  # may come unasked
    ({}, "Cmwb", "Cnct", (0, 1, 15, 12)),
    ({}, "Cmwb", "Snct; Cnct", (1, 1, 15, 12)),
    ({}, "Cmwb", "Smwb=8", (0, 0, 8, 12)),
    ({}, "Cmwb", "Smwb=15", (0, 0, 15, 12)),
    ({}, "Cmwb", "Cmwb=15", (0, 0, 15, 12)),
    ({}, "Cmwb", "Cmwb=12", (0, 0, 15, 12)),
    ({}, "Cmwb", "Cmwb=10", (0, 0, 15, 10)),
    ({}, "Cmwb", "Cmwb=8", (0, 0, 15, 8)),
    ({}, "Cmwb", "Smwb=9; Cmwb=10; Cnct; Snct", (1, 1, 9, 10)),
    ({"client_max_window_bits": None}, "", "", (0, 0, 15, 12)),
    ({"client_max_window_bits": False}, "", "", (0, 0, 15, 12)),
    ({"client_max_window_bits": None}, "", "Cmwb=15", NegotiationError),
    ({"client_max_window_bits": None}, "", "Cmwb=9", NegotiationError),
    ({"client_max_window_bits": 15}, "Cmwb=15", "", (0, 0, 15, 15)),
    ({"client_max_window_bits": 15}, "Cmwb=15", "Cmwb=15", (0, 0, 15, 15)),
    ({"client_max_window_bits": 10}, "Cmwb=10", "", (0, 0, 15, 10)),
    ({"client_max_window_bits": 10}, "Cmwb=10", "Cmwb=10", (0, 0, 15, 10)),
    ({"client_max_window_bits": 10}, "Cmwb=10", "Cmwb=9", (0, 0, 15, 9)),
    ({"client_max_window_bits": 10}, "Cmwb=10", "Cmwb=11", NegotiationError),
    ({"client_max_window_bits": 8}, "Cmwb=8", "Cmwb=8", (0, 0, 15, 8)),
    ({"server_no_context_takeover": True}, "Snct; Cmwb", "Snct", (1, 0, 15, 12)),
    ({"server_no_context_takeover": True}, "Snct; Cmwb", "", NegotiationError),
    ({"server_no_context_takeover": True}, "Snct; Cmwb", "Cnct", NegotiationError),
    ({"client_no_context_takeover": True}, "Cnct; Cmwb", "Cnct", (0, 1, 15, 12)),
    ({"client_no_context_takeover": True}, "Cnct; Cmwb", "", (0, 1, 15, 12)),
    ({"server_max_window_bits": 10}, "Smwb=10; Cmwb", "Smwb=10", (0, 0, 10, 12)),
    ({"server_max_window_bits": 10}, "Smwb=10; Cmwb", "Smwb=8", (0, 0, 8, 12)),
    ({"server_max_window_bits": 10}, "Smwb=10; Cmwb", "Smwb=11", NegotiationError),
    ({"server_max_window_bits": 10}, "Smwb=10; Cmwb", "", NegotiationError),
    # malformed answers
    ({}, "Cmwb", "Cmwb", InvalidParameterValue),
    ({}, "Cmwb", "Smwb", InvalidParameterValue),
    ({}, "Cmwb", "Smwb=7", InvalidParameterValue),
    ({}, "Cmwb", "Smwb=010", InvalidParameterValue),
    ({}, "Cmwb", "Cmwb=16", InvalidParameterValue),
    ({}, "Cmwb", "Snct=1", InvalidParameterValue),
    ({}, "Cmwb", "Snct; Snct", DuplicateParameter),
    ({}, "Cmwb", "Smwb=9; Smwb=10", DuplicateParameter),
    ({}, "Cmwb", "x", InvalidParameterName),
]


class TestClient:
    @pytest.mark.parametrize(("arguments", "offer", "answer", "agreement"), CLIENT)
    def test_table(
        self, arguments: dict[str, Any], offer: str, answer: str, agreement: Any
    ) -> None:
        factory = ClientPerMessageDeflateFactory(**arguments)
        assert short(factory.offer()) == offer
        if isinstance(agreement, type):
            with pytest.raises(agreement):
                factory.accept(params(answer), [])
        else:
            extension = factory.accept(params(answer), [])
            assert agreed(extension) == agreement
            assert list(extension.parameters) == params(answer)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"server_max_window_bits": 7},
            {"server_max_window_bits": True},
            {"client_max_window_bits": 16},
            {"client_max_window_bits": "9"},
            {"compress_settings": {"level": -2}},
        ],
    )
    def test_invalid_arguments(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be"):
            ClientPerMessageDeflateFactory(**arguments)

    def test_every_pair_of_factories_agrees(self) -> None:
        windows = (None, 8, 12, 15)
        flags = (False, True)
        for s_nct, c_nct in ((a, b) for a in flags for b in flags):
            for s_bits in windows:
                for c_bits in (*windows, True):
                    client = ClientPerMessageDeflateFactory(s_nct, c_nct, s_bits, c_bits)
                    for own in windows:
                        server = ServerPerMessageDeflateFactory(c_nct, s_nct, own, own)
                        answer, theirs = server.accept(client.offer(), [])
                        ours = client.accept(answer, [])
                        assert ours.remote_max_window_bits == theirs.local_max_window_bits
                        assert ours.local_max_window_bits <= theirs.remote_max_window_bits


class TestEnable:
    def test_server(self) -> None:
        (factory,) = enable_server_permessage_deflate()
        answer, extension = factory.accept(params("Cmwb"), [])
        assert short(answer) == "Smwb=12; Cmwb=12"
        assert isinstance(extension, PerMessageDeflate)
        own = ServerPerMessageDeflateFactory()
        assert enable_server_permessage_deflate([own]) == [own]

    def test_client(self) -> None:
        (factory,) = enable_client_permessage_deflate(None)
        assert short(factory.offer()) == "Cmwb"
        own = ClientPerMessageDeflateFactory()
        assert enable_client_permessage_deflate((own,)) == [own]

    def test_limits_are_handed_on(self) -> None:
        limits = Limits(deflate_min=1000)
        (server,) = enable_server_permessage_deflate(limits=limits)
        (client,) = enable_client_permessage_deflate(limits=limits)
        for extension in (server.accept([], [])[1], client.accept([], [])):
            assert not extension.wants("x" * 999, 999, True, None)
            assert extension.wants("x" * 1000, 1000, True, None)


# -- messages ----------------------------------------------------------------------------------


def pair(
    no_takeover: bool = False, bits: int = 12, limits: Limits | None = None
) -> tuple[PerMessageDeflate, PerMessageDeflate]:
    """Both ends of a connection."""
    limits = limits or Limits()
    ours = PerMessageDeflate(no_takeover, no_takeover, bits, bits, limits=limits)
    theirs = PerMessageDeflate(no_takeover, no_takeover, bits, bits, limits=limits)
    return ours, theirs


class Peer:
    """What the other end does when it is written with Python's zlib and nothing else."""

    def __init__(self, bits: int, takeover: bool) -> None:
        self.bits = bits
        self.takeover = takeover
        self.renew()

    def renew(self) -> None:
        self.deflate = zlib.compressobj(wbits=-max(9, self.bits))
        self.inflate = zlib.decompressobj(-self.bits)

    def send(self, data: bytes) -> bytes:
        if not self.takeover:
            self.renew()
        wire = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        return wire[:-4] or b"\x00"

    def receive(self, wire: bytes) -> bytes:
        if not self.takeover:
            self.renew()
        return self.inflate.decompress(wire + TAIL)


class TestMessages:
    def test_rfc_examples(self, backend: str) -> None:
        # The very bytes of RFC 7692 7.2.3: "Hello", and "Hello" again, with takeover and without.
        ours, _ = pair(bits=15)
        assert ours.decode(bytes.fromhex("f248cdc9c90700"), True, None) == b"Hello"
        assert ours.decode(bytes.fromhex("f200110000"), True, None) == b"Hello"
        assert (
            ours.decode(bytes.fromhex("f248cd"), False, None)
            + ours.decode(bytes.fromhex("c9c90700"), True, None)
            == b"Hello"
        )
        if backend != "best":
            assert ours.encode(b"Hello", True, True).hex() == "f248cdc9c90700"
            assert ours.encode(b"Hello", True, True).hex() == "f200110000"
            ours, _ = pair(no_takeover=True, bits=15)
            for _ in range(2):
                assert ours.encode(b"Hello", True, True).hex() == "f248cdc9c90700"

    @pytest.mark.parametrize("bits", range(8, 16))
    @pytest.mark.parametrize("takeover", [True, False])
    def test_round_trips_with_zlib(self, backend: str, bits: int, takeover: bool) -> None:
        rng = random.Random(bits)
        ours, _ = pair(not takeover, bits)
        peer = Peer(bits, takeover)
        previous = b""
        for _ in range(60):
            kind = rng.randrange(5)
            n = rng.choice((0, 1, 5, 100, 2048, 70_000))
            data = (rng.randbytes(n), TEXT * (n // 60), previous, bytes(n), previous[::-1])[kind]
            previous = data
            # out, in up to four fragments
            cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))
            ends = [*cuts, len(data)]
            wire = b""
            for i, (start, end) in enumerate(zip([0, *cuts], ends, strict=True)):
                wire += ours.encode(data[start:end], i == len(cuts), i == 0)
            assert peer.receive(wire) == data
            # in, in up to four fragments
            wire = peer.send(data)
            cuts = sorted(rng.randrange(len(wire) + 1) for _ in range(rng.randrange(4)))
            got = b""
            for i, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(wire)], strict=True)):
                got += ours.decode(wire[start:end], i == len(cuts), len(data) - len(got))
            assert got == data

    @given(
        script=st.lists(st.tuples(st.sampled_from("soprx"), st.integers(0, 3)), max_size=12),
        no_takeover=st.booleans(),
    )
    def test_any_order_of_doings(self, script: list[tuple[str, int]], no_takeover: bool) -> None:
        """Messages, fragments, prepared ones, releases, uncompressed ones: all are understood."""
        ours, theirs = pair(no_takeover)
        texts = (b"", TEXT, TEXT[::-1] * 9, random.Random(1).randbytes(300))
        for action, which in script:
            data = texts[which]
            if action == "s":
                assert theirs.decode(ours.encode(data, True, True), True, len(data)) == data
            elif action == "o":
                assert theirs.decode(ours.encode(data, False, True), False, len(data)) == data
                ours.release()
                theirs.release()
                assert theirs.decode(ours.encode(data, True, False), True, len(data)) == data
            elif action == "p":
                wire = ours.prepare(data)
                ours.prepared_sent()
                assert theirs.decode(wire, True, None) == data
            elif action == "r":
                ours.release()
                theirs.release()
            else:  # another connection prepares what this one sends
                other, _ = pair(no_takeover)
                other.encode(TEXT, True, True)
                assert other.prepare_key() == ours.prepare_key()
                wire = other.prepare(data)
                ours.prepared_sent()
                assert theirs.decode(wire, True, None) == data

    def test_kinds_of_data(self, backend: str) -> None:
        ours, theirs = pair()
        for kind in (bytes, bytearray, memoryview):
            assert theirs.decode(ours.encode(kind(TEXT), True, True), True, None) == TEXT

    def test_nothing(self, backend: str) -> None:
        ours, theirs = pair()
        assert ours.encode(b"", True, True) == b"\x00"
        assert theirs.decode(b"\x00", True, 0) == b""
        assert theirs.decode(b"", True, 0) == b""  # RSV1, and no payload at all
        assert theirs.decode(ours.encode(TEXT, True, True), True, None) == TEXT
        assert theirs.decode(b"", True, 0) == b""
        assert theirs.decode(ours.encode(TEXT, True, True), True, None) == TEXT

    def test_fragments_arrive_at_once(self, backend: str) -> None:
        ours, theirs = pair()
        for i, word in enumerate((b"one ", b"two ", b"three")):
            assert theirs.decode(ours.encode(word, False, i == 0), False, None) == word
        assert theirs.decode(ours.encode(b"", True, False), True, None) == b""

    def test_fragments_without_takeover(self, backend: str) -> None:
        ours, _ = pair(no_takeover=True)
        wires = set()
        for _ in range(3):
            wire = ours.encode(TEXT, False, True) + ours.encode(TEXT, True, False)
            assert zlib.decompressobj(-12).decompress(wire + TAIL) == TEXT * 2
            wires.add(wire)
        assert len(wires) == 1

    def test_settings_matter(self) -> None:
        sizes = []
        data = TEXT + random.Random(1).randbytes(100) + TEXT
        for level in (0, 6):
            extension = PerMessageDeflate(False, False, 15, 15, {"level": level, "memLevel": 9})
            wire = extension.encode(data, True, True)
            assert zlib.decompressobj(-15).decompress(wire + TAIL) == data
            sizes.append(len(wire))
        assert sizes[0] > len(data) > sizes[1]

    def test_repr(self) -> None:
        assert repr(PerMessageDeflate(True, False, 12, 8)) == (
            "PerMessageDeflate(remote_no_context_takeover=True, local_no_context_takeover=False, "
            "remote_max_window_bits=12, local_max_window_bits=8)"
        )

    @pytest.mark.parametrize("bits", [(7, 12), (12, 16), (True, 12)])
    def test_invalid_windows(self, bits: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="window_bits must be between 8 and 15"):
            PerMessageDeflate(False, False, *bits)


class TestWants:
    def test_by_size(self) -> None:
        ours, _ = pair()
        for text in (True, False):
            assert not ours.wants(b"", 0, text, None)
            assert not ours.wants(b"x" * 127, 127, text, None)
            assert ours.wants(b"x" * 128, 128, text, None)

    def test_the_user_decides(self) -> None:
        ours, _ = pair()
        noise = random.Random(1).randbytes(10_000)
        assert ours.wants(b"", 0, True, True)
        assert ours.wants(noise, len(noise), False, True)
        assert not ours.wants("x" * 10_000, 10_000, True, False)

    def test_no_minimum(self) -> None:
        ours, _ = pair(limits=Limits(deflate_min=0))
        assert ours.wants(b"", 0, True, None)

    def test_what_looks_random(self) -> None:
        """Long enough to look at, and binary: text says at most six bits a byte at random."""
        ours, _ = pair()
        noise = random.Random(1).randbytes(10_000)
        assert not ours.wants(noise, len(noise), False, None)
        assert not ours.wants(memoryview(noise), len(noise), False, None)
        assert not ours.wants(noise, 1 << 20, False, None)  # the first piece of more
        assert ours.wants(noise[:4095], 4095, False, None)
        assert ours.wants("x" * 10_000, 10_000, False, None)  # str as a binary message
        wide = PerMessageDeflate(False, False, 15, 15)  # it may repeat what is in the window
        assert wide.wants(noise, len(noise), False, None)
        assert not wide.wants(noise * 4, 4 * len(noise), False, None)
        assert ours.wants(base64.b64encode(noise), len(noise), True, None)

    def test_what_is_sent_uncompressed_enters_no_window(self, backend: str) -> None:
        """A secret sent with compress=False cannot be guessed at by later sizes (CRIME)."""
        secret = random.Random(1).randbytes(500)
        ours, _ = pair()
        assert not ours.wants(secret, len(secret), True, False)
        assert len(ours.encode(secret, True, True)) > 480
        assert len(ours.encode(secret, True, True)) < 100


class TestPrepared:
    def test_keys(self) -> None:
        keys = {
            PerMessageDeflate(remote, local, far, near, settings).prepare_key()
            for remote in (False, True)
            for local in (False, True)
            for far in (9, 15)
            for near in (9, 12)
            for settings in (None, {"level": 6})
        }
        assert len(keys) == 4  # our window and settings; all the rest is for others to know

    def test_among_ordinary_ones(self, backend: str) -> None:
        """A peer that keeps its window understands both, in any order."""
        ours, _ = pair()
        other, _ = pair()
        peer = Peer(12, takeover=True)
        rng = random.Random(1)
        for _ in range(50):
            data = TEXT * rng.randrange(1, 40) + rng.randbytes(20)
            if rng.random() < 0.5:
                wire = rng.choice((ours, other)).prepare(data)
                ours.prepared_sent()
            else:
                wire = ours.encode(data, True, True)
            assert peer.receive(wire) == data

    def test_is_the_same_each_time(self, backend: str) -> None:
        ours, _ = pair()
        wire = ours.prepare(TEXT)
        ours.encode(TEXT, True, True)
        assert ours.prepare(TEXT) == wire
        assert ours.prepare(b"") == b"\x00"


class TestErrors:
    def test_nothing_is_read_after_an_error(self, backend: str) -> None:
        for wire, room, name in (
            (b"\xff\xff", None, "deflate-corrupt"),
            (Peer(12, True).send(TEXT), 5, "message-too-big"),
        ):
            ours, theirs = pair()
            assert theirs.decode(ours.encode(TEXT, True, True), True, None) == TEXT
            with pytest.raises(ProtocolError) as caught:
                theirs.decode(wire, True, room)
            assert caught.value.name == name
            for again in (ours.encode(TEXT, True, True), b"", b"\x00"):
                with pytest.raises(ProtocolError) as caught:
                    theirs.decode(again, True, None)
                assert caught.value.name == "deflate-corrupt"
                assert "earlier" in caught.value.detail

    def test_room_over_fragments(self, backend: str) -> None:
        """The bound is on the message: 16 fragments are no better than one."""
        _, theirs = pair()
        unit = Peer(12, True).send(bytes(100_000)) + TAIL
        room = 1024 * 1024
        with pytest.raises(ProtocolError) as caught:
            for _ in range(16):
                room -= len(theirs.decode(unit, False, room))
        assert caught.value.name == "message-too-big"
        assert room == 1024 * 1024 - 10 * 100_000

    def test_ratio(self, backend: str) -> None:
        limits = Limits(inflate_ratio=200.0)
        wire = Peer(12, True).send(bytes(1024 * 1024))
        _, theirs = pair(limits=limits)
        for _ in range(2):  # up to 1 MiB any ratio is right
            assert len(theirs.decode(wire, True, None)) == 1024 * 1024
            theirs._inflater = None
        wire = Peer(12, True).send(bytes(1024 * 1024 + 1))
        with pytest.raises(ProtocolError) as caught:
            theirs.decode(wire, True, None)
        assert caught.value.name == "message-too-big"
        assert "inflate_ratio" in caught.value.detail
        _, theirs = pair(limits=limits)
        with pytest.raises(ProtocolError) as caught:
            theirs.decode(wire, True, 1024)
        assert "inflate_ratio" not in caught.value.detail
        _, theirs = pair(limits=limits)
        with pytest.raises(ProtocolError) as caught:
            theirs.decode(b"\xff\xff", True, None)
        assert caught.value.name == "deflate-corrupt"
        # what is compressed less may be as large as it likes
        data = random.Random(1).randbytes(20_000) * 100
        wire = Peer(15, True).send(data)
        extension = PerMessageDeflate(False, False, 15, 15, limits=limits)
        got = b"".join(
            extension.decode(wire[i : i + 5000], False, None) for i in range(0, len(wire), 5000)
        )
        assert got + extension.decode(b"", True, None) == data


class TestMemory:
    def test_nothing_before_the_first_message(self) -> None:
        factory = ServerPerMessageDeflateFactory(server_max_window_bits=12)
        factory.accept([], [])
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            kept = [factory.accept([], [])[1] for _ in range(500)]
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert all(extension._deflater is None for extension in kept)
        assert all(extension._inflater is None for extension in kept)
        assert (after - before) / 500 < 600

    def test_release(self, backend: str) -> None:
        ours, theirs = pair()
        assert theirs.decode(ours.encode(TEXT, True, True), True, None) == TEXT
        ours.release()
        theirs.release()
        assert ours._deflater is None
        assert theirs._inflater is not None  # its window is still needed
        assert theirs.decode(ours.encode(TEXT, True, True), True, None) == TEXT
        ours, theirs = pair(no_takeover=True)
        assert theirs.decode(ours.encode(TEXT, True, True), True, None) == TEXT
        assert ours._deflater is None  # never had one of its own
        theirs.release()
        assert theirs._inflater is None

    def test_release_within_a_message(self, backend: str) -> None:
        for no_takeover in (False, True):
            ours, theirs = pair(no_takeover)
            got = theirs.decode(ours.encode(TEXT, False, True), False, None)
            ours.release()
            theirs.release()
            assert got + theirs.decode(ours.encode(TEXT, True, False), True, None) == TEXT * 2

    @pytest.mark.compiled
    @pytest.mark.skipif(sys.platform == "win32", reason="zlib is no shared library there")
    def test_contexts_go_with_the_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for attribute, value in BACKENDS["zlib"].items():
            monkeypatch.setattr(zlibs, attribute, value)
        import resource

        maps = Path("/proc/self/maps")
        if maps.exists() and "libasan" in maps.read_text():
            pytest.skip("needs sanitizers off")

        def use(n: int) -> int:
            for _ in range(n):
                ours, theirs = pair()
                theirs.decode(ours.encode(TEXT, True, True), True, None)
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        use(200)
        before = use(1)
        assert use(2000) - before < 4096  # KiB; 2000 leaked pairs would be 98 000
