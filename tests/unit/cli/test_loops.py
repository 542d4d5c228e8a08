"""Which event loop a command runs on."""

from __future__ import annotations

import sys

import pytest

from duplexer.cli.loops import loop_factory
from duplexer.cli.outcome import Failure


def test_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    import uvloop

    assert loop_factory(None) is uvloop.new_event_loop
    assert loop_factory(False) is None
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory(None) is None
    with pytest.raises(Failure, match="uvloop is not installed") as failure:
        loop_factory(True)
    assert "pip install" in failure.value.cure
