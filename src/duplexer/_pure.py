"""Which build runs: the compiled modules, or the same sources interpreted.

Where both lie side by side, Python prefers the compiled one. ``DUPLEXER_PURE=1`` turns that round
for the whole package, so that one checkout runs and tests both. It has to be known before the
first module is imported, hence the one line at the top of ``duplexer/__init__.py``:
``choose_build()``.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import (
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["build", "choose_build", "is_compiled", "pure_wanted"]

PACKAGE = "duplexer"
#: The module that gains most from being compiled: it speaks for the build as a whole.
WITNESS = "duplexer.core.bytesops"


class SourceFinder:
    """Finds our modules as sources, whatever compiled files lie beside them."""

    def __init__(self) -> None:
        self._finders: dict[str, FileFinder] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of one of our modules, ``None`` for those of others."""
        if path is None or not fullname.startswith(PACKAGE + "."):
            return None
        for entry in path:
            finder = self._finders.get(entry)
            if finder is None:
                finder = FileFinder(entry, (SourceFileLoader, SOURCE_SUFFIXES))
                self._finders[entry] = finder
            spec = finder.find_spec(fullname)
            if spec is not None and spec.loader is not None:
                return spec
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, ExtensionFileLoader):
            raise ModuleNotFoundError(
                f"{fullname} exists only compiled, and DUPLEXER_PURE is set", name=fullname
            )
        return spec

    def invalidate_caches(self) -> None:
        """Look at the directories again (``importlib.invalidate_caches``)."""
        for finder in self._finders.values():
            finder.invalidate_caches()


def pure_wanted() -> bool:
    """Whether ``DUPLEXER_PURE`` asks for interpreted modules: set, and neither empty nor ``0``."""
    return os.environ.get("DUPLEXER_PURE", "") not in ("", "0")


def choose_build() -> None:
    """Have our modules interpreted from here on, if ``DUPLEXER_PURE`` asks for that."""
    if pure_wanted() and not any(isinstance(finder, SourceFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, SourceFinder())


def is_compiled(module: str = WITNESS) -> bool:
    """Whether ``module`` is (or would be) loaded from a compiled file."""
    loaded = sys.modules.get(module)
    spec = find_spec(module) if loaded is None else loaded.__spec__
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)


def build() -> str:
    """``"compiled"`` or ``"interpreted"``: what the hot path runs as in this process."""
    return "compiled" if is_compiled() else "interpreted"
