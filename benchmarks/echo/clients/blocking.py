"""``send(...)``, ``recv()``, without a loop: the libraries with that interface.

They differ in the module that ``connect`` is imported from, which ``--library`` names.
"""

from __future__ import annotations

import argparse
import importlib

from benchmarks.echo.clients import dialling


def dial(uri: str, tls: dialling.Tls, message: bytes, turns: dialling.Stopwatch) -> object:
    parser = argparse.ArgumentParser()
    parser.add_argument("--library")
    name = parser.parse_known_args()[0].library
    connect = importlib.import_module(f"{name}.sync.client").connect
    echo: object = None
    with connect(uri, ssl=tls) as connection:
        for _ in turns:
            connection.send(message)
            echo = connection.recv()
    return echo


if __name__ == "__main__":
    dialling.run(dial)
