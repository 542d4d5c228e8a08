"""HTTP authentication by user name and password: challenges (RFC 9110 11), Basic and Digest.

The same for a server (401) and for a proxy (407). Digest is RFC 7616, with what RFC 2617 and RFC
2069 left behind; its MD5 is there because most proxies know nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import urllib.parse
from typing import TYPE_CHECKING

from duplexer.errors import InvalidHeaderFormat
from duplexer.http.headers import (
    TOKEN_BYTES,
    build_authorization_basic,
    is_token,
    is_valid_value,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Challenge", "PasswordAuth", "parse_challenges", "read_quoted"]

#: ``token68`` of RFC 9110 11.2, without the padding.
_TOKEN68_BYTES = bytes(sorted({*TOKEN_BYTES, *b"/"} - {*b"!#$%&'*^`|"}))

#: The algorithms of Digest that we know, from the weakest to the strongest: name → hash.
_HASHES = {"md5": "md5", "md5-sess": "md5", "sha-256": "sha256", "sha-256-sess": "sha256"}
_STRENGTH = list(_HASHES)


@dataclasses.dataclass(frozen=True, slots=True)
class Challenge:
    """One way in which a server or a proxy wants to be convinced.

    ``scheme`` and the names of ``params`` are in lower case; ``token68`` is what a few schemes
    have in place of parameters.
    """

    scheme: str
    params: dict[str, str] = dataclasses.field(default_factory=dict)
    token68: str | None = None


def parse_challenges(values: Iterable[str], name: str = "WWW-Authenticate") -> list[Challenge]:
    """The challenges in all ``values`` of the header ``name`` (RFC 9110 11.6.1), in their order.

    A header may hold several, and a comma stands between challenges as well as between the
    parameters of one. Raises :exc:`~duplexer.errors.InvalidHeaderFormat`.
    """
    challenges: list[Challenge] = []
    for header in values:
        first = True
        for item in _split(header, name):
            word, rest = _word(item)
            if not word:
                raise _malformed(name, "expected a scheme or a parameter", header, item)
            if rest.startswith("="):
                if first:
                    raise _malformed(name, "expected a scheme", header, item)
                _add_parameter(challenges[-1], item, name, header)
                continue
            first = False
            if rest and not item[len(word)].isspace():
                raise _malformed(name, "expected a scheme", header, item)
            challenge = Challenge(word.lower())
            if rest and not rest.rstrip("=").encode("latin-1").translate(None, _TOKEN68_BYTES):
                challenge = dataclasses.replace(challenge, token68=rest)
            elif rest:
                _add_parameter(challenge, rest, name, header)
            challenges.append(challenge)
    return challenges


def _malformed(name: str, error: str, header: str, item: str) -> InvalidHeaderFormat:
    return InvalidHeaderFormat(name, error, shown(header), max(header.find(item), 0))


def _split(header: str, name: str) -> list[str]:
    """The elements of a list whose elements may hold quoted commas; empty ones are skipped."""
    if not is_valid_value(header):
        raise InvalidHeaderFormat(name, "characters that no header has", shown(header), 0)
    items = []
    start = 0
    quoted = escaped = False
    for i, char in enumerate(header):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char == ",":
            items.append(header[start:i].strip(" \t"))
            start = i + 1
    if quoted:
        raise InvalidHeaderFormat(name, "a quote that is not closed", shown(header), start)
    items.append(header[start:].strip(" \t"))
    return [item for item in items if item]


def _word(text: str) -> tuple[str, str]:
    """The token that ``text`` begins with, and what follows it and white space."""
    rest = text.encode("latin-1").lstrip(TOKEN_BYTES).decode("latin-1")
    word = text[: len(text) - len(rest)]
    return word, rest.lstrip(" \t")


def _add_parameter(challenge: Challenge, item: str, name: str, header: str) -> None:
    word, rest = _word(item)
    if not word or not rest.startswith("=") or challenge.token68 is not None:
        raise _malformed(name, "expected a parameter", header, item)
    value = rest[1:].lstrip(" \t")
    if value.startswith('"'):
        content = _unquoted(value)
    else:
        content = value if is_token(value) else None
    if content is None:
        raise _malformed(name, f"expected a value of {word}", header, item)
    if word.lower() in challenge.params:  # whichever we took, somebody else takes the other
        raise _malformed(name, f"{word} is there twice", header, item)
    challenge.params[word.lower()] = content


def _unquoted(text: str) -> str | None:
    """What a quoted-string says; ``None`` if ``text`` is more than one."""
    content, end = read_quoted(text, 1) or ("", 0)
    return content if end == len(text) else None


def read_quoted(text: str, start: int) -> tuple[str, int] | None:
    """What a quoted-string (RFC 9110 5.6.4) says whose quote is before ``start``, and its end.

    ``None`` for one that is not closed.
    """
    content = []
    escaped = False
    for i in range(start, len(text)):
        char = text[i]
        if escaped or char not in '"\\':
            content.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            return "".join(content), i + 1
    return None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class PasswordAuth:
    """Answers the challenges of *one* server or of *one* proxy with a user name and a password.

    It knows what it has said already, so that wrong credentials are not tried for ever. Text is
    UTF-8.
    """

    #: Answers to one party: Basic unasked, Digest, and Digest once more with a fresh nonce.
    MAX_ANSWERS = 3

    def __init__(self, username: str, password: str) -> None:
        build_authorization_basic(username, password)  # raises for a colon in the name
        if any(ord(char) < 0x20 or ord(char) == 0x7F for char in username + password):
            raise ValueError("user name and password cannot have control characters (RFC 7617 2)")
        self.username = username
        self._password = password
        self._challenge: Challenge | None = None
        self._last = ""  # the scheme that we answered with last
        self._answers = 0
        self._count = 0  # of uses of the nonce

    def __repr__(self) -> str:
        return f"PasswordAuth({self.username!r}, ***)"

    def preempt(self, method: str, target: str) -> str:
        """The value of ``Authorization`` for the next request, though nobody has asked for it.

        Digest with the nonce that is known, if there was a challenge; otherwise Basic.
        """
        if self._challenge is not None:
            return self._digest(self._challenge, method, target)
        self._last = self._last or "basic"
        return build_authorization_basic(self.username, self._password)

    def answer(self, challenges: Iterable[Challenge], method: str, target: str) -> str | None:
        """The value of ``Authorization`` or ``Proxy-Authorization`` that ``challenges`` ask for.

        ``target`` is the request's target as it is on the wire. The strongest scheme is taken:
        SHA-256, then MD5, then Basic. ``None`` where there is none that we know, and where these
        credentials have been refused.
        """
        best, scheme = _strongest(challenges)
        refused = self._last == scheme
        if refused and scheme == "digest" and best is not None and self._challenge is not None:
            # An old nonce was the reason, not a wrong password (RFC 7616 3.3).
            refused = best.params.get("stale", "").lower() != "true"
            refused = refused or best.params["nonce"] == self._challenge.params["nonce"]
        weaker = self._last == "digest" and scheme == "basic"
        if best is None or refused or weaker or self._answers >= self.MAX_ANSWERS:
            return None
        self._answers += 1
        self._last = scheme
        if scheme == "basic":
            return build_authorization_basic(self.username, self._password)
        self._challenge = best
        self._count = 0
        return self._digest(best, method, target)

    def _digest(self, challenge: Challenge, method: str, target: str) -> str:
        """The answer of RFC 7616 3.4."""
        params = challenge.params
        algorithm = params.get("algorithm", "MD5")
        make = hashlib.new

        def digest(*parts: str) -> str:
            data = ":".join(parts).encode("utf-8", "surrogateescape")
            hashed = make(_HASHES[algorithm.lower()], data, usedforsecurity=False)
            return hashed.hexdigest()

        # What was received is Latin-1 text: hash the bytes that were sent.
        realm, nonce = (_as_sent(params.get(key, "")) for key in ("realm", "nonce"))
        self._count += 1
        count, cnonce = f"{self._count:08x}", secrets.token_hex(16)
        secret = digest(self.username, realm, self._password)
        if algorithm.lower().endswith("-sess"):
            secret = digest(secret, nonce, cnonce)
        request = digest(method, target)
        qop = "qop" in params
        if qop:
            response = digest(secret, nonce, count, cnonce, "auth", request)
        else:
            response = digest(secret, nonce, request)
        hashed = params.get("userhash", "").lower() == "true"
        fields = [self._user(digest(self.username, realm) if hashed else None, params)]
        fields += [f"{key}={_quoted(params.get(key, ''))}" for key in ("realm", "nonce")]
        fields += [f"uri={_quoted(target)}", f'response="{response}"']
        if "algorithm" in params:
            fields.append(f"algorithm={algorithm}")
        if "opaque" in params:
            fields.append(f"opaque={_quoted(params['opaque'])}")
        if qop or algorithm.lower().endswith("-sess"):
            fields.append(f'cnonce="{cnonce}"')
        if qop:
            fields += ["qop=auth", f"nc={count}"]
        if hashed:
            fields.append("userhash=true")
        return "Digest " + ", ".join(fields)

    def _user(self, hashed: str | None, params: dict[str, str]) -> str:
        if hashed is not None:
            return f'username="{hashed}"'
        if self.username.isascii() and self.username.isprintable():
            return f"username={_quoted(self.username)}"
        if params.get("charset", "").lower() == "utf-8":
            return f"username*=UTF-8''{urllib.parse.quote(self.username, safe='')}"
        # What understands no more than RFC 2617 compares bytes.
        return f"username={_quoted(self.username.encode().decode('latin-1'))}"


def _as_sent(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", "surrogateescape")


def _strongest(challenges: Iterable[Challenge]) -> tuple[Challenge | None, str]:
    """The challenge that we like best and its scheme, of those that we can answer."""
    best: Challenge | None = None
    strength = -2
    for challenge in challenges:
        rank = _rank(challenge)
        if rank > strength:
            best, strength = challenge, rank
    return best, "digest" if strength >= 0 else "basic"


def _rank(challenge: Challenge) -> int:
    """-2 if we cannot answer it, -1 for Basic, otherwise the strength of the algorithm."""
    params = challenge.params
    if challenge.scheme == "basic":
        return -1
    algorithm = params.get("algorithm", "MD5").lower()
    if challenge.scheme != "digest" or "nonce" not in params or algorithm not in _HASHES:
        return -2
    options = params.get("qop", "auth").lower().split(",")
    if "auth" not in [option.strip(" \t") for option in options]:
        return -2
    return _STRENGTH.index(algorithm)
