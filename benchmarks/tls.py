"""A certificate for the rows over TLS, and the authority that clients trust; made when needed."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    chain: Path
    key: Path
    authority: Path


def missing() -> str | None:
    """What cannot be imported."""
    return None if importlib.util.find_spec("trustme") else "trustme"


def make(folder: Path) -> Certificate:
    """For 127.0.0.1, with a key on the curve P-256."""
    import trustme

    made = Certificate(folder / "chain.pem", folder / "key.pem", folder / "authority.pem")
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(made.authority))
    server.private_key_pem.write_to_path(str(made.key))
    made.chain.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    return made
