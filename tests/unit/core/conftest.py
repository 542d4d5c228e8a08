"""What tests of the core have in common."""

from __future__ import annotations

import pytest

from duplexer.core.session import Session
from tests.wire.sessions import make


@pytest.fixture(params=["server", "client"])
def session(request: pytest.FixtureRequest) -> Session:
    return make(request.param == "server")
