"""Files: what is served, and above all what is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duplexer.carriers.dates import http_date
from duplexer.carriers.static import StaticFiles
from duplexer.http.headers import Headers
from duplexer.http.messages import Request, Response

SECRET = b"secret"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to serve, with a secret beside it."""
    folder = tmp_path / "public"
    folder.mkdir()
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "public2").mkdir()
    (tmp_path / "public2" / "secret.txt").write_bytes(SECRET)
    (folder / "index.html").write_bytes(b"<h1>index")
    (folder / "a.txt").write_bytes(b"0123456789")
    (folder / "sp ace \xe9.js").write_bytes(b"//")
    (folder / "empty").write_bytes(b"")
    (folder / ".env").write_bytes(SECRET)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(SECRET)
    (folder / "sub").mkdir()
    (folder / "sub" / "index.html").write_bytes(b"<h1>sub")
    (folder / "bare").mkdir()
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "out").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "in.txt").symlink_to(folder / "a.txt")
    return folder


def get(folder: Path, path: str, method: str = "GET", /, **headers: str) -> Response:
    fields = Headers()
    for name, value in headers.items():
        fields[name.replace("_", "-")] = value
    return StaticFiles(folder).respond(Request(f"/s/{path}", fields, method), path)


class TestServing:
    @pytest.mark.parametrize(
        ("path", "body", "content_type"),
        [
            ("", b"<h1>index", "text/html; charset=utf-8"),
            ("index.html", b"<h1>index", "text/html; charset=utf-8"),
            ("a.txt", b"0123456789", "text/plain; charset=utf-8"),
            ("%61.txt", b"0123456789", "text/plain; charset=utf-8"),
            ("sp%20ace%20%C3%A9.js", b"//", "text/javascript; charset=utf-8"),
            ("sub/", b"<h1>sub", "text/html; charset=utf-8"),
            ("sub/index.html", b"<h1>sub", "text/html; charset=utf-8"),
            ("in.txt", b"0123456789", "text/plain; charset=utf-8"),
            ("empty", b"", "application/octet-stream"),
        ],
    )
    def test_files(self, folder: Path, path: str, body: bytes, content_type: str) -> None:
        response = get(folder, path)
        assert response.status_code == 200
        assert response.body == body
        assert response.headers["Content-Type"] == content_type
        assert response.headers["Content-Length"] == str(len(body))
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-cache"
        response.serialize()

    def test_head(self, folder: Path) -> None:
        response = get(folder, "a.txt", "HEAD")
        assert response.body == b""
        assert response.headers["Content-Length"] == "10"

    def test_folder_without_slash(self, folder: Path) -> None:
        response = get(folder, "sub")
        assert response.status_code == 301
        assert response.headers["Location"] == "/s/sub/"

    def test_redirect_stays_here(self, folder: Path) -> None:
        """No path makes a Location that starts with two slashes, which is another host."""
        (folder / "evil.com").mkdir()
        files = StaticFiles(folder)
        for path in ("//evil.com", "/%2Fevil.com", "/\\evil.com", "//evil.com/.."):
            response = files.respond(Request(path, Headers()), path[1:])
            assert response.status_code == 404

    @pytest.mark.parametrize("path", ["bare/", "a.txt/", "none", "none/", "sub/none", "a.txt/b"])
    def test_missing(self, folder: Path, path: str) -> None:
        assert get(folder, path).status_code == 404

    def test_special_files(self, folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        assert get(folder, "pipe").status_code == 404

    def test_unreadable(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: Any) -> int:
            raise PermissionError

        monkeypatch.setattr(os, "open", refuse)
        assert get(folder, "a.txt").status_code == 404

    def test_options(self, folder: Path) -> None:
        with pytest.raises(NotADirectoryError):
            StaticFiles(folder / "none")
        with pytest.raises(NotADirectoryError):
            StaticFiles(folder / "a.txt")
        with pytest.raises(ValueError, match="max_file"):
            StaticFiles(folder, max_file=0)
        files = StaticFiles(str(folder), cache_control="max-age=60")
        response = files.respond(Request("/a.txt", Headers()), "a.txt")
        assert response.headers["Cache-Control"] == "max-age=60"

    def test_relative_folder(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder.parent)
        files = StaticFiles("public")
        monkeypatch.chdir("/")
        assert files.respond(Request("/a.txt", Headers()), "a.txt").status_code == 200


class TestEscapes:
    @pytest.mark.parametrize(
        "path",
        [
            "../secret.txt", "sub/../../secret.txt", "./a.txt", "sub/../a.txt", "..", ".", "../",
            "%2e%2e/secret.txt", "%2E%2E/secret.txt", ".%2e/secret.txt", "%2e%2e%2fsecret.txt",
            "..%2fsecret.txt", "sub%2f..%2f..%2fsecret.txt", "%252e%252e/secret.txt",
            "..\\secret.txt", "..%5csecret.txt", "%5c..%5csecret.txt", "sub\\index.html",
            "%c0%ae%c0%ae/secret.txt", "%c0%2e%c0%2e/secret.txt", "..%c0%afsecret.txt",
            "..%00/secret.txt", "a.txt%00", "a.txt%00.html", "%00", "a.txt%0a", "%7f", "a%zz",
            "%", "%1",
            "a.txt%2", "%+61.txt", "%6 .txt", "%\xb2\xb2",
            "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "/a.txt", "sub//index.html", "sub//",
            "../public2/secret.txt", "..%2fpublic2/secret.txt", "2/secret.txt",
            "out.txt", "out/secret.txt", "out/public/a.txt.", "out/", "loop", "loop/a",
            ".env", "%2eenv", ".git/config", "%2egit/config", ".git/", ".git", "...", "..../a.txt",
            "C:/x", "C:%5cx", "file:///etc/passwd", "~root", "a.txt;", "a.txt ", "%20a.txt",
            "\u2024\u2024/secret.txt", "\uff0e\uff0e/secret.txt", "a" * 300, "a/" * 3000,
        ],
    )  # fmt: skip
    def test_table(self, folder: Path, path: str) -> None:
        response = get(folder, path)
        assert response.status_code == 404
        assert SECRET not in response.body

    def test_link_from_inside_to_inside_of_a_linked_folder(self, folder: Path) -> None:
        """The folder itself may be behind a link: that is the owner's doing."""
        link = folder.parent / "link"
        link.symlink_to(folder)
        assert get(link, "a.txt").status_code == 200
        assert get(link, "out.txt").status_code == 404

    @given(
        path=st.lists(
            st.sampled_from(
                ["..", ".", "/", "%2e", "%2f", "%5c", "\\", "%00", "secret.txt", "out", "public2",
                 "sub", "%25", "2e", "a.txt", "public", "%c0%ae"]
            ),
            max_size=8,
        ).map("".join)
    )  # fmt: skip
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_combinations(self, folder: Path, path: str) -> None:
        response = get(folder, path)
        assert response.body != SECRET
        if response.status_code == 301:
            assert not response.headers["Location"].startswith("//")


class TestConditions:
    def test_etag(self, folder: Path) -> None:
        first = get(folder, "a.txt")
        tag = first.headers["ETag"]
        assert tag.startswith('W/"')
        for condition in (tag, tag[2:], f'"x", {tag}', f'"x",{tag},"y"', "*"):
            response = get(folder, "a.txt", If_None_Match=condition)
            assert response.status_code == 304
            assert response.body == b""
            assert response.headers["ETag"] == tag
            assert "Content-Type" not in response.headers
        for condition in ('"x"', tag[:-1], "", "W/", tag.replace("W/", "w/")):
            assert get(folder, "a.txt", If_None_Match=condition).status_code == 200
        (folder / "a.txt").write_bytes(b"changed")
        assert get(folder, "a.txt", If_None_Match=tag).status_code == 200

    def test_dates(self, folder: Path) -> None:
        os.utime(folder / "a.txt", (784111777.5, 784111777.5))
        modified = get(folder, "a.txt").headers["Last-Modified"]
        assert modified == http_date(784111777)
        for seconds, status in ((784111776, 200), (784111777, 304), (784111778, 304)):
            response = get(folder, "a.txt", If_Modified_Since=http_date(seconds))
            assert response.status_code == status
        assert get(folder, "a.txt", If_Modified_Since="yesterday").status_code == 200

    def test_tag_goes_before_date(self, folder: Path) -> None:
        later = http_date(4102444800)
        response = get(folder, "a.txt", If_None_Match='"x"', If_Modified_Since=later)
        assert response.status_code == 200


class TestRanges:
    @pytest.mark.parametrize(
        ("value", "body", "content_range"),
        [
            ("bytes=0-0", b"0", "bytes 0-0/10"),
            ("bytes=2-4", b"234", "bytes 2-4/10"),
            ("Bytes=2-4", b"234", "bytes 2-4/10"),
            ("bytes=8-", b"89", "bytes 8-9/10"),
            ("bytes=8-99", b"89", "bytes 8-9/10"),
            ("bytes=-3", b"789", "bytes 7-9/10"),
            ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ],
    )
    def test_part(self, folder: Path, value: str, body: bytes, content_range: str) -> None:
        response = get(folder, "a.txt", Range=value)
        assert (response.status_code, response.body) == (206, body)
        assert response.headers["Content-Range"] == content_range
        assert response.headers["Content-Length"] == str(len(body))

    @pytest.mark.parametrize(
        "value",
        [
            "bytes=", "bytes=-", "bytes", "bytes=a-b", "bytes=4-2", "bytes=0-1,3-4", "lines=0-1",
            "bytes=+1-2", "bytes=1_0-", "bytes=--1", "bytes=\xb2-", "bytes=" + "9" * 20 + "-",
        ],
    )  # fmt: skip
    def test_whole(self, folder: Path, value: str) -> None:
        response = get(folder, "a.txt", Range=value)
        assert (response.status_code, response.body) == (200, b"0123456789")

    @pytest.mark.parametrize("value", ["bytes=10-", "bytes=10-20", "bytes=-0"])
    def test_none(self, folder: Path, value: str) -> None:
        response = get(folder, "a.txt", Range=value)
        assert (response.status_code, response.body) == (416, b"")
        assert response.headers["Content-Range"] == "bytes */10"

    def test_empty_file(self, folder: Path) -> None:
        assert get(folder, "empty", Range="bytes=0-").status_code == 416
        assert get(folder, "empty", Range="bytes=-1").status_code == 416

    def test_conditions(self, folder: Path) -> None:
        assert get(folder, "a.txt", Range="bytes=0-0", If_Range='W/"x"').status_code == 200
        assert get(folder, "a.txt", "HEAD", Range="bytes=0-0").status_code == 200

    def test_large_files_in_parts(self, folder: Path) -> None:
        files = StaticFiles(folder, max_file=4)
        response = files.respond(Request("/a.txt", Headers()), "a.txt")
        assert response.status_code == 403
        assert b"max_file" in response.body
        response = files.respond(Request("/a.txt", Headers(Range="bytes=2-5")), "a.txt")
        assert (response.status_code, response.body) == (206, b"2345")
