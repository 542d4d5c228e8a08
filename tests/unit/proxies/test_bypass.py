"""The rules of ``no_proxy``."""

from __future__ import annotations

import pytest

from duplexer.proxies.bypass import bypassed


@pytest.mark.parametrize(
    ("host", "rules", "result"),
    [
        ("example.com", "", False),
        ("example.com", "*", True),
        ("example.com", " , ,, ", False),
        ("example.com", "other.org,example.com", True),
        ("example.com", "other.org example.com", True),
        ("example.com", "EXAMPLE.com", True),
        ("Example.COM", "example.com", True),
        ("example.com.", "example.com", True),
        ("example.com", "example.com.", True),
        # names stand for what is below them, too
        ("www.example.com", "example.com", True),
        ("www.example.com", ".example.com", True),
        ("www.example.com", "*.example.com", True),
        ("example.com", ".example.com", True),
        ("badexample.com", "example.com", False),
        ("example.com", "www.example.com", False),
        ("example.com", "com", True),
        ("example.com", ".", False),
        ("example.com", "*.*", False),
        # ports
        ("example.com", "example.com:8080", True),
        ("example.com", "example.com:08080", True),
        ("example.com", "example.com:80", False),
        ("www.example.com", ".example.com:8080", True),
        ("example.com", "*:8080", False),
        ("example.com", "example.com:http", False),
        ("example.com", "example.com:0", False),
        ("example.com", "example.com:" + "9" * 5000, False),
        # addresses
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.1:8080", True),
        ("192.0.2.1", "192.0.2.1:80", False),
        ("192.0.2.1", "2.1", False),
        ("10.192.0.2.1", "192.0.2.1", True),  # a name, though a strange one
        ("2001:db8::1", "2001:db8::1", True),
        ("2001:db8::1", "2001:DB8:0:0::1", True),
        ("2001:db8::1", "[2001:db8::1]", True),
        ("2001:db8::1", "[2001:db8::1]:8080", True),
        ("2001:db8::1", "[2001:db8::1]:80", False),
        ("fe80::1%eth0", "fe80::1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("example.com", "192.0.2.1", False),
        # networks
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.9.9.9/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.0.0.0/255.0.0.0", True),
        ("2001:db8::1", "2001:db8::/32", True),
        ("2001:db9::1", "2001:db8::/32", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "2001:db8::/32", False),
        ("10.1.2.3", "10.0.0.0/99", False),
        ("ten.example", "10.0.0.0/8", False),
    ],
)
def test_rules(host: str, rules: str, result: bool) -> None:
    assert bypassed(host, 8080, rules) is result
