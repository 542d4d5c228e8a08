"""Whether code has changed, for ``duplexer serve --reload``."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Watcher"]

#: Folders where nobody's own code is.
_PASSED_OVER = {"__pycache__", "node_modules", "site-packages", "build", "dist", "venv"}
#: Files that are looked at; more would make development slow, not safe.
_MOST = 10_000


class Watcher:
    """Looks at the Python files below a folder each time it is asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._look()

    def changed(self) -> bool:
        """Whether a file has changed, come or gone since the last time."""
        before, self._seen = self._seen, self._look()
        return before != self._seen

    def _look(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for folder, folders, files in os.walk(self._folder):
            folders[:] = [
                name for name in folders if name not in _PASSED_OVER and not name.startswith(".")
            ]
            for name in files:
                if name.endswith(".py"):
                    path = os.path.join(folder, name)  # noqa: PTH118 - twice a second
                    try:
                        found[path] = os.stat(path).st_mtime_ns  # noqa: PTH116
                    except OSError:
                        continue  # gone meanwhile
                    if len(found) >= _MOST:
                        return found
        return found
