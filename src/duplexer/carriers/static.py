"""Files of a folder, for a page that goes with a WebSocket server.

It is no replacement for a web server: files are read whole, up to ``max_file`` bytes at a time
(a client may ask for parts of larger ones, RFC 9110 14), and there is no compression.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from duplexer.carriers.dates import http_date, parse_http_date
from duplexer.http.headers import Headers
from duplexer.http.messages import Response, make_response, reason_for

if TYPE_CHECKING:
    from duplexer.http.messages import Request

__all__ = ["StaticFiles"]

#: Those of ``mimetypes`` depend on the machine.
_TYPES = {
    ".avif": "image/avif",
    ".bin": "application/octet-stream",
    ".bmp": "image/bmp",
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".gif": "image/gif",
    ".gz": "application/gzip",
    ".htm": "text/html; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".ogg": "audio/ogg",
    ".otf": "font/otf",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
    ".zip": "application/zip",
}
_HEX = frozenset("0123456789abcdefABCDEF")

MiB = 1024 * 1024


class StaticFiles:
    """Serves the files below ``folder``, and ``index.html`` for a folder.

    ``max_file``: the most that is read for one answer, in bytes. ``cache_control``: the value of
    that header; by default browsers keep a file but ask each time whether it has changed.

    Names that start with a dot are not served, nor is what a symbolic link makes of another
    folder. Raises :exc:`NotADirectoryError` if there is no such folder.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        max_file: int = 16 * MiB,
        cache_control: str = "no-cache",
    ) -> None:
        self.folder = Path(folder).resolve()
        if not self.folder.is_dir():
            raise NotADirectoryError(f"no folder to serve files from: {self.folder}")
        if max_file <= 0:
            raise ValueError(f"max_file must be positive, not {max_file}")
        self.max_file = max_file
        self.cache_control = cache_control

    def respond(self, request: Request, path: str) -> Response:
        """The answer to a GET or HEAD for ``path``, which is relative and percent-encoded.

        It blocks while it reads from the disk.
        """
        names = _names(path)
        if names is None:
            return _not_found()
        found = self._inside(names)
        if found is None:
            return _not_found()
        if found.is_dir():
            if path and not path.endswith("/"):
                location = request.path.partition("?")[0] + "/"
                return make_response(301, b"", headers=Headers(Location=location))
            found = self._inside([*names, "index.html"])
            if found is None:
                return _not_found()
        elif path.endswith("/"):
            return _not_found()
        return self._file(request, found)

    def _inside(self, names: list[str]) -> Path | None:
        """The real path of what ``names`` lead to, if it is there and below the folder."""
        try:
            path = self.folder.joinpath(*names).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # missing, invalid, or links in a circle
            return None
        return path if path == self.folder or self.folder in path.parents else None

    def _file(self, request: Request, path: Path) -> Response:
        # Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        try:
            descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
        except OSError:
            return _not_found()
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return _not_found()
            headers = Headers()
            headers["ETag"] = etag = f'W/"{status.st_mtime_ns:x}-{status.st_size:x}"'
            headers["Last-Modified"] = http_date(status.st_mtime)
            headers["Cache-Control"] = self.cache_control
            if _is_unchanged(request, etag, int(status.st_mtime)):
                return Response(304, reason_for(304), headers)
            headers["Content-Type"] = _TYPES.get(path.suffix.lower(), _TYPES[".bin"])
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Accept-Ranges"] = "bytes"
            first, last, code = _range(request, status.st_size)
            size = last - first + 1
            if code == 416:
                headers["Content-Range"] = f"bytes */{status.st_size}"
                return Response(416, reason_for(416), headers)
            if code == 206:
                headers["Content-Range"] = f"bytes {first}-{last}/{status.st_size}"
            if size > self.max_file:
                return _too_big(self.max_file)
            headers["Content-Length"] = str(size)
            body = b""
            if request.method != "HEAD":
                file.seek(first)
                body = file.read(size)
                if len(body) != size:  # the file has become shorter
                    headers.replace("Content-Length", str(len(body)))
            return Response(code, reason_for(code), headers, body)


def _not_found() -> Response:
    return make_response(404, b"There is no such file.\n")


def _too_big(bound: int) -> Response:
    text = f"This file is larger than {bound} bytes (max_file); ask for parts of it.\n"
    return make_response(403, text.encode())


def _names(path: str) -> list[str] | None:
    """The names in ``path``, or ``None`` if it does not name a file below the folder.

    Decoding comes after splitting and only once, so that what was checked is what is opened.
    """
    pieces = path.split("/")
    if pieces[-1] == "":
        pieces.pop()
    names = []
    for piece in pieces:
        name = _decode(piece)
        if not name or name.startswith("."):
            return None
        if not name.isprintable() or not _SEPARATORS.isdisjoint(name):
            return None
        names.append(name)
    return names


#: A colon would name a drive or a stream on Windows, and a reserved device has no file.
_SEPARATORS = frozenset("/\\\0" if os.name != "nt" else '/\\\0:<>"|?*')


def _decode(text: str) -> str | None:
    """Undo percent-encoding (RFC 3986 2.1); ``None`` where it is malformed or no UTF-8."""
    first, *pieces = text.split("%")
    if not pieces:
        return text
    decoded = bytearray(first.encode())
    for piece in pieces:
        if len(piece) < 2 or not _HEX.issuperset(piece[:2]):
            return None
        decoded.append(int(piece[:2], 16))
        decoded += piece[2:].encode()
    try:
        return decoded.decode()
    except UnicodeDecodeError:
        return None


def _is_unchanged(request: Request, etag: str, modified: int) -> bool:
    """Whether the client has the present version (RFC 9110 13.2.2)."""
    tags = request.headers.get_all("If-None-Match")
    if tags:
        ours = etag.removeprefix("W/")
        for tag in ",".join(tags).split(","):
            theirs = tag.strip(" \t")
            if theirs == "*" or theirs.removeprefix("W/") == ours:
                return True
        return False
    dates = request.headers.get_all("If-Modified-Since")
    since = parse_http_date(dates[0]) if len(dates) == 1 else None
    return since is not None and modified <= since


def _range(request: Request, size: int) -> tuple[int, int, int]:
    """First and last byte that are wanted, and the status: 200, 206 or 416 (RFC 9110 14).

    Several ranges, what cannot be read, and If-Range, which a weak tag never satisfies, all get
    the whole file: that is always allowed.
    """
    whole = (0, size - 1, 200)
    values = request.headers.get_all("Range")
    if len(values) != 1 or request.method != "GET" or "If-Range" in request.headers:
        return whole
    unit, equals, wanted = values[0].partition("=")
    first, dash, last = wanted.strip(" \t").partition("-")
    if unit.lower() != "bytes" or not equals or not dash or not (first or last):
        return whole
    for number in (first, last):
        if number and not (number.isascii() and number.isdigit() and len(number) <= 19):
            return whole
    if not first:
        length = min(int(last), size)
        return (size - length, size - 1, 206) if length else (0, -1, 416)
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return whole
    return (start, end, 206) if start < size else (0, -1, 416)
