"""The messages of a load: their size, their type, their differences."""

from __future__ import annotations

import json
import zlib

import pytest

from duplexer.cli.load.messages import MEMORY, make_messages


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("payload", ["random", "json"])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 31, 32, 126, 1000, 70000])
def test_size_and_type(size: int, payload: str, text: bool) -> None:
    messages = make_messages(size, text=text, payload=payload, in_flight=1)
    assert {type(message) for message in messages} == {str if text else bytes}
    wire = [message.encode() if isinstance(message, str) else message for message in messages]
    assert {len(message) for message in wire} == {size}
    assert len(messages) & (len(messages) - 1) == 0
    if size > 4:
        assert len(set(messages)) == len(messages)
        if payload == "json":
            assert json.loads(messages[1])[0] == 1


def test_short_messages_are_as_different_as_can_be() -> None:
    assert len(set(make_messages(1, text=False, payload="random", in_flight=1))) == 256
    assert len(set(make_messages(1, text=True, payload="random", in_flight=1))) == 64
    assert len(set(make_messages(2, text=True, payload="random", in_flight=1))) == 256


def test_more_than_can_be_in_flight() -> None:
    assert len(make_messages(8, text=False, payload="random", in_flight=1000)) == 2048


def test_memory_is_bounded() -> None:
    messages = make_messages(MEMORY // 5, text=False, payload="random", in_flight=1000)
    assert len(messages) == 4


def test_json_compresses_and_noise_does_not() -> None:
    record = make_messages(2048, text=False, payload="json", in_flight=1)[0]
    noise = make_messages(2048, text=False, payload="random", in_flight=1)[0]
    assert isinstance(record, bytes) and isinstance(noise, bytes)
    assert len(zlib.compress(record)) < 1024 < 2048 <= len(zlib.compress(noise))


def test_processes_send_different_messages() -> None:
    ours, theirs = (
        make_messages(32, text=False, payload="random", in_flight=1, seed=seed) for seed in (0, 1)
    )
    assert not set(ours) & set(theirs)
