import os
import threading

from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect
from websockets.sync.server import serve

PORT = int(os.environ["PORT"])


def handler(websocket):
    for message in websocket:
        websocket.send(message[::-1])


with serve(handler, "localhost", PORT) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with connect(f"ws://localhost:{PORT}") as websocket:
        websocket.send("drawer")
        print(websocket.recv())
        try:
            websocket.recv(timeout=0.05)
        except TimeoutError:
            print("nothing more")
        websocket.send(["st", "raw"])
        print(websocket.recv(timeout=10))
        print(websocket.ping().wait(10))
    try:
        websocket.recv()
    except ConnectionClosedOK as exc:
        print(exc.rcvd.code, exc.sent.code)
    server.shutdown()
    thread.join()
