"""picows, its core: a callback for each frame, and the transport's own ``send``."""

from __future__ import annotations

import asyncio
import socket
import ssl

import picows

from benchmarks.echo.servers import serving

publishing: set[picows.WSTransport] = set()


class Echo(picows.WSListener):
    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            answer_close(transport, frame)
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


class Broadcast(picows.WSListener):
    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        publishing.add(transport)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        publishing.discard(transport)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            answer_close(transport, frame)
            return
        message = frame.get_payload_as_bytes()
        for receiver in publishing:
            receiver.send(frame.msg_type, message)


def answer_close(transport: picows.WSTransport, frame: picows.WSFrame) -> None:
    transport.send_close(frame.get_close_code(), frame.get_close_message())
    transport.disconnect()


def listener(request: picows.WSUpgradeRequest) -> picows.WSListener:
    return Broadcast() if request.path == b"/broadcast" else Echo()


async def serve(sock: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
    return await picows.ws_create_server(listener, sock=sock, ssl=tls)


if __name__ == "__main__":
    serving.run(serve)
