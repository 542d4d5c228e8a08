"""What is below the fronts and wants one to be seen at work: that of asyncio."""

from __future__ import annotations

from tests.unit.asyncio.conftest import serving

__all__ = ["serving"]
