"""Which build runs: the compiled modules, or the same sources interpreted.

Where both lie side by side, Python prefers the compiled one. ``DUPLEXER_PURE=1`` turns that round
for the whole package, so that one checkout runs and tests both. It has to be known before the
first module is imported, hence the line at the top of ``duplexer/__init__.py`` that calls
:func:`choose_build`.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import (
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from importlib.util import find_spec

__all__ = ["build", "choose_build", "is_compiled", "pure_wanted"]

ROOT = os.path.dirname(__file__)
#: The module that gains most from being compiled: it speaks for the build as a whole.
WITNESS = "duplexer.core.bytesops"


def find_sources(directory: str) -> FileFinder:
    """A path hook: in the directories of this package, Python sources alone are modules."""
    inside = directory == ROOT or directory.startswith(ROOT + os.sep)
    if not inside or not os.path.isdir(directory):
        raise ImportError(f"{directory} is not ours")
    return FileFinder(directory, (SourceFileLoader, SOURCE_SUFFIXES))


def pure_wanted() -> bool:
    """Whether ``DUPLEXER_PURE`` asks for interpreted modules: set, and neither empty nor ``0``."""
    return os.environ.get("DUPLEXER_PURE", "") not in ("", "0")


def choose_build() -> None:
    """Have our modules interpreted from here on, if ``DUPLEXER_PURE`` asks for that."""
    if pure_wanted() and find_sources not in sys.path_hooks:
        sys.path_hooks.insert(0, find_sources)
        sys.path_importer_cache.pop(ROOT, None)  # made for the import of this very module


def is_compiled(module: str = WITNESS) -> bool:
    """Whether ``module`` is (or would be) loaded from a compiled file."""
    loaded = sys.modules.get(module)
    spec = find_spec(module) if loaded is None else loaded.__spec__
    return spec is not None and isinstance(spec.loader, ExtensionFileLoader)


def build() -> str:
    """``"compiled"`` or ``"interpreted"``: what the hot path runs as in this process."""
    return "compiled" if is_compiled() else "interpreted"
