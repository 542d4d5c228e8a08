"""A server's certificate that can be read anew while it serves."""

from __future__ import annotations

import ssl
from os import PathLike
from typing import Any, Self

__all__ = ["Certificates"]


class Certificates(ssl.SSLContext):
    """TLS settings of a server, from files that may be replaced: ``ssl=Certificates("a.pem")``.

    ``reload()`` reads them again; connections that are open stay as they are. ``run()`` does that
    on SIGHUP, and so does the command. Raises :exc:`OSError` and :exc:`ssl.SSLError`.
    """

    _files: tuple[Any, Any, Any]

    def __new__(
        cls,
        certfile: str | PathLike[str],
        keyfile: str | PathLike[str] | None = None,
        password: str | None = "",
    ) -> Self:
        """``password=""``: never ask at the terminal."""
        self = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        self._files = (certfile, keyfile, password)
        self.reload()
        return self

    def reload(self) -> None:
        """Read the files again; if they are not usable what was read before stays in use."""
        trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certfile, keyfile, password = self._files
        trial.load_cert_chain(certfile, keyfile, password=password or "")
        self.load_cert_chain(certfile, keyfile, password=password or "")
