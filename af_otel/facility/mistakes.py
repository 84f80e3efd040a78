"""What is wrong in a facility.yaml: every mistake with its line, its field and the YAML to write."""

from __future__ import annotations

import difflib
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from af_otel.errors import AfOtelError
from af_otel.facility import _fields
from af_otel.facility._yaml import Document, Path, Place
from af_otel.facility.values import is_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails

_SHAPES = {
    "model_type": "a section: lines of `field: value` below it",
    "dict_type": "a section: lines of `name: value` below it",
    "list_type": "a list: lines that begin with `- `, or `[…, …]`",
    "bool_type": "`true` or `false`",
    "bool_parsing": "`true` or `false`",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
}


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong in a file."""

    file: str
    place: Place
    path: Path
    what: str
    write: str = ""
    """YAML to write instead, from the top of the file; or what else mends it."""

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
        yield Mistake(
            file,
            second,
            path,
            f"`{path[-1]}` is there already, in line {first.line}: one of them would be lost",
        )


def told(file: str, document: Document, details: Iterable[ErrorDetails]) -> list[Mistake]:
    """What pydantic found, in the words of the file."""
    found: dict[tuple[Path, str], Mistake] = {}
    for detail in details:
        path = _fields.written(detail["loc"])
        place, there = document.place(path)
        if there != path and detail["type"] != "missing":
            if len(there) < len(path) and detail.get("ctx", {}).get("below") is None:
                continue  # What follows from another field, which has the same mistake.
        what, write = _words(document, path, detail)
        found.setdefault((path, what), Mistake(file, place, path, what, write))
    return list(found.values())


def _words(document: Document, path: Path, detail: ErrorDetails) -> tuple[str, str]:
    kind, context = detail["type"], detail.get("ctx", {})
    name = path[-1] if path else ""
    field = f"`{_fields.dotted(path)}`"
    if kind.startswith("secret_in"):
        return _secret(document, path, f"{field} {context['what'][0].lower()}{context['what'][1:]}")
    if "what" in context:
        return context["what"], _to_write(path, context)
    if kind == "missing":
        if path[-3:-1] in {("auth", "basic"), ("auth", "bearer")}:
            return _secret(document, path[:-1], f"`{_fields.dotted(path[:-1])}` names no Secret")
        return f"{field} is missing", _fields.nested(path, _fields.example(path))
    if kind == "extra_forbidden":
        return _unknown(document, path)
    if path[-2:] in {("auth", "basic"), ("auth", "bearer")} and kind == "model_type":
        return _secret(
            document, path, f"{field} is written out, and this file is no place for secrets"
        )
    if kind == "string_type":
        return _not_text(document, path, detail["input"])
    if kind == "literal_error":
        known = _fields.choices(path)
        return (
            f"{field} is one of " + ", ".join(f"`{choice}`" for choice in known),
            _fields.nested(path, _nearest(str(detail["input"]), known) or known[0]),
        )
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"{field} is {word} {context[bound]:g}", _fields.nested(path, context[bound])
    if kind in _SHAPES:
        return f"{field} has to be {_SHAPES[kind]}", _fields.nested(path, _fields.example(path))
    return f"`{name}`: {detail['msg']}", _fields.nested(path, _fields.example(path))


def _to_write(path: Path, context: dict[str, Any]) -> str:
    if not context["write"]:
        return ""
    if "below" in context:
        path = path[: len(path) - context["below"]]
    return _fields.nested(path, yaml.safe_load(context["write"]))


def _unknown(document: Document, path: Path) -> tuple[str, str]:
    name, around = str(path[-1]), path[:-1]
    known = _fields.names(around)
    section = f"`{_fields.dotted(around)}`" if around else "A facility"
    what = f"{section} has no field `{name}`"
    if "auth" in around or is_secret(name, ""):
        return _secret(document, around, f"{what}, and this file is no place for secrets")
    nearest = _nearest(name, known)
    if nearest:
        return f"{what}; the nearest is `{nearest}`", _fields.nested(
            (*around, nearest), _fields.example((*around, nearest))
        )
    elsewhere = _fields.where(name)
    if elsewhere:
        return f"{what}; there is one in `{_fields.dotted(elsewhere[:-1])}`" if elsewhere[
            :-1
        ] else f"{what}; it stands at the left margin", _fields.nested(
            elsewhere, _fields.example(elsewhere)
        )
    return f"{what}; it has " + ", ".join(f"`{field}`" for field in known), ""


def _nearest(name: str, known: Sequence[str]) -> str:
    plain = {item.replace("_", "").lower(): item for item in known}
    near = difflib.get_close_matches(name.replace("_", "").replace("-", "").lower(), plain, 1, 0.6)
    return plain[near[0]] if near else ""


def _not_text(document: Document, path: Path, value: Any) -> tuple[str, str]:
    field = f"`{_fields.dotted(path)}`"
    if isinstance(value, (bool, int, float)):
        text = document.text(path)
        kind = "a yes or no" if isinstance(value, bool) else "a number"
        return f"To YAML `{text}` is {kind}, and {field} is a text: quote it", _fields.nested(
            path, text
        )
    if value is None:
        return f"{field} has no value", _fields.nested(path, _fields.example(path))
    return f"{field} has to be a single text", _fields.nested(path, _fields.example(path))


def _secret(document: Document, path: Path, what: str) -> tuple[str, str]:
    """The Secret to make, and the lines that name it."""
    data = document.data if isinstance(document.data, dict) else {}
    namespace = data.get("namespace")
    if not isinstance(namespace, str):
        namespace = "af-otel"
    if path[:1] != ("destinations",) or len(path) < 2:  # noqa: PLR2004
        return what, ""
    signal = str(path[1])
    base: Path = (*path[:2], "remote_write") if signal == "metrics" else path[:2]
    name = f"{signal}-credentials"
    if "headers" in path:
        header = str(path[-1])
        if header.lower() == "authorization":
            keys, lines = (
                {"token": "…"},
                _fields.nested((*base, "auth", "bearer"), {"secret": name, "key": "token"}),
            )
        else:
            keys = {header: "…"}
            lines = _fields.nested((*base, "headers", header), {"secret": name, "key": header})
    elif "bearer" in path:
        keys, lines = (
            {"token": "…"},
            _fields.nested((*base, "auth", "bearer"), {"secret": name, "key": "token"}),
        )
    else:
        keys, lines = (
            {"username": "…", "password": "…"},
            _fields.nested((*base, "auth", "basic"), {"secret": name}),
        )
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": keys,
    }
    made = yaml.safe_dump(secret, sort_keys=False, allow_unicode=True).rstrip()
    return what, f"{lines}\nwith this in the cluster (`kubectl apply -f`):\n{made}"
