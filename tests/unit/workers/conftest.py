"""Workers are tested with servers of asyncio."""

from __future__ import annotations

from tests.unit.asyncio.conftest import serving

__all__ = ["serving"]
