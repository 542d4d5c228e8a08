"""Compiling the load, the floor and what else is in C, when they are first needed."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BUILT = HERE / ".build"
WARNINGS = ("-Wall", "-Wextra")
C = ("-std=c11", "-O2", *WARNINGS)
ZLIB = ("-DWITH_ZLIB", "-lz")
TLS = ("-DWITH_TLS", "-lssl", "-lcrypto")


class BuildError(Exception):
    """There is no compiler, or it refused."""


@dataclass(frozen=True)
class Binaries:
    load: Path
    floor: Path
    deflate: bool
    """Whether the load can speak permessage-deflate: zlib.h was found."""
    tls: bool
    """Whether load and floor can speak TLS: OpenSSL's headers were found."""
    uwebsockets: Path | None = None


def build() -> Binaries:
    """Compile what has changed, and say where it is."""
    deflate, tls = _compiles("zlib.h", "-lz"), _compiles("openssl/ssl.h", "-lssl")
    options = TLS if tls else ()
    load = compiled(HERE / "load.c", *C, *(ZLIB if deflate else ()), *options)
    floor = compiled(HERE / "echo" / "floor.c", *C, *options)
    return Binaries(load, floor, deflate, tls, _uwebsockets())


def uwebsockets_sources() -> Path | None:
    """Where they are, for those who want the peer in C++: see README.md."""
    named = os.environ.get("UWEBSOCKETS")
    return Path(named).resolve() if named else None


def _uwebsockets() -> Path | None:
    sources = uwebsockets_sources()
    if sources is None:
        return None
    archive = sources / "uSockets" / "uSockets.a"
    if not archive.exists():
        raise BuildError(f"UWEBSOCKETS: there is no {archive}: see benchmarks/README.md")
    options = ["-std=c++20", "-O3", "-flto=auto", str(archive), "-lz"]
    options += [f"-I{sources / 'src'}", f"-I{sources / 'uSockets' / 'src'}"]
    return compiled(HERE / "echo" / "uwebsockets.cpp", *options, compiler="c++", also=[archive])


def compiled(
    source: Path, *options: str, compiler: str | None = None, also: Sequence[Path] = ()
) -> Path:
    """The binary made of `source`, anew if that, a header beside it or `also` has changed."""
    name = "CXX" if compiler else "CC"
    command = [*shlex.split(os.environ.get(name, compiler or "cc")), str(source), *options]
    inputs = [" ".join(command).encode()]
    headers = [*HERE.glob("*.h"), *source.parent.glob("*.h")]
    inputs += [path.read_bytes() for path in (source, *sorted(headers), *also)]
    digest = hashlib.sha256(b"\0".join(inputs)).hexdigest()[:16]
    binary = BUILT / f"{source.stem}-{digest}"
    if binary.exists():
        return binary
    BUILT.mkdir(exist_ok=True)
    unfinished = binary.with_suffix(f".{os.getpid()}")  # two may compile at the same time
    try:
        result = subprocess.run(
            [*command, "-o", str(unfinished)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise BuildError(f"no compiler: {command[0]} (set {name})") from error
    if result.returncode:
        raise BuildError(result.stderr.strip())
    unfinished.replace(binary)
    return binary


def _compiles(header: str, *options: str) -> bool:
    """Whether a program that includes `header` can be made."""
    probe = BUILT / f"probe-{header.replace('/', '-')}.c"
    BUILT.mkdir(exist_ok=True)
    probe.write_text(f"#include <{header}>\nint main(void) {{ return 0; }}\n")
    try:
        compiled(probe, *options)
    except BuildError:
        return False
    return True
