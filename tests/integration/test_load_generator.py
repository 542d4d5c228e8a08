"""The load of the benchmarks is a correct client, and tells what a server does wrong."""

from __future__ import annotations

import itertools
import json
import socket
import struct
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks import tls
from benchmarks.build import Binaries, build

ACCEPT = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
TAIL = b"\0\0\xff\xff"


@pytest.fixture(scope="module")
def binaries() -> Binaries:
    return build()


# -- a server that does as it is told -------------------------------------------------------------


class Frame(NamedTuple):
    first: int
    mask: bytes
    payload: bytes


Answer = Callable[[Frame], bytes]


def frame(first: int, payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    return bytes([first, 126]) + struct.pack("!H", len(payload)) + payload


def echo(got: Frame) -> bytes:
    return frame(got.first, got.payload)


class Server:
    """Serves one connection with what `answer` makes of each frame, and keeps the frames."""

    def __init__(self, answer: Answer, status: str, headers: list[str]) -> None:
        self.answer = answer
        self.head = "\r\n".join(
            [status, "Upgrade: websocket", "Connection: Upgrade", *headers, "", ""]
        )
        self.request = b""
        self.frames: list[Frame] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = str(self.listener.getsockname()[1])

    def run(self) -> None:
        try:
            connection, _ = self.listener.accept()
            with connection, connection.makefile("rb") as stream:
                while not self.request.endswith(b"\r\n\r\n"):
                    self.request += stream.readline()
                connection.sendall(self.head.encode())
                while got := self.read(stream.read):
                    self.frames.append(got)
                    connection.sendall(self.answer(got))
        except OSError:
            pass  # the load has gone

    def read(self, read: Callable[[int], bytes]) -> Frame | None:
        head = read(2)
        if len(head) < 2:
            return None
        assert head[1] & 0x80, "client's frames are masked"
        length = head[1] & 0x7F
        if length == 126:
            length = int.from_bytes(read(2))
        mask, masked = read(4), read(length)
        if len(masked) < length:
            return None
        return Frame(head[0], mask, bytes(b ^ mask[i % 4] for i, b in enumerate(masked)))


@contextmanager
def serving(
    answer: Answer = echo,
    *,
    status: str = "HTTP/1.1 101 Switching Protocols",
    headers: tuple[str, ...] = (ACCEPT,),
) -> Iterator[Server]:
    server = Server(answer, status, list(headers))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.listener.close()
        thread.join(10)


def run_load(binaries: Binaries, port: str, mode: str, *options: str) -> dict[str, Any]:
    arguments = ["--connections", "1", "--seconds", "0.1", "--warm-up", "0.05", *options]
    command = [str(binaries.load), mode, *arguments, "127.0.0.1", port, "/"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    figures: dict[str, Any] = json.loads(process.stdout)
    assert process.returncode == ("error" in figures), process.stderr
    return figures


# -- what it sends --------------------------------------------------------------------------------


def test_request(binaries: Binaries) -> None:
    with serving() as server:
        run_load(binaries, server.port, "echo")
    line, *headers = server.request.decode().strip().split("\r\n")
    assert line == "GET / HTTP/1.1"
    assert dict(header.split(": ") for header in headers) == {
        "Host": f"127.0.0.1:{server.port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }


@pytest.mark.parametrize(
    ("payload", "first"), [("random", 0x82), ("letters", 0x81), ("json", 0x81)]
)
@pytest.mark.parametrize("size", [0, 1, 125, 126, 5000])
def test_frames(binaries: Binaries, payload: str, first: int, size: int) -> None:
    with serving() as server:
        figures = run_load(binaries, server.port, "echo", "--payload", payload, "--size", str(size))
    frames = server.frames
    assert figures["units"] > 0
    assert {got.first for got in frames} == {first}
    assert {len(got.payload) for got in frames} == {size}
    assert all(got.mask != after.mask for got, after in itertools.pairwise(frames))
    if size > 100:
        assert all(got.payload != after.payload for got, after in itertools.pairwise(frames))
    if payload != "random":
        assert all(got.payload.isascii() for got in frames)


def test_messages_in_flight(binaries: Binaries) -> None:
    waiting: list[bytes] = []

    def answer_the_eighth(got: Frame) -> bytes:
        waiting.append(echo(got))
        if len(waiting) < 8:
            return b""
        answers = b"".join(waiting)
        waiting.clear()
        return answers

    with serving(answer_the_eighth) as server:
        figures = run_load(binaries, server.port, "echo", "--in-flight", "8")
    assert figures["units"] >= 8


# -- what it accepts ------------------------------------------------------------------------------


def test_fragments_and_pings_between(binaries: Binaries) -> None:
    def answer(got: Frame) -> bytes:
        start, end = got.payload[:10], got.payload[10:]
        return frame(got.first & 0x0F, start) + frame(0x89, b"!") + frame(0x80, end)

    with serving(answer) as server:
        assert run_load(binaries, server.port, "echo")["units"] > 0


@pytest.mark.parametrize("takeover", [True, False])
def test_deflate(binaries: Binaries, takeover: bool) -> None:
    assert binaries.deflate, "zlib.h is missing"
    inflate = zlib.decompressobj(-12)
    deflate = zlib.compressobj(wbits=-15)
    plain: list[bytes] = []

    def answer(got: Frame) -> bytes:
        nonlocal deflate
        if not takeover:
            deflate = zlib.compressobj(wbits=-15)
        assert got.first == 0xC1
        plain.append(inflate.decompress(got.payload + TAIL))
        packed = deflate.compress(plain[-1]) + deflate.flush(zlib.Z_SYNC_FLUSH)
        return frame(0xC1, packed.removesuffix(TAIL))

    agreed = DEFLATE if takeover else f"{DEFLATE}; server_no_context_takeover"
    with serving(answer, headers=(ACCEPT, agreed)) as server:
        options = ("--deflate", "--payload", "json", "--size", "2048")
        figures = run_load(binaries, server.port, "echo", *options)
    assert figures["units"] > 0
    assert b"permessage-deflate; client_max_window_bits" in server.request
    assert {len(message) for message in plain} == {2048}


def test_uncompressed_and_the_same(binaries: Binaries) -> None:
    agreed = f"{DEFLATE}; server_no_context_takeover"

    def answer(got: Frame) -> bytes:
        packed = zlib.compressobj(wbits=-15)
        data = packed.compress(got.payload) + packed.flush(zlib.Z_SYNC_FLUSH)
        return frame(0xC1, data.removesuffix(TAIL))

    with serving(answer, headers=(ACCEPT, agreed)) as server:
        options = ("--deflate", "--uncompressed", "--same", "--payload", "json", "--size", "2048")
        assert run_load(binaries, server.port, "echo", *options)["units"] > 1
    assert {got.first for got in server.frames} == {0x81}
    assert len({got.payload for got in server.frames}) == 1
    assert all(got.mask != after.mask for got, after in itertools.pairwise(server.frames))


# -- what it complains of -------------------------------------------------------------------------


def spoilt(got: Frame) -> bytes:
    return frame(got.first, got.payload[:-1] + bytes([got.payload[-1] ^ 1]))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (spoilt, "wrong bytes"),
        (lambda got: frame(got.first, got.payload[:-1]), "message too short"),
        (lambda got: frame(got.first, got.payload + b"x"), "message too long"),
        (lambda got: frame(0x81, got.payload), "wrong type of message"),
        (lambda got: frame(0xC2, got.payload), "compressed message, not agreed"),
        (lambda got: frame(0xA2, got.payload), "frame with a reserved bit or a mask"),
        (
            lambda got: bytes([0x82, 0x80 | 32]) + bytes(4) + got.payload,
            "frame with a reserved bit or a mask",
        ),
        (lambda got: frame(0x80, got.payload), "fragments out of order"),
        (lambda got: frame(0x02, got.payload[:9]) * 2, "fragments out of order"),
        (lambda got: frame(0x09, b""), "bad control frame"),
        (lambda got: frame(0x88, b"\x03\xe8"), "the server sent a Close"),
    ],
)
def test_faults_in_frames(binaries: Binaries, answer: Answer, error: str) -> None:
    with serving(answer) as server:
        assert run_load(binaries, server.port, "echo") == {"error": error}


@pytest.mark.parametrize(
    ("status", "headers", "options", "error"),
    [
        (
            "HTTP/1.1 404 Not Found",
            (ACCEPT,),
            (),
            "upgrade refused: HTTP/1.1 404 Not Found",
        ),
        (
            "HTTP/1.1 101 Switching Protocols",
            ("Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=",),
            (),
            "wrong Sec-WebSocket-Accept",
        ),
        (
            "HTTP/1.1 101 Switching Protocols",
            (ACCEPT, DEFLATE),
            (),
            "permessage-deflate agreed, not offered",
        ),
        (
            "HTTP/1.1 101 Switching Protocols",
            (ACCEPT,),
            ("--deflate",),
            "permessage-deflate not agreed",
        ),
        (
            "HTTP/1.1 101 Switching Protocols",
            (ACCEPT, f"{DEFLATE}; client_max_window_bits=9"),
            ("--deflate",),
            "client_max_window_bits below what is used",
        ),
    ],
)
def test_faults_in_the_handshake(
    binaries: Binaries, status: str, headers: tuple[str, ...], options: tuple[str, ...], error: str
) -> None:
    with serving(status=status, headers=headers) as server:
        assert run_load(binaries, server.port, "echo", *options) == {"error": error}


def test_nobody_there(binaries: Binaries) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    assert "refused" in run_load(binaries, port, "echo")["error"]


# -- the other modes, against the floor -----------------------------------------------------------


@contextmanager
def running(binaries: Binaries, *arguments: Path) -> Iterator[tuple[str, str]]:
    """The floor: its port and its process id."""
    command = [binaries.floor, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), str(process.pid)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def floor(binaries: Binaries) -> Iterator[tuple[str, str]]:
    with running(binaries) as found:
        yield found


@pytest.mark.parametrize("mode", ["echo", "broadcast", "handshake"])
def test_cpu_of_the_server(binaries: Binaries, floor: tuple[str, str], mode: str) -> None:
    port, pid = floor
    path = "/broadcast" if mode == "broadcast" else "/"
    command = [str(binaries.load), mode, "--connections", "20", "--in-flight", "3", "--pid", pid]
    command += ["--seconds", "0.2", "--warm-up", "0.1", "127.0.0.1", port, path]
    figures = json.loads(subprocess.check_output(command, timeout=30))
    assert figures["mode"] == mode
    assert figures["connections"] == 20
    assert figures["units"] > 0
    assert figures["seconds"] == pytest.approx(0.2, abs=0.1)
    assert 0 < figures["server_cpu_seconds"] < figures["seconds"]
    each = figures["server_cpu_seconds"] / figures["units"] * 1e6
    assert figures["server_cpu_us_each"] == pytest.approx(each, rel=0.01)


@pytest.mark.parametrize("options", [[], ["--touch"]])
def test_memory_of_the_server(
    binaries: Binaries, floor: tuple[str, str], options: list[str]
) -> None:
    port, pid = floor
    command = [str(binaries.load), "idle", "--connections", "200", "--pid", pid, *options]
    command += ["--seconds", "0.1", "--warm-up", "0.1", "127.0.0.1", port, "/"]
    figures = json.loads(subprocess.check_output(command, timeout=30))
    assert figures["server_pss_kib"] > 0
    assert figures["server_bytes_each"] < 10_000


@pytest.mark.parametrize("mode", ["echo", "broadcast", "handshake", "idle"])
@pytest.mark.parametrize("size", ["32", "300000"])
def test_tls(binaries: Binaries, tmp_path: Path, mode: str, size: str) -> None:
    if not binaries.tls:
        pytest.skip("needs OpenSSL's headers")
    certificate = tls.make(tmp_path)
    path = "/broadcast" if mode == "broadcast" else "/"
    with running(binaries, certificate.chain, certificate.key) as (port, pid):
        command = [str(binaries.load), mode, "--tls", "--connections", "10", "--in-flight", "3"]
        command += ["--size", size, "--seconds", "0.2", "--warm-up", "0.1", "--pid", pid]
        figures = json.loads(subprocess.check_output([*command, "127.0.0.1", port, path]))
    assert figures["units" if mode != "idle" else "server_bytes_each"] > 0
