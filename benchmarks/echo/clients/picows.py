"""picows, its core: the next message is sent from the callback of the last one's echo."""

from __future__ import annotations

from collections.abc import Iterator

import picows

from benchmarks.echo.clients import dialling


class Pinger(picows.WSListener):
    def __init__(self, message: bytes, turns: Iterator[None]) -> None:
        self.message = message
        self.turns = turns
        self.echo = b""

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.go_on(transport)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        self.echo = frame.get_payload_as_bytes()
        self.go_on(transport)

    def go_on(self, transport: picows.WSTransport) -> None:
        for _ in self.turns:
            transport.send(picows.WSMsgType.BINARY, self.message)
            return
        transport.disconnect()


async def dial(uri: str, tls: dialling.Tls, message: bytes, turns: dialling.Stopwatch) -> object:
    pinger = Pinger(message, iter(turns))
    transport, _ = await picows.ws_connect(lambda: pinger, uri, ssl_context=tls)
    await transport.wait_disconnected()
    return pinger.echo


if __name__ == "__main__":
    dialling.run(dial)
