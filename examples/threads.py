"""An echo with threads: a client that blocks, and a server with a thread for each connection.

python examples/threads.py 8765
"""

import sys
import threading

from duplexer.sync import connect, serve


def echo(ws):
    for message in ws:
        ws.send(message)


def main(port: int) -> None:
    with serve(echo, "localhost", port) as server:
        threading.Thread(target=server.serve_forever).start()
        with connect(f"ws://localhost:{port}") as ws:
            for message in ("hello", b"\x00\x01"):
                ws.send(message)
                print(ws.recv(timeout=10))


if __name__ == "__main__":
    main(int(sys.argv[1]))
