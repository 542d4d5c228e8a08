"""The file with options, and limits on the command line."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from duplexer.cli.config import limit_from, limits_of, read_config
from duplexer.cli.outcome import Failure
from duplexer.limits import Limits

OPTIONS = [
    click.Option(["--host"]),
    click.Option(["--any-origin"], is_flag=True),
    click.Option(["--origin", "origins"], multiple=True),
    click.Option(["--health/--no-health"]),
    click.Option(["--target"]),
]
KNOWN = {name[2:]: option for option in OPTIONS for name in (*option.opts, *option.secondary_opts)}


def config(folder: Path, text: str) -> str:
    path = folder / "server.toml"
    path.write_text(text)
    return str(path)


def test_what_it_says(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        'target = "app:f"\nany_origin = true\norigin = ["https://a"]\n'
        '[limits]\nmax_message = 7\nping_interval = "none"\n',
    )
    assert read_config(path, KNOWN) == {
        "target": "app:f",
        "any_origin": True,
        "origins": ["https://a"],
        "limit": ["max_message=7", "ping_interval=none"],
    }


@pytest.mark.parametrize(
    ("text", "culprit", "cure"),
    [
        ("hots = 1", "no option 'hots'", "did you mean 'host'"),
        ("[limit]\nx = 1", "no option 'limit'", "did you mean 'limits'"),
        ("zzzzz = 1", "no option 'zzzzz'", "[limits]"),
        ("a = = 1", "is not valid TOML", "correct it"),
        ("any-origin = 'yes'", "any-origin must be true or false, not 'yes'", "correct it"),
        ("origin = ['https://a', 5]", "origin must be a text or a list of texts", "correct it"),
    ],
)
def test_mistakes_in_it(tmp_path: Path, text: str, culprit: str, cure: str) -> None:
    with pytest.raises(Failure) as failure:
        read_config(config(tmp_path, text), KNOWN)
    assert culprit in failure.value.message and cure in failure.value.cure


def test_what_is_turned_off_and_what_is_said_once(tmp_path: Path) -> None:
    path = config(tmp_path, 'no-health = true\norigin = "https://a"\n')
    assert read_config(path, KNOWN) == {"health": False, "origins": ["https://a"]}
    assert read_config(config(tmp_path, "no-health = false\n"), KNOWN) == {"health": True}


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be read"):
        read_config(str(tmp_path / "none"), KNOWN)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("max_message=65536", ("max_message", 65536)),
        ("open-timeout = 2.5", ("open_timeout", 2.5)),
        ("ping_interval=None", ("ping_interval", None)),
    ],
)
def test_a_limit(text: str, wanted: tuple[str, float | None]) -> None:
    assert limit_from(text) == wanted
    assert getattr(limits_of(Limits(), [text]), wanted[0]) == wanted[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_message", "is no limit"),
        ("max_mesage=1", "no limit 'max_mesage'"),
        ("max_message=big", "must be a number"),
        ("max_message=-1", "must be positive"),
        ("max_message=1.5", "must be an int"),
    ],
)
def test_wrong_limits(text: str, message: str) -> None:
    with pytest.raises(Failure, match=message) as failure:
        limits_of(Limits(), [text])
    assert failure.value.exit_code == 2
