"""Which arguments go where."""

from __future__ import annotations

from typing import Any

import pytest

from duplexer.testing.arguments import divided


def test_each_goes_to_who_knows_it() -> None:
    both: dict[str, Any] = {
        "subprotocols": ["chat"],  # both do
        "additional_headers": {"X-A": "1"},
        "process_request": print,
    }
    client, server = divided("pair", both, None, None)
    assert client == {"subprotocols": ["chat"], "additional_headers": {"X-A": "1"}}
    assert server == {"subprotocols": ["chat"], "process_request": print}


def test_one_end_may_differ() -> None:
    client, server = divided("pair", {"max_size": 10}, {"max_size": 20}, {"server_header": None})
    assert client == {"max_size": 20}
    assert server == {"max_size": 10, "server_header": None}


@pytest.mark.parametrize("name", ["sock", "host", "proxy", "ssl", "server_hostname"])
def test_a_network_is_not_there(name: str) -> None:
    for given in (({name: 1}, None, None), ({}, {name: 1}, None), ({}, None, {name: 1})):
        with pytest.raises(TypeError, match=f"in memory: {name}"):
            divided("pair", *given)


@pytest.mark.parametrize("name", ["extensions", "create_connection", "logger"])
def test_what_is_of_one_end_has_to_say_of_which(name: str) -> None:
    with pytest.raises(TypeError, match="client="):
        divided("pair", {name: None}, None, None)
    assert divided("pair", {}, {name: None}, None) == ({name: None}, {})


def test_unknown() -> None:
    with pytest.raises(TypeError, match=r"pair\(\) got an unexpected keyword argument 'handlers'"):
        divided("pair", {"handlers": 1}, None, None)
