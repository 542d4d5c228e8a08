"""permessage-deflate: messages compressed one by one (RFC 7692).

Who agrees to what, each parameter bounding the *sender* that it names::

                                  a client may offer     a server may answer
    server_no_context_takeover    yes                    yes; must, if it was offered
    client_no_context_takeover    yes, as a hint         yes
    server_max_window_bits=N      yes                    yes; must (M <= N), if it was offered
    client_max_window_bits[=N]    yes, with or without   only if it was offered (M <= N)

The names are those of the ``websockets`` package. What is sent may be less than what was agreed
allows: short messages and those that look random (images, sound, ciphertext) go uncompressed, and
a window may be smaller than agreed.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.bytesops import looks_random
from ..core.extension import Extension
from ..errors import (
    DuplicateParameter,
    InvalidParameterName,
    InvalidParameterValue,
    NegotiationError,
    ProtocolError,
)
from ..limits import DEFAULT_LIMITS
from . import zlibs

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from ..core.extension import ClientExtensionFactory, Parameters, ServerExtensionFactory
    from ..limits import Limits

__all__ = [
    "ClientPerMessageDeflateFactory",
    "PerMessageDeflate",
    "ServerPerMessageDeflateFactory",
    "enable_client_permessage_deflate",
    "enable_server_permessage_deflate",
]

NAME = "permessage-deflate"
RSV1 = 4
LARGEST_WINDOW = 15
#: What we compress with unless told otherwise: 38 KiB a context in place of 262, for messages that
#: get 5 % larger (2 KiB of JSON).
OWN_WINDOW = 12
WINDOWS = {str(bits): bits for bits in range(8, LARGEST_WINDOW + 1)}
#: Limits.inflate_ratio counts from here on: small messages may well be compressed very small.
RATIO_FROM = 1024 * 1024


@functools.lru_cache(maxsize=64)
def _settings(bits: int, level: int | None, mem_level: int, strategy: int) -> zlibs.Settings:
    # One tuple for all connections that agree to the same.
    return zlibs.Settings(bits, level, mem_level, strategy)


def _read_settings(bits: int, given: Mapping[str, Any]) -> zlibs.Settings:
    bounds = {"level": (-1, 9), "memLevel": (1, 9), "strategy": (0, 4)}
    for key, value in given.items():
        if key not in bounds:
            raise TypeError(f"compress_settings knows level, memLevel and strategy, not {key!r}")
        low, high = bounds[key]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{key} must be an int from {low} to {high}, not {value!r}")
    level = given.get("level", -1)
    return _settings(
        bits, None if level == -1 else level, given.get("memLevel", 5), given.get("strategy", 0)
    )


def _check_window(name: str, bits: object) -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or not 8 <= bits <= LARGEST_WINDOW:
        raise ValueError(f"{name} must be between 8 and 15, not {bits!r}")


class PerMessageDeflate(Extension):
    """One connection's compression, as agreed; made by the factories below.

    ``remote_...`` is what the peer promised, ``local_...`` what we did; windows are 8 to 15, as
    powers of two. ``compress_settings`` may have ``level``, ``memLevel`` and ``strategy``, which
    mean what they mean in :func:`zlib.compressobj`. Of ``limits``, ``deflate_min`` and
    ``inflate_ratio`` are kept here.

    Contexts are made when the first message needs them. A message that cannot be inflated raises
    :exc:`~duplexer.errors.ProtocolError`, and so does every one after it.
    """

    __slots__ = (
        "_coded_in",
        "_coded_out",
        "_corrupt",
        "_deflater",
        "_inflater",
        "_made",
        "_plain_in",
        "_plain_out",
        "_ratio",
        "_receiving",
        "_sending",
        "_settings",
        "_shortest",
        "_taken",
        "local_max_window_bits",
        "local_no_context_takeover",
        "parameters",
        "remote_max_window_bits",
        "remote_no_context_takeover",
    )

    name = NAME
    rsv = RSV1

    def __init__(
        self,
        remote_no_context_takeover: bool,
        local_no_context_takeover: bool,
        remote_max_window_bits: int,
        local_max_window_bits: int,
        compress_settings: Mapping[str, Any] | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        parameters: Parameters = (),
    ) -> None:
        _check_window("remote_max_window_bits", remote_max_window_bits)
        _check_window("local_max_window_bits", local_max_window_bits)
        self.remote_no_context_takeover = remote_no_context_takeover
        self.local_no_context_takeover = local_no_context_takeover
        self.remote_max_window_bits = remote_max_window_bits
        self.local_max_window_bits = local_max_window_bits
        self.parameters = parameters
        self._settings = _read_settings(local_max_window_bits, compress_settings or {})
        self._shortest = limits.deflate_min
        self._ratio = limits.inflate_ratio
        self._deflater: zlibs.Deflater | None = None
        self._inflater: zlibs.Inflater | None = None
        self._sending = self._receiving = False  # within a message
        self._taken = self._made = 0  # of the message being received: bytes in and out
        self._corrupt = False
        self._coded_in = self._plain_in = self._plain_out = self._coded_out = 0  # bytes so far

    def __repr__(self) -> str:
        return (
            f"PerMessageDeflate(remote_no_context_takeover={self.remote_no_context_takeover}, "
            f"local_no_context_takeover={self.local_no_context_takeover}, "
            f"remote_max_window_bits={self.remote_max_window_bits}, "
            f"local_max_window_bits={self.local_max_window_bits})"
        )

    # -- receiving -------------------------------------------------------------------------------

    def decode(self, data: bytes, fin: bool, room: int | None) -> bytes:
        inflater = self._inflater
        if inflater is None:
            if self._corrupt:
                raise ProtocolError("deflate-corrupt", "after an earlier error")
            takeover = not self.remote_no_context_takeover
            inflater = self._inflater = zlibs.inflater(self.remote_max_window_bits, takeover)
        self._receiving = not fin
        try:
            if self._ratio is not None:
                out = self._decode_by_ratio(inflater, data, fin, room)
            else:
                out = inflater.piece(data, fin, room)
        except ProtocolError:
            self._inflater = None
            self._corrupt = True
            raise
        self._coded_in += len(data)
        self._plain_in += len(out)
        return out

    def _decode_by_ratio(
        self, inflater: zlibs.Inflater, data: bytes, fin: bool, room: int | None
    ) -> bytes:
        assert self._ratio is not None
        self._taken += len(data)
        most = max(RATIO_FROM, int(self._ratio * self._taken)) - self._made
        if room is not None and room <= most:
            out = inflater.piece(data, fin, room)
        else:
            try:
                out = inflater.piece(data, fin, most)
            except ProtocolError as error:
                if error.name != "message-too-big":
                    raise
                detail = f"{self._taken} bytes inflate by more than {self._ratio:g} (inflate_ratio)"
                raise ProtocolError("message-too-big", detail) from None
        self._made += len(out)
        if fin:
            self._taken = self._made = 0
        return out

    # -- sending ---------------------------------------------------------------------------------

    def wants(self, data: Any, size: int, text: bool, compress: bool | None) -> bool:
        if compress is not None:
            return compress
        if size < self._shortest:
            return False
        # To compress what is random costs most of all (25 us for a KiB) and gains nothing. But text
        # never is, and what is shorter than the window may well repeat the message before it.
        if text or isinstance(data, str) or len(data) < 1 << self._settings.wbits:
            return True
        return not looks_random(data)

    def encode(self, data: bytes | bytearray | memoryview, fin: bool, first: bool) -> bytes:
        # Every piece is flushed: whoever sends a message in pieces wants them to arrive.
        self._plain_out += len(data)
        if self.local_no_context_takeover:
            if fin and first:
                out = zlibs.deflate_once(self._settings, data)
                self._coded_out += len(out)
                return out
            if first and self._deflater is not None:
                self._deflater.reset()
        deflater = self._deflater
        if deflater is None:
            deflater = self._deflater = zlibs.deflater(self._settings)
        self._sending = not fin
        out = deflater.piece(data, fin)
        self._coded_out += len(out)
        return out

    def volume(self) -> dict[tuple[str, str], int]:
        """Bytes so far, by direction and form; without those of prepared messages."""
        return {
            ("received", "compressed"): self._coded_in,
            ("received", "plain"): self._plain_in,
            ("sent", "compressed"): self._coded_out,
            ("sent", "plain"): self._plain_out,
        }

    def prepare_key(self) -> Hashable:
        return (NAME, self._settings)

    def prepare(self, data: bytes) -> bytes:
        return zlibs.deflate_once(self._settings, data)

    def prepared_sent(self) -> None:
        # The peer's window now ends in something that our compressor has never seen: whatever it
        # referred back to would be found elsewhere, so it begins anew, as any sender may any time.
        if self._deflater is not None:
            self._deflater.reset()

    def release(self) -> None:
        # A compressor may begin anew between any two messages. An inflater has to keep its window,
        # unless the peer has promised not to refer to earlier messages.
        if not self._sending:
            self._deflater = None
        if self.remote_no_context_takeover and not self._receiving:
            self._inflater = None


# -- negotiation -----------------------------------------------------------------------------------


class _Agreement(NamedTuple):
    """The four parameters; windows are ``None`` when absent and ``True`` without a value."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | bool | None = None

    def build(self) -> list[tuple[str, str | None]]:
        """The parameters as they stand in a header."""
        return [
            (name, None if value is True else str(value))
            for name, value in zip(self._fields, self, strict=True)
            if value is not None and value is not False
        ]


def _read(parameters: Parameters, *, offered: bool) -> _Agreement:
    """Read an offer or an answer; :exc:`NegotiationError` for what neither may be (7.1)."""
    found: dict[str, Any] = {}
    for name, value in parameters:
        if name not in _Agreement._fields:
            raise InvalidParameterName(name)
        if name in found:
            raise DuplicateParameter(name)
        if value is None:
            bits_needed = name.endswith("bits") and not (offered and name.startswith("client"))
            if bits_needed:
                raise InvalidParameterValue(name, value)
            found[name] = True
        else:
            if not name.endswith("bits") or value not in WINDOWS:
                raise InvalidParameterValue(name, value)
            found[name] = WINDOWS[value]
    return _Agreement(**found)


def _check_free(accepted: Iterable[Extension]) -> None:
    for other in accepted:
        if other.rsv & RSV1:
            raise NegotiationError(f"{other.name} has the reserved bit of {NAME} already")


def _least(*windows: int | bool | None) -> int | None:
    """The smallest of those windows that are numbers."""
    return min((bits for bits in windows if bits is not None and bits is not True), default=None)


class ServerPerMessageDeflateFactory:
    """Answers offers of permessage-deflate.

    ``server_no_context_takeover``, ``client_no_context_takeover``: ask for that even if the client
    does not. ``server_max_window_bits``, ``client_max_window_bits`` (8 to 15): use no more and
    allow no more. A client that cannot be told to use less (it did not offer
    ``client_max_window_bits``) may use 15, or is declined if ``require_client_max_window_bits``.
    For ``compress_settings`` and ``limits`` see :class:`PerMessageDeflate`.
    """

    name = NAME

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | None = None,
        compress_settings: Mapping[str, Any] | None = None,
        require_client_max_window_bits: bool = False,
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        for name, bits in (
            ("server_max_window_bits", server_max_window_bits),
            ("client_max_window_bits", client_max_window_bits),
        ):
            if bits is not None:
                _check_window(name, bits)
        if require_client_max_window_bits and client_max_window_bits is None:
            raise ValueError("require_client_max_window_bits needs client_max_window_bits")
        _read_settings(LARGEST_WINDOW, compress_settings or {})
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.compress_settings = compress_settings
        self.require_client_max_window_bits = require_client_max_window_bits
        self.limits = limits

    def accept(
        self, offer: Parameters, accepted: Sequence[Extension]
    ) -> tuple[Parameters, PerMessageDeflate]:
        """The answer to one offer; :exc:`~duplexer.errors.NegotiationError` declines it."""
        _check_free(accepted)
        wish = _read(offer, offered=True)
        client_bits = None
        if wish.client_max_window_bits is not None:
            client_bits = _least(wish.client_max_window_bits, self.client_max_window_bits)
        elif self.require_client_max_window_bits:
            raise NegotiationError("client_max_window_bits was not offered and is required")
        answer = _Agreement(
            wish.server_no_context_takeover or self.server_no_context_takeover,
            wish.client_no_context_takeover or self.client_no_context_takeover,
            _least(wish.server_max_window_bits, self.server_max_window_bits),
            client_bits,
        )
        parameters = answer.build()
        return parameters, PerMessageDeflate(
            answer.client_no_context_takeover,
            answer.server_no_context_takeover,
            client_bits or LARGEST_WINDOW,
            answer.server_max_window_bits or LARGEST_WINDOW,
            self.compress_settings,
            limits=self.limits,
            parameters=parameters,
        )


class ClientPerMessageDeflateFactory:
    """Offers permessage-deflate.

    ``server_no_context_takeover``, ``server_max_window_bits`` (8 to 15): insist on that.
    ``client_no_context_takeover``: compress each message by itself. ``client_max_window_bits``:
    a number to use no more than that; ``True`` to let the server choose, with 12 at most; ``None``
    not to let it choose. For ``compress_settings`` and ``limits`` see :class:`PerMessageDeflate`.
    """

    name = NAME

    def __init__(
        self,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
        server_max_window_bits: int | None = None,
        client_max_window_bits: int | bool | None = True,
        compress_settings: Mapping[str, Any] | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        if server_max_window_bits is not None:
            _check_window("server_max_window_bits", server_max_window_bits)
        if client_max_window_bits is False:
            client_max_window_bits = None
        elif client_max_window_bits not in (None, True):
            _check_window("client_max_window_bits", client_max_window_bits)
        _read_settings(LARGEST_WINDOW, compress_settings or {})
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.compress_settings = compress_settings
        self.limits = limits

    def offer(self) -> Parameters:
        """The parameters of the offer."""
        return _Agreement(
            self.server_no_context_takeover,
            self.client_no_context_takeover,
            self.server_max_window_bits,
            self.client_max_window_bits,
        ).build()

    def accept(self, answer: Parameters, accepted: Sequence[Extension]) -> PerMessageDeflate:
        """Hold the server to the offer; :exc:`~duplexer.errors.NegotiationError` if it strays."""
        _check_free(accepted)
        agreed = _read(answer, offered=False)
        if self.server_no_context_takeover and not agreed.server_no_context_takeover:
            raise NegotiationError("the server does not agree to server_no_context_takeover")
        server_bits = agreed.server_max_window_bits
        if self.server_max_window_bits is not None:
            if server_bits is None:
                raise NegotiationError("the server does not agree to server_max_window_bits")
            self._check_at_most("server_max_window_bits", server_bits, self.server_max_window_bits)
        client_bits = agreed.client_max_window_bits
        if client_bits is not None:
            if self.client_max_window_bits is None:
                raise NegotiationError("client_max_window_bits was not offered")
            self._check_at_most("client_max_window_bits", client_bits, self.client_max_window_bits)
        own = self.client_max_window_bits
        if own is None or own is True:
            own = OWN_WINDOW
        return PerMessageDeflate(
            agreed.server_no_context_takeover,
            # A hint in the offer binds us, whatever the server makes of it (7.1.1.2).
            agreed.client_no_context_takeover or self.client_no_context_takeover,
            server_bits or LARGEST_WINDOW,
            _least(own, client_bits) or own,
            self.compress_settings,
            limits=self.limits,
            parameters=tuple(answer),
        )

    @staticmethod
    def _check_at_most(name: str, answered: int, offered: int) -> None:
        # `True` stands for an offer without a value: any window.
        if offered is not True and answered > offered:
            raise NegotiationError(f"{name} of {answered} in answer to an offer of {offered}")


def enable_server_permessage_deflate(
    extensions: Sequence[ServerExtensionFactory] | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> list[ServerExtensionFactory]:
    """``extensions``, and permessage-deflate with the default settings if it is not among them.

    A window of 4 KiB for both sides and 5 for ``memLevel``: 49 KiB a connection in which both have
    sent something lately, where zlib's own defaults make 300.
    """
    factories = list(extensions or ())
    if all(factory.name != NAME for factory in factories):
        factories.append(
            ServerPerMessageDeflateFactory(
                server_max_window_bits=OWN_WINDOW, client_max_window_bits=OWN_WINDOW, limits=limits
            )
        )
    return factories


def enable_client_permessage_deflate(
    extensions: Sequence[ClientExtensionFactory] | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> list[ClientExtensionFactory]:
    """``extensions``, and permessage-deflate with the default settings if it is not among them."""
    factories = list(extensions or ())
    if all(factory.name != NAME for factory in factories):
        factories.append(ClientPerMessageDeflateFactory(limits=limits))
    return factories
