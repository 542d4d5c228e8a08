"""The options that name a server, and what they make of it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from duplexer.cli.outcome import Failure, Status
from duplexer.cli.target import Target, parse_header, target_options

URI = "wss://example.com"


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("A: b", ("A", "b")),
        ("A:b:c", ("A", "b:c")),
        ("X-Empty:", ("X-Empty", "")),
        ("Tab:\ta\tb ", ("Tab", "a\tb")),
    ],
)
def test_headers(text: str, header: tuple[str, str]) -> None:
    assert parse_header(text) == header


@pytest.mark.parametrize("text", ["no colon", ": value", "a b: c", "A: b\nC: d", "A: \x7f"])
def test_wrong_headers(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_header(text)


def test_certificates_are_checked_unless_told_loudly() -> None:
    checked = Target(uri=URI).tls()
    assert checked is not None
    assert (checked.verify_mode, checked.check_hostname) == (ssl.CERT_REQUIRED, True)
    unchecked = Target(uri=URI, insecure=True).tls()
    assert unchecked is not None
    assert unchecked.verify_mode == ssl.CERT_NONE
    assert Target(uri="ws://example.com").tls() is None


@pytest.mark.parametrize("options", [{"insecure": True}, {"ca": "file"}])
def test_tls_options_without_tls(options: dict[str, Any]) -> None:
    with pytest.raises(Failure, match="only checked with wss"):
        Target(uri="ws://example.com", **options).tls()


def test_a_file_without_certificates(tmp_path: Path) -> None:
    file = tmp_path / "empty.pem"
    file.touch()
    with pytest.raises(Failure, match="holds no certificate") as failure:
        Target(uri=URI, ca=str(file)).tls()
    assert failure.value.exit_code == Status.USAGE


def test_what_connect_is_given() -> None:
    assert Target(uri="ws://x").arguments(None) == {
        "additional_headers": (),
        "subprotocols": None,
        "origin": None,
        "proxy": True,
    }
    context = ssl.create_default_context()
    target = Target(uri=URI, headers=(("A", "b"),), subprotocols=("p",), origin="o")
    assert target.arguments(context) == {
        "additional_headers": (("A", "b"),),
        "subprotocols": ("p",),
        "origin": "o",
        "proxy": True,
        "ssl": context,
    }


def test_the_proxies_are_the_systems_or_none_or_one_or_several() -> None:
    assert Target(uri=URI).proxy() is True
    assert Target(uri=URI, proxies=("none",)).proxy() is None
    assert Target(uri=URI, proxies=("http://p",)).proxy() == "http://p"
    assert Target(uri=URI, proxies=("http://p", "socks5h://q")).proxy() == [
        "http://p",
        "socks5h://q",
    ]
    with pytest.raises(Failure, match="contradict"):
        Target(uri=URI, proxies=("none", "http://p")).proxy()


def test_the_options_are_the_fields() -> None:
    seen: list[Target] = []

    @click.command()
    @target_options
    def command(**options: Any) -> None:
        seen.append(Target(**options))
        seen[0].warn()

    arguments = f"{URI} -H A:b --subprotocol p --origin o --insecure-no-certificate-check"
    done = CliRunner().invoke(command, arguments.split())
    assert done.exit_code == 0
    assert "warning" in done.output
    assert seen == [
        Target(uri=URI, headers=(("A", "b"),), subprotocols=("p",), origin="o", insecure=True)
    ]
