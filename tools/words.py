"""Words that do not belong into the repository: what is true on one machine or on one day only."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from files import ROOT, repository_files

#: What → how it looks. A line may say why it is right all the same: `words: allowed`.
FORBIDDEN = {
    "a path of one machine": re.compile(
        r"(?<![\w.~<>*)\]}-])/(?:home|root|Users|work|workspace|farm|builds|mnt|srv)/[\w.+-]"
    ),
    "the place of this checkout": re.compile(re.escape(f"{ROOT}/")),
    "the host of a package registry": re.compile(
        r"\b(?:pypi|pythonhosted|npmjs|crates|rubygems)\.(?:org|com|io)\b"
        r"|\b(?:deb|security|ftp)\.debian\.org\b|\bproxy\.golang\.org\b"
    ),
    "the number of an issue": re.compile(r"\b[Ii]ssue #?\d|(?<![\w&#/])#\d{1,4}\b(?![\w-])"),
    "a mark of unfinished work": re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b"),
    "a conflict": re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)"),
}
#: These name what is forbidden in order to forbid it, or are data.
EXEMPT = {"tools/words.py", "tests/package/test_tools.py"}
ALLOWED = "words: allowed"
BINARY = {".png", ".ico", ".gz", ".bin", ".woff2", ".pcap", ".pcapng"}


def forbidden(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, what is wrong and the words, for each match in ``text``."""
    for number, line in enumerate(text.splitlines(), 1):
        if ALLOWED in line:
            continue
        for what, pattern in FORBIDDEN.items():
            match = pattern.search(line)
            if match:
                yield number, what, match[0]


def is_exempt(path: Path) -> bool:
    """Whether ``path`` may hold any words: tools like this one, seeds for fuzzing, pictures."""
    name = path.relative_to(ROOT).as_posix()
    return name in EXEMPT or name.startswith("fuzz/seeds/") or path.suffix in BINARY


def main() -> int:
    found = 0
    for path in repository_files():
        if is_exempt(path):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for number, what, words in forbidden(text):
            print(f"{path.relative_to(ROOT)}:{number}: {what}: {words}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
