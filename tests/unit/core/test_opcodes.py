"""The numbers are there twice: for interpreted modules and for compiled ones."""

from __future__ import annotations

import re
from pathlib import Path

from duplexer.core import opcodes


def test_both_say_the_same() -> None:
    text = Path(opcodes.__file__).with_suffix(".pxd").read_text()
    compiled = {name: int(number) for name, number in re.findall(r"(\w+) = (\d+)", text)}
    assert compiled == {name: getattr(opcodes, name) for name in opcodes.__all__}
    assert sorted(compiled.values()) == [0, 1, 2, 8, 9, 10]
