"""Names for the parameters of tests: the same in every process, and short."""

from __future__ import annotations

import re
from typing import Any


def shown(value: Any) -> str:
    """``repr`` without addresses, which no two processes share, cut at 40 characters."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))[:40]
