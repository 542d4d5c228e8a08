"""What the pages include: tables and a figure, made from the sources when the pages are built."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path


def transitions() -> str:
    """The table of the close handshake: what each happening makes of each phase."""
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


COLUMN, ROW, TOP = 118, 24, 34  # pixels


_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
 aria-label="Phases of the close handshake and what leads from one to another"
 style="width:100%;max-width:760px;color:inherit" font-size="11" font-family="monospace"
 text-anchor="middle" fill="currentColor" stroke="none">
<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">
<path d="M0,0 L8,4 L0,8 z"/></marker></defs>"""


def figure() -> str:
    """The same as a drawing: a column for each phase, an arrow for each transition.

    Phases never go back and stand in their own order, so every arrow points to the right.
    """
    from duplexer.core.closing import TABLE, Phase

    middle = {phase: COLUMN * number + COLUMN // 2 for number, phase in enumerate(Phase)}
    arrows = sorted(TABLE.items(), key=lambda item: (item[0][0], item[1], item[0][1]))
    height = TOP + ROW * (len(arrows) + 1)
    out = [_SVG.format(width=COLUMN * len(Phase), height=height)]
    for phase, x in middle.items():
        out.append(f'<text class="phase" x="{x}" y="14" font-weight="bold">{phase.name}</text>')
        out.append(
            f'<path d="M{x},{TOP - 12} V{height}" stroke="currentColor" stroke-opacity=".3"/>'
        )
    for number, ((phase, happening), after) in enumerate(arrows, 1):
        y = TOP + ROW * number - ROW // 4
        start, end = middle[phase], middle[after]
        out.append(
            f'<circle cx="{start}" cy="{y}" r="3"/><path d="M{start},{y} H{end}" '
            'stroke="currentColor" marker-end="url(#tip)"/>'
        )
        out.append(
            f'<text class="happening" x="{start + COLUMN // 2}" y="{y - 4}">'
            f"{escape(happening.name)}</text>"
        )
    return "\n".join([*out, "</svg>"]) + "\n"


def rules() -> str:
    """The ways to break the protocol."""
    from duplexer.errors import RULES

    lines = ["| name | close code | reason on the wire | what to do |", "|---|---|---|---|"]
    for name, rule in sorted(RULES.items()):
        lines.append(f"| `{name}` | {rule.code} | {rule.reason} | {rule.advice} |")
    return "\n".join(lines) + "\n"


def close_codes() -> str:
    """The close codes, what they mean, and whether they may be sent."""
    from duplexer.errors import CloseCode, close_code_is_sendable
    from duplexer.rules import CLOSE_CODE_MEANINGS

    lines = ["| code | name | meaning | may be sent |", "|---|---|---|---|"]
    for code, meaning in CLOSE_CODE_MEANINGS.items():
        name = f"`{CloseCode(code).name}`" if code in set(CloseCode) else ""
        sendable = "yes" if close_code_is_sendable(code) else "no"
        lines.append(f"| {code} | {name} | {meaning} | {sendable} |")
    lines.append("| 3000 to 3999 | | registered with IANA, for libraries and frameworks | yes |")
    lines.append("| 4000 to 4999 | | yours | yes |")
    return "\n".join(lines) + "\n"


_SECTION = re.compile(r"^    # -- (.+?) -+$")
_FIELD = re.compile(r"^    (\w+): .*?#: (.+)$")


def limits() -> str:
    """Every bound: its default, the argument of ``serve`` and ``connect``, what it bounds."""
    from duplexer.driver.options import _FIELDS
    from duplexer.limits import Limits

    arguments = {field: f"`{argument}=`" for argument, field in _FIELDS.items()}
    defaults = {field.name: field.default for field in dataclasses.fields(Limits)}
    lines: list[str] = []
    for line in inspect.getsource(Limits).splitlines():
        section, field = _SECTION.match(line), _FIELD.match(line)
        if section:
            lines += [
                f"\n## {section[1][0].upper()}{section[1][1:]}\n",
                "| field | default | argument | |",
                "|---|---|---|---|",
            ]
        elif field:
            name, text = field.groups()
            text = text.replace("``", "`")
            cells = (f"`{name}`", _value(name, defaults[name]), arguments.get(name, ""), text)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


_SECONDS = re.compile(r"timeout|interval$|idle$")


def _value(name: str, value: object) -> str:
    if not isinstance(value, (int, float)):
        return f"`{value}`"
    if _SECONDS.search(name):
        return f"{value:g} s"
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size and value % size == 0 and name not in ("max_fragments", "backlog"):
            return f"{value // size} {unit}"
    return f"{value:g}"


def commands() -> Iterator[str]:
    """``--help`` of the command and of each of its own commands."""
    import click

    from duplexer.cli.main import COMMANDS, cli

    settings = {"max_content_width": 90, "terminal_width": 90}
    with click.Context(cli, info_name="duplexer", **settings) as above:
        yield f"```text\n{cli.get_help(above)}\n```\n"
        for name in sorted(COMMANDS):
            command = cli.get_command(above, name)
            assert command is not None
            with click.Context(command, info_name=name, parent=above, **settings) as context:
                yield f"## duplexer {name}\n\n```text\n{command.get_help(context)}\n```\n"


def write(folder: Path) -> None:
    """Write all of it to ``folder``, where the pages include it from."""
    folder.mkdir(exist_ok=True)
    for name, text in {
        "transitions.md": transitions(),
        "closing.svg": figure(),
        "rules.md": rules(),
        "close_codes.md": close_codes(),
        "limits.md": limits(),
        "commands.md": "\n".join(commands()),
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
