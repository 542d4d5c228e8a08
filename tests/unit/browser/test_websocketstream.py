"""``WebSocketStream``: opened, closed, and back-pressure both ways."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duplexer.browser import (
    AbortController,
    AbortSignal,
    DOMException,
    ReadResult,
    WebSocketCloseInfo,
    WebSocketError,
    WebSocketStream,
)
from duplexer.errors import InvalidStatus
from duplexer.limits import Limits
from tests.browser.peers import echo, serving, until

pytestmark = pytest.mark.every_loop


async def ended(stream: WebSocketStream) -> Any:
    """Close it; how it was closed."""
    stream.close()
    return await stream.closed


async def test_opened() -> None:
    async with serving(echo, subprotocols=["chat"]) as url:
        stream = WebSocketStream("/x", {"protocols": ["soap", "chat"], "base_url": url})
        assert (stream.url, repr(stream)) == (f"{url}x", f"<WebSocketStream {url}x connecting>")
        readable, writable, extensions, protocol = await stream.opened
        assert (await stream.opened).readable is readable
        assert (protocol, readable.locked, writable.locked) == ("chat", False, False)
        assert extensions.startswith("permessage-deflate")
        assert await ended(stream) == (1005, "")
        assert repr(stream).endswith("closed>")


async def test_chunks_are_messages() -> None:
    async with serving(echo) as url:
        stream = WebSocketStream(url)
        opened = await stream.opened
        writer, reader = opened.writable.getWriter(), opened.readable.getReader()
        for chunk, wanted in (
            ("Grüße", "Grüße"), ("", ""), ("\ud800", "\ufffd"), (b"ab", b"ab"),
            (memoryview(b"abcd")[::2], b"ac"),
        ):  # fmt: skip
            await writer.write(chunk)
            assert await reader.read() == ReadResult(wanted, False)
        changing = bytearray(b"before")
        written = writer.write(changing)
        changing[:] = b"after!"
        await written
        assert (await reader.read()).value == b"before"
        with pytest.raises(TypeError, match="not int"):
            writer.write(5)
        await writer.write("it goes on")
        assert (await reader.read()).value == "it goes on"
        await ended(stream)


async def test_it_is_read_to_the_end() -> None:
    async def handler(ws: Any) -> None:
        for number in range(5):
            await ws.send(str(number))
        await ws.close(4000, "done")

    async with serving(handler) as url:
        stream = WebSocketStream(url)
        opened = await stream.opened
        assert await stream.closed == WebSocketCloseInfo(4000, "done")
        reader = opened.readable.getReader()
        assert [(await reader.read()).value for _ in range(5)] == list("01234")
        assert (await reader.read()).done
        await reader.closed
        with pytest.raises(DOMException) as caught:
            await opened.writable.getWriter().write("x")
        assert caught.value.name == "InvalidStateError"


async def test_the_reader_hears_of_the_end_without_reading() -> None:
    async def handler(ws: Any) -> None:
        pass

    async with serving(handler) as url:
        reader = (await WebSocketStream(url).opened).readable.getReader()
        await reader.closed


async def test_lost() -> None:
    async def handler(ws: Any) -> None:
        await ws.recv()
        ws.abort()

    async with serving(handler) as url:
        stream = WebSocketStream(url)
        opened = await stream.opened
        writer, reader = opened.writable.getWriter(), opened.readable.getReader()
        waiting = reader.read()
        await writer.write("x")
        with pytest.raises(WebSocketError):
            await stream.closed
        for awaitable in (stream.closed, waiting, reader.read(), writer.closed, writer.write("y")):
            with pytest.raises(WebSocketError) as caught:
                await awaitable
            assert (caught.value.closeCode, caught.value.reason) == (1006, "")
        assert caught.value.__cause__ is not None


async def test_not_opened() -> None:
    async with serving(echo, process_request=lambda ws, _: ws.respond(404, "")) as url:
        stream = WebSocketStream(url)
        for awaitable, code in ((stream.opened, None), (stream.closed, 1006)):
            with pytest.raises(WebSocketError) as caught:
                await awaitable
            assert caught.value.closeCode == code
            assert isinstance(caught.value.__cause__, InvalidStatus)


async def test_closed_while_connecting() -> None:
    async with serving(echo) as url:
        stream = WebSocketStream(url)
        stream.close()
        stream.close()
        for awaitable in (stream.opened, stream.closed):
            with pytest.raises(WebSocketError):
                await awaitable


async def test_aborted() -> None:
    async with serving(echo) as url:
        controller = AbortController()
        stream = WebSocketStream(url, signal=controller.signal)
        controller.abort()
        for awaitable in (stream.opened, stream.closed):
            with pytest.raises(DOMException) as caught:
                await awaitable
            assert caught.value is controller.signal.reason
        await until(stream._link.task.done)
        never = WebSocketStream(url, signal=AbortSignal.abort(ValueError("mine")))
        never.close()
        with pytest.raises(ValueError, match="mine"):
            await never.opened


async def test_a_signal_is_for_opening_alone() -> None:
    async with serving(echo) as url:
        controller = AbortController()
        stream = WebSocketStream(url, {"signal": controller.signal})
        await stream.opened
        assert not controller.signal._actions
        controller.abort()
        assert await ended(stream) == (1005, "")


@pytest.mark.parametrize(
    ("args", "kwargs", "wanted"),
    [
        ((), {}, (1005, "")),
        (({},), {}, (1005, "")),
        (({"closeCode": 4000, "reason": "r"},), {}, (4000, "r")),
        ((WebSocketCloseInfo(4000, "r"),), {}, (4000, "r")),
        ((), {"closeCode": 4000}, (4000, "")),
        ((), {"reason": "alone"}, (1000, "alone")),
    ],
)
async def test_close(args: Any, kwargs: Any, wanted: Any) -> None:
    async with serving(echo) as url:
        stream = WebSocketStream(url)
        await stream.opened
        stream.close(*args, **kwargs)
        assert await stream.closed == wanted


async def test_arguments_that_do_not_fit() -> None:
    async with serving(echo) as url:
        stream = WebSocketStream(url)
        with pytest.raises(DOMException, match="InvalidAccessError"):
            stream.close(closeCode=1001)
        with pytest.raises(DOMException, match="SyntaxError"):
            stream.close({"reason": "x" * 124})
        with pytest.raises(TypeError, match="closeInfo must be a mapping"):
            stream.close(True)  # type: ignore[arg-type]
        await stream.opened
        await ended(stream)
        with pytest.raises(TypeError, match="list of str"):
            WebSocketStream(url, protocols="chat")
        with pytest.raises(DOMException, match="fragment"):
            WebSocketStream(f"{url}#x")
        with pytest.raises(TypeError, match=r"WebSocketStream\(\) .*listener"):
            WebSocketStream(url, listener=None)


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        (None, (1005, "")),
        (WebSocketError("m", {"closeCode": 4000, "reason": "r"}), (4000, "r")),
        (WebSocketError("m", reason="r"), (1000, "r")),
        ({"closeCode": 4000}, (1005, "")),
        (ValueError(), (1005, "")),
    ],
)
async def test_cancelling_and_aborting_close(reason: Any, wanted: Any) -> None:
    async with serving(echo) as url:
        for how in ("cancel", "abort"):
            stream = WebSocketStream(url)
            opened = await stream.opened
            await getattr(opened.readable if how == "cancel" else opened.writable, how)(reason)
            assert await stream.closed == wanted
            assert (await opened.readable.getReader().read()).done
            with pytest.raises(BaseException):  # noqa: B017 - see the streams' own tests
                await opened.writable.getWriter().write("x")


async def test_closing_the_writer_closes_after_what_was_written() -> None:
    seen: list[Any] = []

    async def handler(ws: Any) -> None:
        seen.extend([message async for message in ws])

    async with serving(handler) as url:
        stream = WebSocketStream(url)
        writer = (await stream.opened).writable.getWriter()
        for chunk in "abc":
            writer.write(chunk)
        await writer.close()
        assert await stream.closed == (1005, "")
        await writer.closed
    assert seen == list("abc")


async def test_the_server_waits_for_who_does_not_read() -> None:
    sent = 0

    async def handler(ws: Any) -> None:
        nonlocal sent
        while True:
            await ws.send(b"x" * 60_000)
            sent += 1

    limits = Limits(queue_messages=1, queue_bytes=100_000)
    async with serving(handler, compression=None) as url:
        stream = WebSocketStream(url, limits=limits, compression=None)
        reader = (await stream.opened).readable.getReader()
        await until(lambda: sent)
        still = before = 0
        while still < 50:  # until nothing moves any more
            still = still + 1 if before == sent else 0
            before = sent
            await asyncio.sleep(0.002)
        for _ in range(before + 5):
            await reader.read()
        assert sent > before
        await reader.cancel()
        await stream.closed


async def test_write_waits_for_the_network() -> None:
    connections: list[Any] = []

    async def handler(ws: Any) -> None:
        ws.transport.pause_reading()
        connections.append(ws)
        await ws.wait_closed()

    async with serving(handler, compression=None) as url:
        stream = WebSocketStream(url, compression=None)
        writer = (await stream.opened).writable.getWriter()
        await until(lambda: connections)
        writes = [writer.write(bytes(16 * 1024)) for _ in range(1024)]
        await until(lambda: writes[0].done())
        assert writer.desiredSize is not None
        assert writer.desiredSize < 0
        assert not writes[-1].done()
        connections[0].abort()
        with pytest.raises(WebSocketError):
            await writes[-1]
        for write in writes:
            write.exception()
        with pytest.raises(WebSocketError):
            await stream.closed


async def test_reading_and_cancelling_in_a_task() -> None:
    async with serving(echo) as url:
        stream = WebSocketStream(url)
        opened = await stream.opened
        reader, writer = opened.readable.getReader(), opened.writable.getWriter()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(), 0.001)
        await writer.write("kept")
        assert (await reader.read()).value == "kept"
        await ended(stream)


async def test_what_breaks_off_does_not_look_like_an_end() -> None:
    was_read = asyncio.Event()

    async def handler(ws: Any) -> None:
        await ws.send("half of it")
        await was_read.wait()
        ws.transport.write_eof()  # without a Close
        await ws.wait_closed()

    async with serving(handler) as url:
        stream = WebSocketStream(url)
        opened = await stream.opened
        connection = stream._link.connection
        assert connection is not None
        reader = opened.readable.getReader()
        assert (await reader.read()).value == "half of it"
        was_read.set()
        await until(lambda: connection.lost)
        assert not opened.readable._source.finished  # or a read in this very moment would end well
        with pytest.raises(WebSocketError):
            await reader.read()
        with pytest.raises(WebSocketError):
            await stream.closed
