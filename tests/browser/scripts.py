"""What a page and a program do, as data: each script is a list of steps, by its name.

A step is the name of what is done and its arguments; ``player.js`` and ``player.py`` say what
each means. Values that JSON has not are written ``{"bytes": [1, 2]}``, ``{"blob": ...}`` and so on.
"""

from __future__ import annotations

from typing import Any

Script = list[Any]

SERVER_CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
GOOD_CODES = [1000, 3000, 3999, 4000, 4999]
BAD_CODES = [
    0, -1, 999, 1001, 1002, 1005, 1006, 1011, 1015, 2999, 5000, 65535, 65536, 1e9,
]  # fmt: skip
ATTRIBUTES = ["url", "readyState", "bufferedAmount", "extensions", "protocol", "binaryType"]


def look() -> Script:
    """Get everything there is to get."""
    return [["get", name] for name in ATTRIBUTES]


def opened(path: str = "/echo", *rest: Any) -> Script:
    return [["new", f"{{server}}{path}", *rest], ["wait", "open"]]


SCRIPTS: dict[str, Script] = {
    "echo": [
        ["new", "{server}/echo"], *look(), ["wait", "open"], *look(),
        ["send", "Grüße"], ["wait", "message"], ["send", ""], ["wait", "message"],
        ["close"], *look(), ["wait", "close"], *look(),
    ],
    "constants": [
        *opened(), *[["constant", name] for name in ("CONNECTING", "OPEN", "CLOSING", "CLOSED")],
        ["close"], ["wait", "close"],
    ],
    # -- not opened ------------------------------------------------------------------------------
    "refused": [["new", "ws://127.0.0.1:{nobody}/"], ["wait", "close"], *look()],
    "status 404": [["new", "{server}/status/404"], ["wait", "close"], *look()],
    "status 401": [["new", "{server}/status/401"], ["wait", "close"]],
    "status 200": [["new", "{server}/status/200"], ["wait", "close"]],
    "redirect": [["new", "{server}/status/302"], ["wait", "close"]],
    "hung up": [["new", "{server}/hang-up"], ["wait", "close"]],
    "closed while connecting": [
        ["new", "{server}/echo"], ["close"], ["get", "readyState"], ["close", 3000, "again"],
        ["send", "lost"], ["get", "bufferedAmount"], ["wait", "close"], *look(),
    ],
    "closed with a code while connecting": [
        ["new", "{server}/echo"], ["close", 3456, "why"], ["get", "readyState"], ["wait", "close"],
    ],
    # -- subprotocols ----------------------------------------------------------------------------
    "protocol chosen": [
        *opened("/protocol/chat", ["soap", "chat"]), *look(), ["close"], ["wait", "close"],
    ],
    "protocol as a string": [
        *opened("/protocol/chat", "chat"), *look(), ["close"], ["wait", "close"],
    ],
    "protocol none chosen": [
        ["new", "{server}/echo", ["soap", "chat"]], ["wait", "close"], *look(),
    ],
    "protocol that was not offered": [["new", "{server}/force/other", ["chat"]], ["wait", "close"]],
    "protocol that nobody asked for": [["new", "{server}/force/other"], ["wait", "close"]],
    "protocols refused": [
        ["new", "{server}/echo", names]
        for names in ([""], "", ["a b"], ["a", "a"], ["é"], ["a,b"], ["a\n"], ["ok", "no/"])
    ],
    # -- addresses -------------------------------------------------------------------------------
    "urls refused": [
        ["new", url]
        for url in (
            "ws://", "ws:///", "ws://[", "ws://[::1", "ws://h:99999/", "ws://h:x/",
            "ftp://h/", "mailto:me", "{server}/#a", "{server}/#", "about:blank", "wss://%00/",
            "ws://1.2.3.256/", "ws://u@/",
        )
    ],
    "url relative": [
        ["new", "echo?a=1"], *look(), ["wait", "open"], ["close"], ["wait", "close"],
    ],
    "url with a path alone": [
        ["new", "/echo/../echo/./b"], ["get", "url"], ["close"], ["wait", "close"],
    ],
    "url of the page": [["new", ""], ["get", "url"], ["close"], ["wait", "close"]],
    "url to be encoded": [
        ["new", "{server}/echo/ä b\"<>`{}?q=ü 'x'\"<>"], ["get", "url"], ["close"], ["wait",
        "close"],
    ],
    "url with spaces around": [
        ["new", "  {server}\\echo\n "], ["get", "url"], ["close"], ["wait", "close"],
    ],
    "url with credentials": [
        ["new", "wss://u:p w@127.0.0.1:{nobody}/"], ["get", "url"], ["wait", "close"],
    ],
    "url of old kinds": [["new", "ws://0x7f.1:{nobody}"], ["get", "url"], ["wait", "close"]],
    "url of IPv6": [
        ["new", "ws://[0:0::0:1]:{nobody}"], ["get", "url"], ["close"], ["wait", "close"],
    ],
    # -- close() ---------------------------------------------------------------------------------
    **{
        f"close {code}": [
            *opened(), ["close", code, "Grüße"], ["get", "readyState"], ["wait", "close"],
        ]
        for code in GOOD_CODES
    },
    "close codes refused": [
        *opened(), *[["close", code] for code in BAD_CODES], ["get", "readyState"],
        ["close", 1000], ["wait", "close"], *[["close", code] for code in BAD_CODES],
    ],
    "close codes refused while connecting": [
        ["new", "{server}/echo"], ["close", 1001], ["get", "readyState"], ["wait", "open"],
        ["close"], ["wait", "close"],
    ],
    "close reasons": [
        *opened(), ["close", 1000, {"repeat": ["x", 124]}], ["close", 1000, {"repeat": ["é", 62]}],
        ["close", 3000, {"repeat": ["\U0001f600", 31]}], ["get", "readyState"],
        ["close", 1000, {"repeat": ["x", 123]}], ["close", 1000, {"repeat": ["x", 124]}],
        ["wait", "close"],
    ],
    "close reason with a lone surrogate": [
        *opened(), ["close", 4000, {"utf16": [0x61, 0xD800, 0x62, 0xDC00]}], ["wait", "close"],
    ],
    "close with a code alone": [*opened(), ["close", 1000], ["wait", "close"]],
    "close with an empty reason": [*opened(), ["close", 1000, ""], ["wait", "close"]],
    "close twice": [
        *opened(), ["close", 4001, "first"], ["close", 4002, "second"], ["wait", "close"],
        ["close", 4003, "third"], ["get", "readyState"],
    ],
    "close in open": [
        ["new", "{server}/echo"], ["on", "open", [["close", 3001], ["get", "readyState"]]],
        ["wait", "close"],
    ],
    "close in message": [
        ["new", "{server}/three"], ["on", "message", [["close", 3002], ["get", "readyState"]]],
        ["wait", "close"],
    ],
    "close in close": [
        ["new", "{server}/three"], ["on", "close", [["close"], ["send", "x"], ["get",
        "bufferedAmount"]]],
        ["wait", "close"],
    ],
    "messages after close()": [
        *opened("/on-request"), ["send", "go"], ["close", 3003], ["wait", "close"],
    ],
    # -- closed by the server --------------------------------------------------------------------
    **{
        f"closed by the server: {code}": [
            *opened(f"/close/{code}"), ["send", "now"], ["wait", "close"], *look(),
        ]
        for code in SERVER_CODES
    },
    "closed by the server with a reason": [
        *opened("/close/4321/Grüße"), ["send", "now"], ["wait", "close"],
    ],
    "closed by the server without a code": [
        *opened("/close/none"), ["send", "now"], ["wait", "close"],
    ],
    "closed by the server at once": [["new", "{server}/three"], ["wait", "close"], *look()],
    "lost": [*opened("/drop"), ["send", "now"], ["wait", "close"], *look()],
    "reset": [*opened("/reset"), ["send", "now"], ["wait", "close"], *look()],
    "lost in the middle of a message": [*opened("/half"), ["send", "now"], ["wait", "close"]],
    "lost while closing": [*opened("/drop"), ["close"], ["wait", "close"]],
    # -- failed ----------------------------------------------------------------------------------
    **{
        f"failed: {what}": [*opened(f"/bad/{what}"), ["send", "now"], ["wait", "close"], *look()]
        for what in ("reserved-bit", "opcode", "masked", "text", "close-code", "long-ping",
        "continuation")
    },
    # -- send() ----------------------------------------------------------------------------------
    "send in each state": [
        ["new", "{server}/echo"], ["send", "too early"], ["get", "bufferedAmount"], ["wait",
        "open"],
        ["send", "abc"], ["get", "bufferedAmount"], ["wait", "message"], ["until",
        "bufferedAmount", 0],
        ["close"], ["send", "defg"], ["get", "bufferedAmount"], ["send", {"bytes": [1, 2]}],
        ["get", "bufferedAmount"], ["wait", "close"], ["get", "bufferedAmount"],
        ["send", "ü"], ["get", "bufferedAmount"], ["send", {"blob": [1, 2, 3]}],
        ["get", "bufferedAmount"],
    ],
    "bufferedAmount within a turn": [
        ["new", "{server}/echo"],
        ["on", "open", [
            ["send", "ü"], ["get", "bufferedAmount"], ["send", {"bytes": [1, 2, 3]}],
            ["get", "bufferedAmount"], ["send", {"repeat": ["x", 100000]}], ["get",
            "bufferedAmount"],
        ]],
        ["wait", "open"], ["wait", "message"], ["wait", "message"], ["wait", "message"],
        ["until", "bufferedAmount", 0], ["get", "bufferedAmount"], ["close"], ["wait", "close"],
    ],
    "send lone surrogates": [
        *opened(), ["send", {"utf16": [0xD800]}], ["wait", "message"],
        ["send", {"utf16": [0x61, 0xDC00, 0xD83D, 0xDE00]}], ["wait", "message"],
        ["get", "bufferedAmount"], ["close"], ["wait", "close"],
    ],
    # -- binary ----------------------------------------------------------------------------------
    "binary types": [
        *opened(), ["send", {"bytes": [0, 1, 255]}], ["wait", "message"],
        ["set", "binaryType", "arraybuffer"], ["get", "binaryType"],
        ["send", {"bytes": [0, 1, 255]}], ["wait", "message"],
        ["send", {"buffer": []}], ["wait", "message"],
        ["send", {"blob": [7, 8]}], ["wait", "message"], ["send", "text"], ["wait", "message"],
        ["set", "binaryType", "Blob"], ["get", "binaryType"],
        ["set", "binaryType", ""], ["get", "binaryType"],
        ["set", "binaryType", "blob"], ["get", "binaryType"],
        ["send", {"blob": [7, 8]}], ["wait", "message"], ["close"], ["wait", "close"],
    ],
    "binary type changed in message": [
        ["new", "{server}/binaries"], ["on", "message", [["set", "binaryType", "arraybuffer"]]],
        ["wait", "close"],
    ],
    # -- listeners -------------------------------------------------------------------------------
    "handlers keep their place": [
        *opened(), ["define", "a", []], ["define", "b", []], ["define", "c", []], ["define", "d",
        []],
        ["listen", "message", "a"], ["handler", "message", "b"], ["listen", "message", "c"],
        ["handler", "message", "d"], ["send", "1"], ["wait", "message"],
        ["handler", "message", None], ["handler", "message", "b"], ["send", "2"], ["wait",
        "message"],
        ["handler", "message", None], ["send", "3"], ["wait", "message"], ["close"], ["wait",
        "close"],
    ],
    "listeners once, twice and not": [
        *opened(), ["define", "a", []], ["define", "b", []], ["define", "c", []],
        ["listen", "message", "a", {"once": True}], ["listen", "message", "b"],
        ["listen", "message", "b"], ["listen", "message", "c"],
        ["unlisten", "message", "c", True], ["send", "1"], ["wait", "message"],
        ["unlisten", "message", "c"], ["unlisten", "message", "b"], ["send", "2"], ["wait",
        "message"],
        ["close"], ["wait", "close"],
    ],
    "listeners that change the list": [
        *opened(), ["define", "late", []], ["define", "gone", []],
        ["define", "a", [["listen", "message", "late"], ["unlisten", "message", "gone"]]],
        ["listen", "message", "a"], ["listen", "message", "gone"],
        ["send", "1"], ["wait", "message"], ["send", "2"], ["wait", "message"], ["close"], ["wait",
        "close"],
    ],
    "listeners that stop others": [
        *opened(), ["define", "stops", [["stop"]]], ["define", "ends", [["stop_at_once"]]],
        ["define", "never", []], ["listen", "message", "stops"],
        ["listen", "message", "ends"], ["listen", "message", "never"],
        ["send", "1"], ["wait", "message"], ["close"], ["wait", "close"],
    ],
    "listeners that raise": [
        *opened(), ["define", "raises", [["throw"]]], ["define", "after", []],
        ["listen", "message", "raises"], ["handler", "message", "raises"], ["listen", "message",
        "after"],
        ["send", "1"], ["wait", "message"], ["get", "readyState"], ["close"], ["wait", "close"],
    ],
    "listeners until a signal": [
        *opened(), ["define", "a", []], ["define", "ends", [["abort_controller"]]], ["define", "b",
        []],
        ["listen_until_aborted", "message", "a"], ["send", "1"], ["wait", "message"],
        ["abort_controller"], ["send", "2"], ["wait", "message"],
        ["listen", "message", "ends"], ["listen_until_aborted", "message", "b"],
        ["send", "3"], ["wait", "message"], ["close"], ["wait", "close"],
    ],
    "events of one's own": [
        *opened(), ["define", "again", [["dispatch_again"]]], ["dispatch", "error"], ["dispatch",
        "other"],
        ["listen", "message", "again"], ["send", "1"], ["wait", "message"], ["get", "readyState"],
        ["close"], ["wait", "close"],
    ],
}  # fmt: skip


def streaming(path: str = "/echo", *rest: Any) -> Script:
    return [["stream", f"{{server}}{path}", *rest], ["opened"]]


def ended() -> Script:
    """What there is to see when it is over."""
    return [
        ["closed"],
        ["reader_closed"],
        ["writer_closed"],
        ["read"],
        ["write", "late"],
        ["desired_size"],
    ]


STREAM_SCRIPTS: dict[str, Script] = {
    "stream: echo": [
        ["stream", "{server}/echo"], ["stream_url"], ["opened"], ["desired_size"],
        ["write", "Grüße"], ["read"], ["write", {"bytes": [0, 255]}], ["read"], ["write", ""],
        ["read"],
        ["close_stream", {"closeCode": 4000, "reason": "bye"}], *ended(),
    ],
    "stream: relative": [
        ["stream", "echo"], ["stream_url"], ["opened"], ["close_stream"], ["closed"],
    ],
    "stream: protocol": [
        *streaming("/protocol/chat", {"protocols": ["soap", "chat"]}), ["close_stream"], ["closed"],
    ],
    "stream: refused arguments": [
        ["stream", "ftp://h/"], ["stream", "{server}/#x"], ["stream",
        "{server}/", {"protocols": ["a", "a"]}],
        ["stream", "{server}/", {"protocols": "a"}],
    ],
    "stream: not opened": [["stream", "ws://127.0.0.1:{nobody}/"], ["opened"], ["closed"]],
    "stream: status 404": [["stream", "{server}/status/404"], ["opened"], ["closed"]],
    "stream: closed while connecting": [
        ["stream", "{server}/echo"], ["close_stream"], ["opened"], ["closed"],
    ],
    "stream: aborted while connecting": [
        ["stream", "{server}/echo", {}, True], ["abort_controller"], ["opened"], ["closed"],
    ],
    "stream: aborted when it is open": [
        *streaming("/echo", {}, True), ["abort_controller"], ["write", "still"], ["read"],
        ["close_stream"], ["closed"],
    ],
    "stream: close arguments": [
        *streaming(), ["close_stream", {"closeCode": 1001}], ["close_stream", {"closeCode": 5000}],
        ["close_stream", {"reason": "x" * 124}], ["close_stream", {"reason": "alone"}],
        ["close_stream", {"closeCode": 3000}], ["closed"],
    ],
    "stream: closed by the server": [
        *streaming("/close/4321/why"), ["write", "now"], ["closed"], *ended(),
    ],
    "stream: closed by the server without a code": [
        *streaming("/close/none"), ["write", "now"], ["closed"],
    ],
    "stream: lost": [*streaming("/drop"), ["write", "now"], ["closed"], *ended()],
    "stream: failed": [*streaming("/bad/opcode"), ["write", "now"], ["closed"], *ended()],
    "stream: writer closed": [*streaming(), ["close_writer"], *ended(), ["close_writer"]],
    **{
        f"stream: cancelled with {name}": [*streaming(), ["cancel", reason], *ended()]
        for name, reason in (
            ("nothing", {"undefined": 0}), ("an error", {"error": {"closeCode": 3333,
            "reason": "r"}}),
            ("a reason", {"error": {"reason": "r"}}), ("another error", {"dom": "AbortError"}),
        )
    },
    **{
        f"stream: writer aborted with {name}": [*streaming(), ["abort", reason], *ended()]
        for name, reason in (
            ("an error", {"error": {"closeCode": 3333, "reason": "r"}}),
            ("a reason", {"error": {"reason": "r"}}), ("another error", {"dom": "AbortError"}),
        )
    },
    "stream: errors": [
        ["make_error", "m", {}], ["make_error", "m", {"closeCode": 3000, "reason": "r"}],
        ["make_error", "m", {"reason": "r"}], ["make_error", "m", {"closeCode": 1001}],
        ["make_error", "m", {"closeCode": 3000, "reason": "x" * 124}],
    ],
}  # fmt: skip
