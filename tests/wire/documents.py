"""Reads the documents of tests/wire/; README.md there says what is in them."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from tests.wire import frames

HERE = Path(__file__).parent
FENCE = re.compile(r"^```(.*)$")
#: A piece of a payload: text in quotes, a code, or hexadecimal bytes; any may be repeated.
PIECE = re.compile(r'("(?:[^"\\]|\\.)*"|code=\d+|(?:[0-9a-f]{2})+)(?:\*(\d+))?(?:\s+|$)')


@dataclasses.dataclass
class Block:
    """A fenced block: the words after the fence, and the lines inside."""

    words: list[str]
    lines: list[str]

    @property
    def kind(self) -> str:
        return self.words[0]

    @property
    def role(self) -> str:
        return self.words[1]

    @property
    def options(self) -> dict[str, str]:
        return {name: value for name, _, value in (w.partition("=") for w in self.words[2:])}


@dataclasses.dataclass
class Case:
    """A heading, a block of input, and the blocks of what is expected."""

    name: str
    given: Block
    expected: list[Block]

    def expect(self, kind: str) -> list[str] | None:
        """The lines of the block of this kind, ``None`` without one."""
        for block in self.expected:
            if block.kind == kind:
                return block.lines
        return None


def blocks(path: Path) -> Iterator[tuple[str, Block]]:
    """Every fenced block of a document, with the heading that it is under."""
    heading = path.stem
    block: Block | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        fence = FENCE.match(line)
        if block is None:
            if line.startswith("#"):
                heading = line.strip("# ")
            elif fence:
                block = Block(fence[1].split(), [])
        elif fence:
            yield heading, block
            block = None
        else:
            block.lines.append(line)
    assert block is None, f"{path}: a block without an end, under {heading!r}"


def cases(path: Path) -> list[Case]:
    """Every case of a document."""
    found: list[Case] = []
    for heading, block in blocks(path):
        if block.kind in ("bytes", "handshake"):
            found.append(Case(f"{path.parent.name}/{path.stem}: {heading}", block, []))
        else:
            assert block.kind in ("gives", "asks", "answers", "agrees"), (path, block.words)
            found[-1].expected.append(block)
    names = [case.name for case in found]
    assert len(set(names)) == len(names), f"{path}: a heading that is there twice"
    assert all(case.expected for case in found), f"{path}: bytes without an outcome"
    return found


def all_cases(kind: str) -> list[Case]:
    """Every case of every document whose input is of this kind."""
    paths = sorted(HERE.glob("*/*.md"))
    return [case for path in paths for case in cases(path) if case.given.kind == kind]


def payload(text: str) -> bytes:
    """The bytes of a payload as a document writes it."""
    out = b""
    at = 0
    while at < len(text):
        piece = PIECE.match(text, at)
        assert piece, f"no payload: {text[at:]!r}"
        word, times = piece[1], int(piece[2] or 1)
        if word.startswith('"'):
            out += str(ast.literal_eval(word)).encode() * times
        elif word.startswith("code="):
            out += int(word[5:]).to_bytes(2, "big") * times
        else:
            out += bytes.fromhex(word) * times
        at = piece.end()
    return out


def without_comment(line: str) -> str:
    """A line up to its ``#``, if that is not inside quotes."""
    quoted = False
    for i, char in enumerate(line):
        if char == '"' and (i == 0 or line[i - 1] != "\\"):
            quoted = not quoted
        elif char == "#" and not quoted:
            return line[:i].strip()
    return line.strip()


def frame(line: str, role: str) -> bytes:
    """The bytes of a line in a ``bytes`` block."""
    word, _, rest = line.partition(" ")
    if word in frames.OPCODES:
        opcode = frames.OPCODES[word]
    elif word.startswith("op"):
        opcode = int(word[2:])
    else:
        return payload(line)
    key = frames.KEY if role == "server" else None
    fin, rsv, form, length = True, 0, 0, None
    rest = rest.strip()
    while True:
        word, _, after = rest.partition(" ")
        if word == "more":
            fin = False
        elif word in ("rsv1", "rsv2", "rsv3"):
            rsv |= 8 >> int(word[3])
        elif word in ("mask", "nomask"):
            key = frames.KEY if word == "mask" else None
        elif word.startswith("form="):
            form = int(word[5:])
        elif word.startswith("length="):
            length = int(word[7:])
        else:
            break
        rest = after.strip()
    return frames.build(opcode, payload(rest), fin=fin, rsv=rsv, key=key, form=form, length=length)


def segments(block: Block) -> list[bytes | float]:
    """What arrives, and how long nothing does."""
    out: list[bytes | float] = [b""]
    for raw in block.lines:
        line = without_comment(raw)
        if line.startswith("wait "):
            out += [float(line[5:]), b""]
        elif line:
            last = out[-1]
            assert isinstance(last, bytes)
            out[-1] = last + frame(line, block.role)
    return out
