"""Whose address is in which network."""

from __future__ import annotations

from duplexer.policy.networks import Networks, parse_address


def test_addresses() -> None:
    assert str(parse_address("192.0.2.1")) == "192.0.2.1"
    assert str(parse_address("fe80::1%eth0")) == "fe80::1"
    assert str(parse_address("::FFFF:192.0.2.1")) == "192.0.2.1"
    for text in ("", "localhost", "192.0.2", "192.0.2.01", "1" * 5000):
        assert parse_address(text) is None


def test_peers() -> None:
    networks = Networks(["10.0.0.0/8", "::1"])
    assert ("10.1.2.3", 80) in networks
    assert ("::ffff:10.1.2.3", 80, 0, 0) in networks
    assert ("::1", 80, 0, 0) in networks
    assert ("11.1.2.3", 80) not in networks
    for peer in ("", b"\0abstract", None):
        assert peer not in networks
        assert peer in Networks(["unix"])
