"""The arguments that ``connect`` of every front understands."""

from __future__ import annotations

import inspect
import logging
import socket
import ssl
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.core.heartbeat import Heartbeat
from duplexer.driver.connecting import ConnectBase, Where, process_exception
from duplexer.driver.retry import Dial, Retry
from duplexer.errors import InvalidMessage, InvalidStatus, InvalidURI, SecurityError
from duplexer.http.headers import Headers
from duplexer.http.messages import Response
from duplexer.limits import Limits

BEAT = Heartbeat(send="beat", every=1.0)


@pytest.mark.parametrize(
    ("uri", "kwargs", "error"),
    [
        ("http://a/", {}, InvalidURI),
        ("ws://a/#b", {}, InvalidURI),
        ("ws://a/", {"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}, ValueError),
        ("ws://a/", {"ssl": True}, ValueError),
        ("wss://a/", {"ssl": False}, ValueError),
        ("ws://a/", {"compression": "gzip"}, ValueError),
        ("ws://a/", {"subprotocols": ["a b"]}, ValueError),
        ("ws://a/", {"additional_headers": {"Upgrade": "x"}}, ValueError),
        ("ws://a/", {"additional_headers": {"X": "a\r\nb"}}, ValueError),
        ("ws://a/", {"max_size": 0}, ValueError),
        ("ws://a/", {"open_timeout": "1"}, TypeError),
        ("ws://a/", {"path": "/run/a", "host": "b"}, ValueError),
        ("ws://a/", {"redirects": -1}, ValueError),
        ("ws://a/", {"redirects": True}, TypeError),
        ("ws://a/", {"auth": "a b"}, ValueError),
        ("ws://a/", {"auth": ("a:b", "c")}, ValueError),
        ("ws://a/", {"auth": ["a", "b"]}, TypeError),
        ("ws://a:b@a/", {"auth": "token"}, ValueError),
        ("ws://a/", {"colour": "red"}, TypeError),
    ],
)
def test_arguments_are_checked_before_anything_is_sent(uri: str, kwargs: Any, error: Any) -> None:
    with pytest.raises(error):
        ConnectBase(uri, **kwargs)


def test_bounds() -> None:
    base = ConnectBase("ws://a/", limits=Limits(max_message=5), open_timeout=None, max_queue=(3, 1))
    assert (base.limits.max_message, base.limits.open_timeout) == (5, None)
    assert base.limits.queue_messages == 3


def test_what_the_request_says() -> None:
    base = ConnectBase(
        "ws://a/b?c",
        origin="http://a",
        subprotocols=["chat"],
        compression=None,
        additional_headers={"X-Y": "z"},
        user_agent_header=None,
    )
    request = base.new_opening().handshake().request
    assert request.path == "/b?c"
    names = [name for name, _ in request.headers.raw_items()]
    assert "Origin" in names and "X-Y" in names and "User-Agent" not in names
    assert "Sec-WebSocket-Extensions" not in names
    assert request.headers["Sec-WebSocket-Protocol"] == "chat"
    opening = base.new_opening()
    assert opening.handshake().key != opening.handshake().key


def test_tls() -> None:
    assert ConnectBase("ws://a/").context is None
    for given in (None, True):
        context = ConnectBase("wss://a/", ssl=given).context
        assert context is not None and context.check_hostname
    mine = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert ConnectBase("wss://a/", ssl=mine).context is mine


def test_where() -> None:
    assert not Where(host="a", port=1).is_direct
    assert Where(path="/run/a").is_direct
    left, right = socket.socketpair()
    with left, right:
        assert Where(sock=left).is_direct
        with pytest.raises(ValueError, match="sock and path"):
            Where(sock=left, path="/run/a")


def test_a_logger_of_the_users() -> None:
    mine = logging.getLogger("mine")
    assert ConnectBase("ws://a/", logger=mine).logger is mine
    assert ConnectBase("ws://a/").logger.name == "duplexer.client"


def test_fronts_show_the_arguments() -> None:
    assert "server_hostname" in inspect.signature(connect).parameters


def refused(status: int) -> InvalidStatus:
    return InvalidStatus(Response(status, "", Headers()))


def test_what_is_tried_again() -> None:
    again = [OSError(), TimeoutError(), EOFError(), *map(refused, (500, 502, 503, 504))]
    assert [process_exception(error) for error in again] == [None] * len(again)
    final = [ValueError(), SecurityError(), refused(404), ssl.SSLCertVerificationError()]
    assert [process_exception(error) for error in final] == final


# -- staying connected -----------------------------------------------------------------------------


def test_retry_is_asked_for_or_not() -> None:
    assert ConnectBase("ws://a/").retry is None
    assert ConnectBase("ws://a/", retry=False).retry is None
    assert ConnectBase("ws://a/", retry=True).retry == Retry()
    mine = Retry(base=0.5)
    assert ConnectBase("ws://a/", retry=mine).retrying.retry is mine
    with pytest.raises(TypeError, match="retry must be"):
        ConnectBase("ws://a/", retry=5)  # type: ignore[arg-type]


def test_each_use_has_a_state_of_its_own() -> None:
    base = ConnectBase("ws://a/", retry=True)
    before = base.retrying
    first = base.begin_retrying()
    assert first is before is base.retrying
    second = base.begin_retrying()
    assert second is base.retrying is not first
    assert second.retry is first.retry


def test_delays_as_in_websockets() -> None:
    def delays() -> Any:
        yield 1.0

    assert ConnectBase("ws://a/", reconnect_delays=delays).retrying.retry.delays is delays
    base = ConnectBase("ws://a/", reconnect_delays=delays, retry=Retry(attempts=3))
    assert base.retry == Retry(attempts=3, delays=delays)


def test_a_socket_cannot_be_connected_again() -> None:
    left, right = socket.socketpair()
    with left, right, pytest.raises(ValueError, match="sock="):
        ConnectBase("ws://a/", sock=left, retry=True)


def test_an_attempt_may_differ() -> None:
    base = ConnectBase("ws://a/", max_size=5, additional_headers={"X": "y"}, heartbeat=BEAT)
    plain = base.varied(Dial(None, None))
    assert plain is not base and plain.uri == base.uri and plain.staying is base.staying
    assert base.varied(Dial("ws://b/c", None)).uri.host == "b"
    other = base.varied(Dial({"additional_headers": {"X": "z"}, "max_size": 6}, 60.0))
    assert (other.uri, other.limits.max_message) == (base.uri, 6)
    assert other.additional_headers == {"X": "z"}
    assert other.staying is not None
    assert (other.staying.heartbeat, other.staying.lifetime) == (BEAT, 60.0)
    assert base.staying is not None and base.staying.lifetime is None
    for changes in (5, ["ws://b/"]):
        with pytest.raises(TypeError, match=r"Retry\.before"):
            base.varied(Dial(changes, None))
    with pytest.raises(InvalidURI):
        base.varied(Dial("http:b", None))


def test_what_passes_by_itself() -> None:
    closed = InvalidMessage("closed")
    assert process_exception(closed) is closed
    closed.__cause__ = EOFError()
    assert process_exception(closed) is None
