"""Configuration of Sphinx, and what is drawn from the sources."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

from duplexer._version import VERSION  # noqa: E402

project = "duplexer"
author = "The duplexer authors"
copyright = author  # noqa: A001
version = release = VERSION

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "_generated"]
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}

html_theme = "furo"
html_title = f"duplexer {VERSION}"
html_copy_source = False


def transitions() -> str:
    """The table of the close handshake, in Markdown: what happens in each phase."""
    from duplexer.core.closing import TABLE, Happening, Phase

    lines = [
        "| | " + " | ".join(f"`{happening.name}`" for happening in Happening) + " |",
        "|---" * (len(Happening) + 1) + "|",
    ]
    for phase in Phase:
        cells = (TABLE.get((phase, happening)) for happening in Happening)
        row = " | ".join("·" if cell is None else f"`{cell.name}`" for cell in cells)
        lines.append(f"| `{phase.name}` | {row} |")
    return "\n".join(lines) + "\n"


def rules() -> str:
    """The ways to break the protocol, in Markdown."""
    from duplexer.errors import RULES

    lines = ["| name | close code | reason on the wire | what to do |", "|---|---|---|---|"]
    for name, rule in sorted(RULES.items()):
        lines.append(f"| `{name}` | {rule.code} | {rule.reason} | {rule.advice} |")
    return "\n".join(lines) + "\n"


def generate(app: Any) -> None:
    """Writes what the pages include."""
    folder = HERE / "_generated"
    folder.mkdir(exist_ok=True)
    (folder / "transitions.md").write_text(transitions(), encoding="utf-8")
    (folder / "rules.md").write_text(rules(), encoding="utf-8")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", generate)
