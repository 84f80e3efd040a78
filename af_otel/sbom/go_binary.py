"""The modules that a Go program was built from, as its linker recorded them.

The format is that of `debug/buildinfo` in Go's standard library, which `go version -m` prints. Go
1.18 and newer write it in this form.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"\xff Go buildinf:"
_ALIGNMENT = 16
_FLAGS = 15  # the offset of the byte with them
_INLINE = 0x2  # the strings follow the header
_HEADER = 32
_MORE = 0x80  # another byte of a varint follows
_MARK = 16  # bytes that enclose the list of modules
_MAX_LENGTH = 1 << 24


@dataclass(frozen=True)
class Module:
    """A module at a version, with its hash as in `go.sum`; both are empty if it has none."""

    path: str
    version: str = ""
    sum: str = ""


@dataclass(frozen=True)
class BuildInfo:
    """What a Go program was built from.

    Parameters
    ----------
    go
        The version of Go, such as `1.26.8`.
    main
        The module of the program.
    modules
        All others that the program has code of. Replaced ones are their replacements.
    """

    go: str
    main: Module
    modules: tuple[Module, ...]


def read(program: Path) -> BuildInfo:
    """Return the build information of a program.

    Raises
    ------
    AfOtelError
        The file cannot be read, or is not a Go program with modules.
    """
    try:
        with program.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            found = _find(data)
    except (OSError, ValueError) as error:
        raise AfOtelError(
            f"The program cannot be read: {getattr(error, 'strerror', None) or error}",
            where=f"`{program}`",
            hint="name the Collector's binary",
        ) from error
    if found is None:
        raise AfOtelError(
            "The file holds no build information of Go 1.18 or newer",
            where=f"`{program}`",
            hint="name the Collector's binary itself, not a script or an archive",
        )
    return found


def _find(data: mmap.mmap) -> BuildInfo | None:
    at = data.find(_MAGIC)
    while at >= 0:
        # A program that reads build information has the magic string among its constants, too.
        found = _at(data, at) if at % _ALIGNMENT == 0 else None
        if found is not None:
            return found
        at = data.find(_MAGIC, at + 1)
    return None


def _at(data: mmap.mmap, at: int) -> BuildInfo | None:
    """Return the build information that begins at an offset, or None if none is there."""
    try:
        if not data[at + _FLAGS] & _INLINE:
            return None
        version, end = _string(data, at + _HEADER)
        modules, _ = _string(data, end)
    except IndexError:  # the file ends first
        return None
    if not version.startswith(b"go"):
        return None
    return _parse(version, modules[_MARK:-_MARK].decode("utf-8", "replace").splitlines())


def _string(data: mmap.mmap, at: int) -> tuple[bytes, int]:
    """Return the string at an offset, whose length comes first as a varint, and where it ends."""
    length = shift = 0
    while True:
        byte = data[at]
        at += 1
        length |= (byte & ~_MORE) << shift
        shift += 7
        if not byte & _MORE or length > _MAX_LENGTH:
            break
    if at + length > min(len(data), at + _MAX_LENGTH):
        raise IndexError
    return data[at : at + length], at + length


def _parse(version: bytes, lines: list[str]) -> BuildInfo | None:
    main = None
    modules: list[Module] = []
    for line in lines:
        kind, *fields = line.split("\t")
        if not fields:
            continue
        if kind == "mod":
            main = Module(*fields[:3])
        elif kind == "dep":
            modules.append(Module(*fields[:3]))
        elif kind == "=>" and modules:
            modules[-1] = Module(*fields[:3])
    if main is None:
        return None
    return BuildInfo(version.decode().split()[0].removeprefix("go"), main, tuple(modules))
