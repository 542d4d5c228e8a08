"""The browser's interface: what a page would write in JavaScript, in Python.

python examples/browser_client.py ws://localhost:8765
"""

import asyncio
import sys

from duplexer.browser import WebSocket


async def main(uri: str) -> None:
    ended = asyncio.Event()
    ws = WebSocket(uri)
    ws.onopen = lambda event: ws.send("hello")

    def on_message(event):
        print(event.type, event.data)
        ws.close(1000, "thanks")

    def on_close(event):
        print(event.type, event.code, event.wasClean)
        ended.set()

    ws.addEventListener("message", on_message)
    ws.addEventListener("close", on_close, {"once": True})
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
