from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.policy.patterns import Pattern, text_of

ID = "00000000-0000-0000-0000-00000000000a"


def match(pattern, path):
    return Pattern(pattern).match(path[1:].split("/"))


@pytest.mark.parametrize(
    ("pattern", "path", "parameters"),
    [
        ("/", "/", {}),
        ("/a/b", "/a/b", {}),
        ("/rooms/{room}", "/rooms/x", {"room": "x"}),
        ("/rooms/{room:str}/log", "/rooms/caf%C3%A9/log", {"room": "café"}),
        ("/rooms/{room}", "/rooms/...", {"room": "..."}),
        ("/{a}/{b}", "/1/2", {"a": "1", "b": "2"}),
        ("/{n:int}", "/0", {"n": 0}),
        ("/{n:int}", "/123456789012345678", {"n": 123456789012345678}),
        ("/{id:uuid}", f"/{ID}", {"id": uuid.UUID(ID)}),
        ("/{id:uuid}", f"/{ID.upper()}", {"id": uuid.UUID(ID)}),
        ("/f/{rest:path}", "/f/a", {"rest": "a"}),
        ("/f/{x}/{rest:path}", "/f/1/a/b%20c", {"x": "1", "rest": "a/b c"}),
        ("/a%20b", "/a%20b", {}),
    ],
)
def test_what_matches(pattern, path, parameters):
    assert match(pattern, path) == parameters


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/a", "/A"),
        ("/a", "/a/"),
        ("/a", "/%61"),
        ("/a b".replace(" ", "%20"), "/a+b"),
        ("/rooms/{room}", "/rooms"),
        ("/rooms/{room}", "/rooms/"),
        ("/rooms/{room}", "/rooms/a/b"),
        ("/rooms/{room}", "//rooms/a"),
        ("/rooms/{room}", "/rooms/%ff"),
        ("/rooms/{room}", "/rooms/."),
        ("/rooms/{room}", "/rooms/.."),
        ("/rooms/{room}", "/rooms/%2e%2E"),
        ("/rooms/{room}", "/rooms/a%2Fb"),
        ("/rooms/{room}", "/rooms/..%2f..%2fetc%2fpasswd"),
        ("/rooms/{room}", "/rooms/%00"),
        ("/rooms/{room}", "/rooms/a%0d%0ab"),
        ("/rooms/{room}", "/rooms/a%E2%80%A8b"),
        ("/{n:int}", "/-1"),
        ("/{n:int}", "/+1"),
        ("/{n:int}", "/01"),
        ("/{n:int}", "/1_0"),
        ("/{n:int}", "/%31"),
        ("/{n:int}", "/1234567890123456789"),
        ("/{n:int}", "/٣"),
        ("/{id:uuid}", f"/{ID.replace('-', '')}"),
        ("/{id:uuid}", f"/{{{ID}}}"),
        ("/{id:uuid}", f"/{ID[:-1]}g"),
        ("/{id:uuid}", f"/{ID[:9]}{ID[10:]}-"),
        ("/f/{rest:path}", "/f"),
        ("/f/{rest:path}", "/f/"),
        ("/f/{rest:path}", "/f/a//b"),
        ("/f/{rest:path}", "/f/a/"),
        ("/f/{rest:path}", "/f/../x"),
        ("/f/{rest:path}", "/f/%2e%2E/x"),
        ("/f/{rest:path}", "/f/%2e/x"),
        ("/f/{rest:path}", "/f/a%2fb"),
        ("/f/{rest:path}", "/f/%c3"),
    ],
)
def test_what_does_not(pattern, path):
    assert match(pattern, path) is None


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("", "starts with a slash"),
        ("a", "starts with a slash"),
        ("/a b", "percent-encoded"),
        ("/a?b", "percent-encoded"),
        ("/ä", "percent-encoded"),
        ("/x{a}", "whole segment"),
        ("/{a}x", "whole segment"),
        ("/{", "whole segment"),
        ("/{}", "whole segment"),
        ("/{a-b}", "whole segment"),
        ("/{a:float}", "not 'float'"),
        ("/{a}/{a}", "two parameters"),
        ("/{a:path}/b", "comes last"),
    ],
)
def test_what_is_no_pattern(pattern, says):
    with pytest.raises(ValueError, match=says):
        Pattern(pattern)
    with pytest.raises(TypeError, match="a path must be"):
        Pattern(None)


def test_what_it_tells():
    assert Pattern("/a").is_constant and not Pattern("/{a}").is_constant
    assert Pattern("/{a}").shape == Pattern("/{b:str}").shape != Pattern("/{a:int}").shape
    assert Pattern("/x/{b:path}").is_open and Pattern("/x/{b:path}").length == 1
    assert Pattern("/{a}/{b:int}").names == ["a", "b"]


@given(st.text())
def test_text(text):
    said = text_of(text)
    assert said is None or said.isprintable() or "%" in text


@given(st.text(st.sampled_from("/a.%2eE0{}:"), max_size=20))
def test_a_path_below_a_folder_stays_there(rest):
    found = match("/f/{rest:path}", f"/f/{rest}")
    if found is not None:
        assert not {"", ".", ".."} & set(found["rest"].split("/"))
