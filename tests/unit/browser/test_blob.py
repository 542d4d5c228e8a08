"""Blobs."""

from __future__ import annotations

import pytest

from duplexer.browser.blob import Blob


async def test_parts() -> None:
    blob = Blob(["ü\ud800", b"\x00", bytearray(b"b"), memoryview(b"c"), Blob([b"d"])])
    assert await blob.bytes() == "ü\ufffd".encode() + b"\x00bcd"
    assert await blob.arrayBuffer() == await blob.bytes()
    assert (blob.size, blob.type) == (9, "")
    assert repr(blob) == "Blob(size=9, type='')"


def test_types() -> None:
    assert Blob([], {"type": "Text/Plain"}).type == "text/plain"
    assert Blob([], type="text/plain").type == "text/plain"
    assert Blob([], type="text/ü").type == ""


async def test_text() -> None:
    assert await Blob(["\ufeffa", b"\xff"]).text() == "a\ufffd"
    assert await Blob().text() == ""


async def test_slice() -> None:
    blob = Blob([b"0123456789"], type="a/b")
    assert await blob.slice(2, 4).text() == "23"
    assert await blob.slice(-3).text() == "789"
    assert await blob.slice(5, 2).text() == ""
    part = blob.slice(0, -8, "C/D")
    assert (await part.text(), part.type) == ("01", "c/d")


async def test_stream() -> None:
    data = bytes(range(256)) * 600
    chunks = [chunk async for chunk in Blob([data]).stream()]
    assert b"".join(chunks) == data
    assert len(chunks) > 1


def test_what_is_no_list_of_parts() -> None:
    with pytest.raises(TypeError, match="in a list"):
        Blob("text")
    with pytest.raises(TypeError, match="not int"):
        Blob([5])
