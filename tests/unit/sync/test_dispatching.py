"""What tests/contract/test_dispatch.py cannot ask of every front."""

from __future__ import annotations

import contextvars
import threading

from duplexer.sync import connect, serve

WHO = contextvars.ContextVar("who", default="nobody")


def test_threads_of_a_pool_see_what_the_handler_set() -> None:
    seen = []
    enough = threading.Event()

    def handler(ws) -> None:
        WHO.set("handler")

        def handle(message: str) -> None:
            seen.append((message, WHO.get(), threading.current_thread().name))
            if len(seen) == 4:
                enough.set()

        ws.dispatch(handle, concurrency=2)

    with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with connect(f"ws://127.0.0.1:{port}", proxy=None) as ws:
            for message in "abcd":
                ws.send(message)
            assert enough.wait(30)
    assert sorted(message for message, _, _ in seen) == ["a", "b", "c", "d"]
    assert {who for _, who, _ in seen} == {"handler"}
    assert all(name.startswith("duplexer-dispatch") for _, _, name in seen)
