"""TLS by default, and TLS without a socket."""

from __future__ import annotations

import ssl
import sys

import pytest
import trustme
import truststore

from duplexer.driver.tls import TlsLayer, default_context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class Server:
    """The other side, made of memory as well."""

    def __init__(self, authority: trustme.CA, protocols: list[str] | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("example.com").configure_cert(context)
        if protocols:
            context.set_alpn_protocols(protocols)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def shake(self, data: bytes) -> bytes:
        self.incoming.write(data)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()


def client(authority: trustme.CA, name: str = "example.com") -> TlsLayer:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["http/1.1"])
    return TlsLayer(context, name)


def shake(layer: TlsLayer, server: Server) -> None:
    coming = b""
    steps = layer.handshake()
    try:
        wanted = next(steps)
        while True:
            if wanted is None:
                data, coming = coming, b""
                wanted = steps.send(data)
            else:
                coming += server.shake(wanted)
                wanted = next(steps)
    except StopIteration:
        layer.decrypt(coming) if coming else None


@pytest.fixture
def pair(authority: trustme.CA) -> tuple[TlsLayer, Server]:
    layer, server = client(authority), Server(authority, ["h2", "http/1.1"])
    shake(layer, server)
    return layer, server


def test_both_ways(pair: tuple[TlsLayer, Server]) -> None:
    layer, server = pair
    assert layer.ssl_object.selected_alpn_protocol() == "http/1.1"
    server.incoming.write(layer.encrypt(b"question"))
    assert server.tls.read(100) == b"question"
    answer = b"x" * 100_000
    server.tls.write(answer)
    data = server.outgoing.read()
    assert layer.decrypt(data[:70_000]) + layer.decrypt(data[70_000:]) == answer
    assert not layer.at_end and layer.outgoing() == b""


def test_the_end(pair: tuple[TlsLayer, Server]) -> None:
    layer, server = pair
    server.tls.write(b"last words")
    try:
        server.tls.unwrap()
    except ssl.SSLWantReadError:
        pass
    assert layer.decrypt(server.outgoing.read()) == b"last words"
    assert layer.at_end
    assert layer.decrypt(b"") == b""
    server.incoming.write(layer.finish())
    with pytest.raises(ssl.SSLZeroReturnError):
        server.tls.read(10)


def test_a_stream_that_was_cut(pair: tuple[TlsLayer, Server]) -> None:
    with pytest.raises(ssl.SSLError):
        pair[0].decrypt(b"")


def test_our_end_before_theirs(pair: tuple[TlsLayer, Server]) -> None:
    layer, server = pair
    server.incoming.write(layer.finish())
    assert server.tls.read(10) == b""


def test_a_wrong_name(authority: trustme.CA) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(client(authority, "example.org"), Server(authority))


def test_an_unknown_authority(authority: trustme.CA) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(TlsLayer(default_context(), "example.com"), Server(authority))


def test_nobody_answers(authority: trustme.CA) -> None:
    steps = client(authority).handshake()
    assert next(steps)
    assert next(steps) is None
    with pytest.raises(ssl.SSLEOFError):
        steps.send(b"")


def test_the_default_with_and_without_truststore(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(default_context(), truststore.SSLContext)
    monkeypatch.setitem(sys.modules, "truststore", None)
    plain = default_context()
    assert type(plain) is ssl.SSLContext
    assert plain.check_hostname and plain.verify_mode == ssl.CERT_REQUIRED


def test_both_ends_and_what_comes_with_the_handshake(authority: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("example.com").configure_cert(context)
    ours, theirs = client(authority), TlsLayer(context, None)
    asking, answering = ours.handshake(), theirs.handshake()
    hello = next(asking)
    assert hello is not None and next(asking) is None and next(answering) is None
    answer = answering.send(hello)
    assert answer is not None and next(answering) is None
    finished = asking.send(answer)
    assert finished is not None and next(asking, None) is None
    # Its last words of the handshake come with the first ones of the conversation.
    tickets = answering.send(finished + ours.encrypt(b"at once"))
    assert tickets is not None and next(answering, None) is None
    ours.receive(tickets)
    assert theirs.early() == b"at once"
    assert theirs.early() == b""

    buffer = bytearray(16 * 1024)
    data = bytes(range(256)) * 150
    wire = theirs.encrypt(data)
    ours.receive(wire[:1000])
    assert ours.read_into(buffer) == 0  # half a record
    ours.receive(memoryview(wire)[1000:])
    got = b""
    while n := ours.read_into(buffer):
        got += buffer[:n]
    assert got == data
    assert ours.outgoing() == b""
    ours.receive(theirs.finish())
    assert ours.read_into(buffer) == 0
    assert ours.at_end
