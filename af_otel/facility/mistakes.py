"""What is wrong in a facility.yaml: each mistake with its line, its field and the YAML to write."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.facility import _fields, _words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails

    from af_otel.facility._yaml import Document, Path, Place


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong in a file."""

    file: str
    place: Place
    path: Path
    what: str
    write: str = ""
    """YAML to write instead, from the top of the file."""

    @property
    def where(self) -> str:
        """As editors and compilers write it: file:line:column."""
        return f"{self.file}:{self.place.line}:{self.place.column}"

    @property
    def field(self) -> str:
        """The field's path, as `dask[0].selector`."""
        return _fields.dotted(self.path)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "file": self.file,
            "line": self.place.line,
            "column": self.place.column,
            "field": self.field,
            "what": self.what,
            "write": self.write,
        }

    def __str__(self) -> str:
        lines = [self.what, f"  where: {self.where}" + (f", `{self.field}`" if self.path else "")]
        if self.write:
            lines.append("  write: " + textwrap.indent(self.write, " " * 9).lstrip())
        return "\n".join(lines)


class FacilityInvalid(AfOtelError):
    """A facility.yaml that cannot be used, with all that is wrong in it."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = sorted(mistakes, key=lambda item: (item.place.line, item.place.column))
        first = self.mistakes[0]
        super().__init__(first.what, where=first.where, hint=first.write)

    def __str__(self) -> str:
        return "\nerror: ".join(map(str, self.mistakes))


def repeated(file: str, document: Document) -> Iterable[Mistake]:
    """Keys that are there twice."""
    for path, second, first in document.repeated:
        what = f"`{path[-1]}` is there already, in line {first.line}: one of them would be lost"
        yield Mistake(file, second, path, what)


def told(file: str, document: Document, details: Iterable[ErrorDetails]) -> list[Mistake]:
    """What pydantic found, in the words of the file."""
    found: dict[tuple[Path, str], Mistake] = {}
    derived: list[Mistake] = []
    missing: set[tuple[Path, str]] = set()
    misspelt: set[Path | None] = set()
    for detail in details:
        path = _fields.written(detail["loc"], detail["type"])
        place, there = _locate(document, path)
        what, write = _words.words(document, path, detail)
        mistake = Mistake(file, place, path, what, write)
        if detail["type"] == "missing":
            missing.add((path, what))
        elif detail["type"] == "extra_forbidden":
            misspelt.add(_words.meant(path))
        if there == path or detail["type"] == "missing":
            found.setdefault((path, what), mistake)
        else:
            derived.append(mistake)
    # A field that is misspelt is not missing, too.
    for key in missing:
        if key[0] in misspelt:
            del found[key]
    # What follows from another field (`Facility.completed`) has the same mistake as that one.
    return list(found.values()) or derived


def _locate(document: Document, path: Path) -> tuple[Place, Path]:
    """Return where a path is in the file, and the part of the path that is there.

    In the layout of earlier versions, `destinations.traces` itself was the Tempo.
    """
    place, found = document.place(path)
    if found != path and path[:3] == ("destinations", "traces", "tempo"):
        old = path[:2] + path[3:]
        old_place, old_found = document.place(old)
        if old_found == old:
            return old_place, path
    return place, found
