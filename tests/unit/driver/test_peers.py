"""Who is named."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from duplexer.driver.peers import address_of, shown_address
from duplexer.policy.forwarded import Client


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("192.0.2.1", 80), "192.0.2.1:80"),
        (("2001:db8::1", 80, 0, 0), "[2001:db8::1]:80"),
        ("", "local"),
        (None, "local"),
    ],
)
def test_addresses(address: Any, text: str) -> None:
    assert shown_address(SimpleNamespace(remote_address=address)) == text
    # A proxy is not who it speaks for.
    proxied = SimpleNamespace(remote_address=("10.0.0.1", 1), client=Client(address))
    assert address_of(proxied) == address
    assert shown_address(proxied) == text
