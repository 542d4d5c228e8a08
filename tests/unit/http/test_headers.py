"""Headers and the grammars of their values."""

from __future__ import annotations

import contextlib
import copy
import pickle
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.errors import InvalidHeaderFormat, InvalidHeaderValue
from duplexer.http import headers as module
from duplexer.http.headers import (
    Headers,
    MultipleValuesError,
    build_authorization_basic,
    build_extension,
    build_host,
    build_subprotocol,
    build_www_authenticate_basic,
    has_token,
    is_token,
    is_valid_value,
    parse_authorization_basic,
    parse_connection,
    parse_extension,
    parse_subprotocol,
    parse_upgrade,
    shown,
    valid_host,
    validate_subprotocols,
)

CONTROLS = [chr(code) for code in (*range(0x20), 0x7F)]


class TestMapping:
    def test_keys_ignore_case_and_keep_it(self) -> None:
        headers = Headers({"X-Thing": "1"})
        assert headers["x-thing"] == headers["X-THING"] == "1"
        assert "X-THING" in headers
        assert headers.__contains__(1) is False
        assert list(headers) == ["x-thing"]
        assert list(headers.raw_items()) == [("X-Thing", "1")]

    def test_setting_adds(self) -> None:
        headers = Headers([("A", "1"), ("B", "2")])
        headers["a"] = "3"
        headers["A"] = "4"
        assert headers.get_all("A") == ["1", "3", "4"]
        assert len(headers) == 2
        with pytest.raises(MultipleValuesError) as raised:
            headers["A"]
        assert str(raised.value) == "'A'"
        assert isinstance(raised.value, LookupError)
        assert not isinstance(raised.value, KeyError)

    def test_missing(self) -> None:
        headers = Headers()
        with pytest.raises(KeyError):
            headers["A"]
        with pytest.raises(KeyError):
            del headers["A"]
        assert headers.get("A") is None
        assert headers.get_all("A") == []

    def test_deleting_removes_all_values(self) -> None:
        headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
        del headers["A"]
        assert list(headers.raw_items()) == [("B", "2")]
        assert headers == Headers(B="2")

    def test_replace(self) -> None:
        headers = Headers([("A", "1"), ("a", "2")])
        headers.replace("A", "3")
        assert headers.get_all("a") == ["3"]
        headers.replace("B", "4")
        assert headers["b"] == "4"

    def test_update_keeps_several_values(self) -> None:
        headers = Headers(Headers([("A", "1"), ("A", "2")]))
        headers.update({"A": "3"}, B="4")
        assert headers.get_all("A") == ["1", "2", "3"]
        assert headers["B"] == "4"

    def test_clear(self) -> None:
        headers = Headers.from_lines(b"A: 1")
        headers.clear()
        assert list(headers.raw_items()) == []
        assert len(headers) == 0

    def test_equality_ignores_case_of_names_and_order(self) -> None:
        assert Headers(A="1", B="2") == Headers(b="2", a="1")
        assert Headers(A="1") != Headers(A="2")
        assert Headers(A="1") != {"a": "1"}
        with pytest.raises(TypeError):
            hash(Headers())

    def test_get_all_gives_a_copy(self) -> None:
        headers = Headers([("A", "1"), ("A", "2")])
        headers.get_all("A").append("3")
        assert headers.get_all("A") == ["1", "2"]

    @pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, Headers.copy])
    def test_copies_are_independent(self, duplicate: Callable[[Headers], Headers]) -> None:
        for headers in (Headers(A="1"), Headers.from_lines(b"A: 1")):
            other = duplicate(headers)
            assert other == headers
            other["B"] = "2"
            assert "B" not in headers

    def test_pickle(self) -> None:
        headers = Headers([("A", "1"), ("A", "\xff")])
        assert pickle.loads(pickle.dumps(headers)) == headers

    def test_no_attributes(self) -> None:
        """An idle connection keeps one of these: no dict for each."""
        with pytest.raises(AttributeError):
            Headers().anything = 1  # type: ignore[attr-defined]


class TestLines:
    RAW = b"Host: a\r\nX-Empty:\r\nX-Two: 1\r\nx-two:  2\t"

    def test_reading(self) -> None:
        headers = Headers.from_lines(self.RAW)
        assert headers["host"] == "a"
        assert headers["x-empty"] == ""
        assert headers.get_all("X-Two") == ["1", "2"]
        assert list(headers.raw_items()) == [
            ("Host", "a"),
            ("X-Empty", ""),
            ("X-Two", "1"),
            ("x-two", "2"),
        ]

    def test_short_equal_values_are_still_two(self) -> None:
        """Strings of one character are the same object wherever they come from."""
        assert Headers.from_lines(b"Host: a\r\nHost: a").get_all("Host") == ["a", "a"]
        assert Headers.from_lines(b"Host:\r\nHost:").get_all("Host") == ["", ""]

    def test_serialize_untouched(self) -> None:
        assert Headers.from_lines(self.RAW).serialize() == self.RAW + b"\r\n\r\n"
        assert Headers.from_lines(b"").serialize() == b"\r\n"
        assert Headers().serialize() == b"\r\n"

    def test_serialize_after_a_change(self) -> None:
        headers = Headers.from_lines(b"Host: a")
        headers["B"] = "\xe9"
        assert headers.serialize() == b"Host: a\r\nB: \xe9\r\n\r\n"
        assert str(headers) == "Host: a\r\nB: \xe9\r\n\r\n"
        assert repr(headers) == "Headers([('Host', 'a'), ('B', '\xe9')])"

    def test_compact(self) -> None:
        for headers in (Headers(), Headers(A="1"), Headers.from_lines(self.RAW)):
            before = list(headers.copy().raw_items())
            headers.index()
            headers.compact()
            assert headers._list is None
            assert headers._dict is None
            assert list(headers.copy().raw_items()) == before
            headers["Z"] = "9"
            headers.compact()
            assert list(headers.raw_items()) == [*before, ("Z", "9")]


class TestInjection:
    """What we send can never hold a line end that was not ours."""

    @pytest.mark.parametrize("control", CONTROLS)
    def test_control_characters(self, control: str) -> None:
        headers = Headers()
        for name in (f"A{control}", f"{control}A", f"A{control}B"):
            with pytest.raises(ValueError, match="invalid header name"):
                headers[name] = "1"
        if control != "\t":
            with pytest.raises(ValueError, match="invalid value of header X-Name"):
                headers["X-Name"] = f"a{control}b"
            with pytest.raises(ValueError, match="X-Name"):
                Headers({"X-Name": f"a{control}"})
        assert list(headers.raw_items()) == []

    @pytest.mark.parametrize("value", ["\u010d", "\u010a", "\u2028", "\u0660", "\ud800"])
    def test_beyond_latin_1(self, value: str) -> None:
        """U+010D would become CR by cutting it to a byte."""
        with pytest.raises(ValueError, match="X-Name"):
            Headers({"X-Name": value})
        with pytest.raises(ValueError, match="invalid header name"):
            Headers({f"X{value}": "1"})

    @pytest.mark.parametrize("name", ["", " ", "A B", "A:", "(A)", "A,", '"A"', "\xe9"])
    def test_names(self, name: str) -> None:
        with pytest.raises(ValueError, match="invalid header name"):
            Headers()[name] = "1"

    def test_types(self) -> None:
        with pytest.raises(TypeError, match="X-Name must be a str, not int"):
            Headers()["X-Name"] = 1  # type: ignore[assignment]
        with pytest.raises(ValueError, match="invalid header name"):
            Headers()[b"A"] = "1"  # type: ignore[index]

    @given(st.lists(st.tuples(st.text(), st.text())))
    def test_output_is_always_lines(self, pairs: list[tuple[str, str]]) -> None:
        headers = Headers()
        count = 0
        for name, value in pairs:
            try:
                headers[name] = value
            except ValueError:
                continue
            count += 1
        lines = headers.serialize().split(b"\r\n")
        assert lines[-2:] == [b"", b""]
        assert len(lines) == count + 2
        for line in lines:
            assert not set(line) & {0, 10, 13}


class TestWords:
    def test_token(self) -> None:
        for good in ("a", "websocket", "x-y_z.!#$%&'*+^`|~", "0"):
            assert is_token(good)
        for bad in ("", " ", "a b", "a,b", "a;b", "a=b", 'a"', "a/b", "\xe9", "\u0660", "a\n"):
            assert not is_token(bad)

    def test_value(self) -> None:
        for good in ("", "a b", "a\tb", "\xe9", "\xa0"):
            assert is_valid_value(good)
        for bad in ("\r", "\n", "\0", "\x7f", "a\x1bb", "\u0100"):
            assert not is_valid_value(bad)

    def test_shown(self) -> None:
        assert shown("plain") == "plain"
        assert shown("\x1b]0;\r\n\xe9\u20ac") == "\\x1b]0;\\r\\n\\xe9\\u20ac"
        assert len(shown("\0" * 1000)) == 100
        assert shown("x" * 100) == "x" * 100
        assert shown("x" * 101) == "x" * 97 + "..."

    @pytest.mark.parametrize(
        "host",
        ["", "a", "localhost:80", "example.com.", "[::1]", "[::1]:8080", "a:", "1.2.3.4:1", "a_b"],
    )
    def test_good_host(self, host: str) -> None:
        assert valid_host(host)

    @pytest.mark.parametrize(
        "host",
        [
            "a b", "a/b", "a@b", "a:b", "a:1:2", "a:123456", ":80", "[::1", "[]", "[::1]x", "[g]",
            "[::1]:x", "a\\b", "a?b", "a#b", "\xe9", "a:\u0661", "a\0", "<a>", "a%41", "::1",
        ],
    )  # fmt: skip
    def test_bad_host(self, host: str) -> None:
        assert not valid_host(host)


class TestTokenLists:
    def test_has_token(self) -> None:
        assert has_token("WebSocket", "websocket")
        assert has_token("h2c ,\tWEBSOCKET", "websocket")
        assert not has_token("websocket2, x", "websocket")
        assert not has_token("", "websocket")

    def test_connection(self) -> None:
        assert parse_connection("keep-alive, Upgrade") == ["keep-alive", "Upgrade"]
        assert parse_connection(",, a\t,, b ,") == ["a", "b"]

    def test_upgrade_takes_versions(self) -> None:
        assert parse_upgrade("websocket, HTTP/2.0") == ["websocket", "HTTP/2.0"]
        with pytest.raises(InvalidHeaderFormat):
            parse_upgrade("a/b/c")
        with pytest.raises(InvalidHeaderFormat):
            parse_connection("a/b")

    def test_subprotocol(self) -> None:
        assert parse_subprotocol("chat, superchat") == ["chat", "superchat"]
        assert build_subprotocol(["chat", "superchat"]) == "chat, superchat"

    @pytest.mark.parametrize("header", ["", " ", ",", ", ,\t,"])
    @pytest.mark.parametrize("parse", [parse_connection, parse_upgrade, parse_subprotocol])
    def test_at_least_one(self, parse: Callable[[str], list[str]], header: str) -> None:
        with pytest.raises(InvalidHeaderFormat, match="expected a value"):
            parse(header)

    @pytest.mark.parametrize("header", ["a b", "a;b", '"a"', "a, b c", "a=b", "\xe9", "a\x0bb"])
    def test_malformed(self, header: str) -> None:
        with pytest.raises(InvalidHeaderFormat, match=r"expected a token at [0-9]+ in "):
            parse_subprotocol(header)

    def test_validate_subprotocols(self) -> None:
        validate_subprotocols(["a", "b"])
        validate_subprotocols(())
        for wrong in ("chat", b"chat", 1, {"a"}):
            with pytest.raises(TypeError, match="must be a list"):
                validate_subprotocols(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not int"):
            validate_subprotocols([1])  # type: ignore[list-item]
        for bad in ("", "a b", "a,b", "a\r\nb", "\u010d", "\0"):
            with pytest.raises(ValueError, match="invalid subprotocol"):
                validate_subprotocols([bad])
        with pytest.raises(ValueError, match="duplicate"):
            validate_subprotocols(["a", "b", "a"])


class TestExtensions:
    @pytest.mark.parametrize(
        ("header", "offers"),
        [
            ("foo", [("foo", [])]),
            ("foo, bar", [("foo", []), ("bar", [])]),
            (",foo ,, bar,", [("foo", []), ("bar", [])]),
            ("foo; a", [("foo", [("a", None)])]),
            ("foo;a=1;b=x", [("foo", [("a", "1"), ("b", "x")])]),
            ("foo ; a = 1 \t; b", [("foo", [("a", "1"), ("b", None)])]),
            ('foo; a="1"', [("foo", [("a", "1")])]),
            (r'foo; a="\1\5"', [("foo", [("a", "15")])]),
            ("foo; a=1; a=2", [("foo", [("a", "1"), ("a", "2")])]),
            ("constructor; __class__=1", [("constructor", [("__class__", "1")])]),
            (
                "permessage-deflate; client_max_window_bits, permessage-deflate",
                [
                    ("permessage-deflate", [("client_max_window_bits", None)]),
                    ("permessage-deflate", []),
                ],
            ),
        ],
    )
    def test_well_formed(
        self, header: str, offers: list[tuple[str, list[tuple[str, str | None]]]]
    ) -> None:
        assert parse_extension(header) == offers
        assert parse_extension(header + ", " * 200) == offers  # not from the cache
        assert parse_extension(build_extension(offers)) == offers

    @pytest.mark.parametrize(
        "header",
        [
            "", ",", ";", "foo;", "foo;;a", "foo; =1", "foo; a=", "foo; a b", "foo bar",
            "foo; a=1 2",             'foo; a="', 'foo; a=""', 'foo; a="1', 'foo; a=1"',
            'foo; a="1"2', 'foo; a="1 2"',
            'foo; a="1,2"', 'foo; a="1;2"', r'foo; a="1\"', r'foo; a="\\"', r'foo; a="1\"2"',
            "foo; a='1 2'", "\xe9", "foo; \xe9", "foo; a=\xe9", "foo; a=\u0661", "foo=1", "(foo)",
            "foo\x0b", "foo; a==1", '"foo"', 'foo; "a"=1', '; a="\\\\\\\\',
        ],
    )  # fmt: skip
    def test_malformed(self, header: str) -> None:
        with pytest.raises(
            InvalidHeaderFormat, match=r"^invalid Sec-WebSocket-Extensions header: "
        ):
            parse_extension(header)

    def test_results_are_not_shared(self) -> None:
        parse_extension("foo; a=1")[0][1].append(("b", "2"))
        parse_extension("foo; a=1").append(("bar", []))
        assert parse_extension("foo; a=1") == [("foo", [("a", "1")])]

    def test_error_is_one_short_line(self) -> None:
        with pytest.raises(InvalidHeaderFormat) as raised:
            parse_extension("\x1b\r\n" * 5000)
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 250

    @given(st.text())
    def test_anything(self, header: str) -> None:
        try:
            offers = parse_extension(header)
        except InvalidHeaderFormat:
            return
        assert offers
        assert parse_extension(build_extension(offers)) == offers


def cost(function: Callable[[str], object], text: str) -> float:
    """Processor time in seconds, at least some microseconds so that noise is not a ratio."""
    start = time.thread_time()
    with contextlib.suppress(InvalidHeaderFormat):
        function(text)
    return max(time.thread_time() - start, 20e-6)


def is_linear(function: Callable[[str], object], small: str, large: str) -> bool:
    """Whether sixteen times the input takes far less than 16 * 16 times the time."""
    return any(cost(function, large) < 80 * cost(function, small) for _ in range(5))


@pytest.mark.parametrize(
    ("start", "unit", "end"),
    [
        ('a; b="', r"\c", ""),
        ('a; b="', r"\c", '"'),
        ('a; b="', "\\\\", '"'),
        ("b", " ", "x"),
        ("", ",", ""),
        ("", "a,", ""),
        ("a", ";b", ""),
        ("a", ";b=c", ""),
        ("", "a;b=c,", "!{"),
        ("", " \t", ","),
        ("", '"', ""),
    ],
)
@pytest.mark.parametrize("parse", [parse_extension, parse_subprotocol, parse_connection])
def test_parsing_is_linear(parse: Callable[[str], object], start: str, unit: str, end: str) -> None:
    small, large = (start + unit * count + end for count in (2_000, 32_000))
    assert is_linear(parse, small, large)


def test_many_equal_names_are_linear() -> None:
    def build(text: str) -> object:
        return Headers.from_lines(text.encode()).index()

    small, large = ("\r\n".join(["a: b"] * count) for count in (2_000, 32_000))
    assert is_linear(build, small, large)


class TestHostAndAuthorization:
    def test_host(self) -> None:
        assert build_host("a", 80, False) == "a"
        assert build_host("a", 443, True) == "a"
        assert build_host("a", 443, False) == "a:443"
        assert build_host("a", 80, False, always_include_port=True) == "a:80"
        assert build_host("::1", 8080, False) == "[::1]:8080"
        assert build_host("fe80::1%eth0", 80, False) == "[fe80::1]"

    def test_basic(self) -> None:
        header = build_authorization_basic("Aladdin", "open sesame")
        assert header == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        assert parse_authorization_basic(header) == ("Aladdin", "open sesame")
        assert parse_authorization_basic("basic  " + header[6:]) == ("Aladdin", "open sesame")
        header = build_authorization_basic("\xfc", "a:b")
        assert parse_authorization_basic(header) == ("\xfc", "a:b")
        with pytest.raises(ValueError, match="colon"):
            build_authorization_basic("a:b", "c")

    @pytest.mark.parametrize(
        "header",
        ["", "Basic", "Basic ", "Bearer x", "Basic ====", "Basic YQ==", "Basic \xe9", "Basic /w=="],
    )
    def test_malformed_basic(self, header: str) -> None:
        with pytest.raises(InvalidHeaderValue):
            parse_authorization_basic(header)

    def test_malformed_basic_is_not_repeated(self) -> None:
        with pytest.raises(InvalidHeaderValue) as raised:
            parse_authorization_basic("Basic c2VjcmV0")  # "secret", without a colon
        assert "c2VjcmV0" not in str(raised.value)

    def test_www_authenticate(self) -> None:
        assert (
            build_www_authenticate_basic('a "b" \\') == r'Basic realm="a \"b\" \\", charset="UTF-8"'
        )
        with pytest.raises(ValueError, match="realm"):
            build_www_authenticate_basic("a\r\nb")


def test_all() -> None:
    for name in module.__all__:
        assert hasattr(module, name)
