"""Which path is answered by what."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Any

import pytest

from duplexer.carriers.routes import Routes, html, json, text
from duplexer.carriers.static import StaticFiles
from duplexer.http.headers import Headers
from duplexer.http.messages import Request, Response


def request(path: str = "/", method: str = "GET", host: str = "example.com") -> Request:
    return Request(path, Headers(Host=host), method)


def answer(routes: Any, path: str = "/", method: str = "GET", **kwargs: Any) -> Response:
    asked = request(path, method)
    response = Routes(routes).find(asked, **kwargs).call(asked)
    assert isinstance(response, Response)
    return response


class TestHelpers:
    def test_text(self) -> None:
        response = text("\xe9")
        assert response.status_code == 200
        assert response.reason_phrase == "OK"
        assert response.body == b"\xc3\xa9"
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert response.headers["Content-Length"] == "2"

    def test_html(self) -> None:
        response = html("<p>", 404, {"X-More": "1"})
        assert (response.status_code, response.reason_phrase) == (404, "Not Found")
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["X-More"] == "1"

    def test_json(self) -> None:
        response = json({"a": ["\xe9", None]}, headers=[("A", "1"), ("A", "2")])
        assert json_module.loads(response.body) == {"a": ["\xe9", None]}
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers.get_all("A") == ["1", "2"]
        with pytest.raises(ValueError, match="JSON compliant"):
            json(float("nan"))
        with pytest.raises(TypeError):
            json(object())

    def test_content_type_can_be_given(self) -> None:
        response = text("a", headers={"content-type": "text/css"})
        assert response.headers.get_all("Content-Type") == ["text/css"]


class TestFinding:
    def test_constant(self) -> None:
        ok = text("ok")
        for method in ("GET", "HEAD"):
            assert answer({"/health": ok}, "/health", method) is ok
        assert answer({"/health": ok}, "/health?x=1") is ok

    def test_function(self) -> None:
        def echo(request: Request) -> Response:
            return text(request.path)

        assert answer({"/a": echo}, "/a?b").body == b"/a?b"

    async def test_coroutine_function(self) -> None:
        async def echo(request: Request) -> Response:
            return text(request.path)

        target = Routes({"/a": echo}).find(request("/a"))
        assert not target.blocking
        response = target.call(request("/a"))
        assert not isinstance(response, Response)
        assert (await response).body == b"/a"

    def test_methods(self) -> None:
        routes = {"/a": {"GET": text("got"), "POST": lambda request: text("posted")}}
        assert answer(routes, "/a").body == b"got"
        assert answer(routes, "/a", "HEAD").body == b"got"
        assert answer(routes, "/a", "POST").body == b"posted"

    @pytest.mark.parametrize(
        ("value", "method", "allow"),
        [
            (text(""), "POST", "GET, HEAD"),
            (text(""), "BREW", "GET, HEAD"),
            ({"GET": text(""), "POST": text("")}, "PUT", "GET, POST, HEAD"),
            ({"POST": text("")}, "GET", "POST"),
            ({"POST": text("")}, "HEAD", "POST"),
            ({"HEAD": text("")}, "GET", "HEAD"),
        ],
    )
    def test_method_not_allowed(self, value: Any, method: str, allow: str) -> None:
        response = answer({"/a": value}, "/a", method)
        assert response.status_code == 405
        assert response.headers["Allow"] == allow

    def test_paths_are_exact(self) -> None:
        routes = {"/a": text("a"), "/": text("root"), "/b/": text("b")}
        for path in ("/a/", "/A", "/a/b", "//a", "/%61", "/b", "/b/c"):
            assert answer(routes, path).status_code == 426

    def test_files(self, tmp_path: Path) -> None:
        (tmp_path / "x.txt").write_bytes(b"outer")
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "x.txt").write_bytes(b"inner")
        routes = {
            "/": StaticFiles(tmp_path),
            "/in/": StaticFiles(tmp_path / "in"),
            "/in/y.txt": text("mine"),
        }
        assert answer(routes, "/x.txt").body == b"outer"
        assert answer(routes, "/in/x.txt?y").body == b"inner"
        assert answer(routes, "/in/y.txt").body == b"mine"
        assert answer(routes, "/nothing").status_code == 404
        assert answer(routes, "/x.txt", "POST").status_code == 405
        assert Routes(routes).find(request("/x.txt")).blocking
        response = answer(routes, "/in")
        assert (response.status_code, response.headers["Location"]) == (301, "/in/")

    def test_truth(self, tmp_path: Path) -> None:
        assert not Routes()
        assert not Routes({})
        assert Routes({"/": text("")})
        assert Routes({"/": StaticFiles(tmp_path)})


class TestNoRoute:
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_advice(self, method: str) -> None:
        response = answer(None, "/chat?token=secret", method)
        assert response.status_code == 426
        assert response.headers["Upgrade"] == "websocket"
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        body = response.body.decode()
        assert 'new WebSocket("ws://example.com/chat")' in body
        assert "http=" in body
        assert "secret" not in body
        assert "wss://example.com" in answer(None, secure=True).body.decode()

    def test_no_route_among_others(self) -> None:
        body = answer({"/a": text("")}, "/b").body.decode()
        assert "no page at this path" in body
        assert "no page at this path" not in answer(None).body.decode()

    def test_other_methods(self) -> None:
        response = answer(None, "/", "DELETE")
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD"

    def test_path_is_cut(self) -> None:
        assert len(answer(None, "/" + "a" * 8000).body) < 1500

    def test_no_host(self) -> None:
        old = Request("/", Headers(), "GET", b"", "HTTP/1.0")
        response = Routes().find(old).call(old)
        assert isinstance(response, Response)
        assert response.status_code == 426


class TestMapping:
    @pytest.mark.parametrize("path", ["", "a", "a/", "/a?b", "/a#b", "/a b", "/\xe9", "/a\n"])
    def test_paths(self, path: str) -> None:
        with pytest.raises(ValueError, match="a path "):
            Routes({path: text("")})

    def test_path_types(self) -> None:
        with pytest.raises(TypeError, match="must be a str"):
            Routes({b"/": text("")})  # type: ignore[dict-item]

    @pytest.mark.parametrize("value", ["ok", b"ok", None, 200, Response, StaticFiles, ["GET"]])
    def test_values(self, value: Any) -> None:
        with pytest.raises(TypeError, match="what answers '/a' must be"):
            Routes({"/a": value})
        with pytest.raises(TypeError, match="what answers '/a' must be"):
            Routes({"/a": {"GET": value}})

    @pytest.mark.parametrize("method", ["", "get", "G T", 1])
    def test_methods(self, method: Any) -> None:
        with pytest.raises(ValueError, match="invalid method for '/a'"):
            Routes({"/a": {method: text("")}})
        with pytest.raises(ValueError, match="no methods"):
            Routes({"/a": {}})

    def test_files_are_below_a_slash(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="ends in a slash"):
            Routes({"/a": StaticFiles(tmp_path)})
