"""Signals as calls in the event loop."""

from __future__ import annotations

import asyncio
import signal

import pytest

from duplexer.cli.signals import on_signals


@pytest.mark.every_loop
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_callback_gets_the_signal(number: signal.Signals) -> None:
    seen: asyncio.Queue[signal.Signals] = asyncio.Queue()
    with on_signals(seen.put_nowait):
        signal.raise_signal(number)
        async with asyncio.timeout(10):
            assert await seen.get() is number


@pytest.mark.every_loop
async def test_what_was_before_is_restored() -> None:
    def mine(_number: int, _frame: object) -> None:
        """A handler of somebody else's."""

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with on_signals(lambda _: None):
            assert signal.getsignal(signal.SIGTERM) is not mine
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_loops_without_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of Windows."""

    def refuse(*_: object) -> None:
        raise NotImplementedError

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_signal_handler", refuse)
    monkeypatch.setattr(loop, "remove_signal_handler", refuse)
    seen: asyncio.Queue[signal.Signals] = asyncio.Queue()
    with on_signals(seen.put_nowait):
        signal.raise_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await seen.get() is signal.SIGTERM
