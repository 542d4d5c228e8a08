"""Every row of the catalogue of attacks, played over real sockets against each front.

``front`` is that of the contract; here it is asyncio's, threads' and trio's, without TLS unless
the test is about that. Which test belongs to which row is in docs/explanation/threat-model.md.
"""

from __future__ import annotations

import pytest

from tests.contract.conftest import (  # noqa: F401 - pytest finds them here
    FRONTS,
    authority,
    client_context,
    front,
    no_proxy,
    pytest_pyfunc_call,
    server_context,
    unlogged,
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "one_front: it is about what all fronts share")
    config.addinivalue_line("markers", "with_tls: it is about TLS")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "front" in metafunc.fixturenames:
        wire = "tls" if metafunc.definition.get_closest_marker("with_tls") else "plain"
        names = [name for name in FRONTS if name != "uvloop"]
        if metafunc.definition.get_closest_marker("one_front"):
            names = ["asyncio"]
        metafunc.parametrize("front", [(name, wire) for name in names], indirect=True, ids=names)
