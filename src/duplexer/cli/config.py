"""A file with the options of ``duplexer serve``, in TOML::

    target = "app:handler"
    host = "0.0.0.0"
    workers = 4
    origin = ["https://example.com"]

    [limits]
    max_message = 65536

Each name is that of an option without its dashes. What the command line says wins.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from duplexer.cli.outcome import Failure, Status
from duplexer.limits import Limits

__all__ = ["limit_from", "limits_of", "read_config"]

FIELDS = [field.name for field in dataclasses.fields(Limits)]


def _wrong(message: str, cure: str) -> Failure:
    return Failure(message, cure, status=Status.USAGE)


def read_config(path: str, known: Mapping[str, click.Parameter]) -> dict[str, Any]:
    """What ``path`` says, by the name of the parameter; ``known``: option → parameter.

    ``no-health = true`` is ``health = false``; what can be said several times may be one text or a
    list of them. Limits come as ``limit``, a list of ``name=value``. Raises ``Failure`` for
    mistakes in it.
    """
    try:
        text = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise _wrong(f"{path} is not valid TOML: {error}", "correct it there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(f"{path} cannot be read: {error}", "see --config") from None
    found: dict[str, Any] = {}
    for name, value in text.items():
        if name == "limits" and isinstance(value, dict):
            found["limit"] = [f"{limit}={_plain(bound)}" for limit, bound in value.items()]
            continue
        option = name.replace("_", "-")
        if option not in known or isinstance(value, dict):
            raise _wrong(
                f"{path}: there is no option '{name}'",
                _suggestion(option, [*known, "limits"], "a table of limits is called [limits]"),
            )
        found[str(known[option].name)] = _value(path, option, known[option], value)
    return found


def _value(path: str, option: str, parameter: click.Parameter, value: Any) -> Any:
    if parameter.multiple:
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values):
            raise _wrong(f"{path}: {option} must be a text or a list of texts", "correct it there")
        return values
    if getattr(parameter, "is_flag", False) and not isinstance(value, bool):
        raise _wrong(f"{path}: {option} must be true or false, not {value!r}", "correct it there")
    return not value if f"--{option}" in parameter.secondary_opts else value


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _suggestion(name: str, candidates: Iterable[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name, list(candidates), 1)
    return f"did you mean '{close[0]}'?" if close else otherwise


def limit_from(text: str) -> tuple[str, float | None]:
    """Name and value in ``name=value``; the value is a number, or ``none``."""
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals:
        raise _wrong(f"'{text}' is no limit", "write --limit NAME=VALUE, as max_message=65536")
    if name not in FIELDS:
        raise _wrong(
            f"there is no limit '{name}'",
            _suggestion(name, FIELDS, "all of them: duplexer.limits.Limits"),
        )
    value = value.strip().lower()
    if value == "none":
        return name, None
    try:
        return name, float(value) if "." in value or "e" in value else int(value)
    except ValueError:
        raise _wrong(f"{name} must be a number or none, not '{value}'", "see --limit") from None


def limits_of(base: Limits, texts: Iterable[str]) -> Limits:
    """``base`` with what ``texts`` change, each ``name=value``; raises ``Failure`` for mistakes."""
    try:
        return base.replace(**dict(map(limit_from, texts)))
    except (TypeError, ValueError) as error:
        raise _wrong(str(error), "see --limit") from None
