"""The compiled modules, and nothing else: everything that is not computed is in pyproject.toml.

A module is compiled when there is an `x.pyx`, or an `x.pxd` beside an `x.py` with a function or a
class in it (what only names constants stays as it is). From the environment:

    DUPLEXER_PURE=1    compile nothing: no C compiler is needed, and the wheel runs anywhere
    DUPLEXER_ASAN=1    with the address and the undefined-behaviour sanitizer (`make check-asan`)
    DUPLEXER_STRICT=1  warnings about our own C are errors (every `make` target)
"""

import os
import re
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("src")
NATIVE = SOURCE / "duplexer/core/native"
#: The module that the C byte kernels are linked into.
KERNELS = "duplexer.core.bytesops"
DEFINITION = re.compile(r"^(?:class|c?p?def) ", re.MULTILINE)
DIRECTIVES = {
    "language_level": 3,
    "initializedcheck": False,
    # A mistake must raise, not crash: None where an object was expected, an index out of range.
    "nonecheck": True,
    "embedsignature": True,
    # Types come from the .pxd alone, so that an annotation never changes what the code does.
    "annotation_typing": False,
}

QUIET = ["-Wno-sign-compare", "-Wno-deprecated-declarations"]  # about Cython's output
UNIX = ["-O3", "-g0", *QUIET]  # debugging symbols are seven eighths of a module
#: For our own C: Cython's output is not ours to keep clean.
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wsign-compare", "-Wshadow", "-Wundef", "-Wvla"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def wanted(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


class BuildExt(build_ext):
    """Adds the flags of the compiler at hand, and compiles the kernels with warnings on."""

    def build_extension(self, ext):
        unix = self.compiler.compiler_type == "unix"
        flags = UNIX if unix else ["/O2"]
        if wanted("DUPLEXER_ASAN"):
            flags = [*SANITIZE, "-g", "-O1", "-fno-omit-frame-pointer", *QUIET]
            ext.extra_link_args += SANITIZE
        ext.extra_compile_args += flags
        if ext.name == KERNELS:
            werror = ["-Werror"] if wanted("DUPLEXER_STRICT") else []
            ext.extra_objects += self.compiler.compile(
                sorted(map(str, NATIVE.glob("*.c"))),
                output_dir=self.build_temp,
                extra_postargs=[*flags, *(WARNINGS + werror if unix else [])],
            )
        super().build_extension(ext)


def sources() -> dict[str, Path]:
    """Name of each module to compile → its source."""
    found = {}
    for path in sorted([*SOURCE.rglob("*.pxd"), *SOURCE.rglob("*.pyx")]):  # .pyx last: it wins
        source = path if path.suffix == ".pyx" else path.with_suffix(".py")
        if source is path or (source.exists() and DEFINITION.search(source.read_text())):
            found[".".join(path.relative_to(SOURCE).with_suffix("").parts)] = source
    return found


def extensions() -> list[Extension]:
    if wanted("DUPLEXER_PURE"):
        return []
    from Cython.Build import cythonize

    native = [str(path) for path in NATIVE.glob("*.[ch]")]
    modules = [
        Extension(
            name,
            [str(source)],
            include_dirs=[str(NATIVE), str(NATIVE.parent)],
            depends=["setup.py", str(source), *(native if name == KERNELS else [])],
        )
        for name, source in sources().items()
    ]
    return cythonize(
        modules,
        build_dir="build/cython",
        include_path=[str(SOURCE)],
        compiler_directives=DIRECTIVES,
        nthreads=min(2, os.cpu_count() or 1),
        quiet=True,
    )


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
