"""YAML with the place of every field, and without YAML's surprises.

Of duplicate keys PyYAML keeps the last one silently; here they are mistakes. Keys are their text,
so that `on:` is a key like any other. Dates, and numbers in base 60 (`1:30`), are the text that
they are written as.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple["str | int", ...]

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")  # longer ones are no numbers here
_HALF = re.compile("[\ud800-\udfff]")
_MOST = 50_000  # values; a facility has some hundred
_TRUE = {"yes", "true", "on"}


@dataclass(frozen=True)
class Place:
    """A line and column, both from 1."""

    line: int = 1
    column: int = 1


class Unreadable(Exception):
    """No YAML, or none that means anything: what is wrong, and where."""

    def __init__(self, what: str, place: Place) -> None:
        super().__init__(what)
        self.what = what
        self.place = place


@dataclass
class Document:
    """The data of a file, and where each part of it is."""

    root: yaml.Node | None
    data: Any = None
    repeated: list[tuple[Path, Place, Place]] = field(default_factory=list)
    """Path of a key that is there twice, the second place, the first."""

    def place(self, path: Path) -> tuple[Place, Path]:
        """Where the field at `path` is, or the nearest around it that is there, and that one's
        path.
        """
        node, place = self.root, Place()
        found: Path = ()
        for step in path:
            below = dict(_children(node)).get(step) if node is not None else None
            if below is None:
                break
            place, node = _place(below[0]), below[1]
            found = (*found, step)
        return place, found

    def text(self, path: Path) -> str:
        """The scalar at `path` as it is written."""
        node = self.root
        for step in path:
            node = dict(_children(node))[step][1] if node is not None else None
        return node.value if isinstance(node, yaml.ScalarNode) else ""


def parse(text: str) -> Document:
    """The one YAML document in `text`."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = Document(root)
        if root is not None:
            document.data = _Reading(document).value(root, (), ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place()
        raise Unreadable(_said(error, text, place), place) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise Unreadable(
            f"A character that no YAML may have: U+{ord(text[error.position]):04X}", place
        ) from error
    except RecursionError as error:
        raise Unreadable("Nested too deeply to be read", Place()) from error
    return document


class _Reading:
    """Nodes to data."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._left = _MOST

    def value(self, node: yaml.Node, path: Path, around: tuple[int, ...]) -> Any:
        if id(node) in around:
            raise Unreadable("An alias that is inside of what it names", _place(node))
        self._left -= 1
        if self._left < 0:
            raise Unreadable("Too much for a facility: aliases that multiply?", _place(node))
        around = (*around, id(node))
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        known = {_TAG + "map", _TAG + "seq"}
        if node.tag not in known:
            raise Unreadable(f"`{node.tag}` is a tag that means nothing here", _place(node))
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(item, (*path, index), around) for index, item in enumerate(node.value)
            ]
        made: dict[str, Any] = {}
        first: dict[str, Place] = {}
        for key, (at, value) in _children(node, merged=False):
            if key in first:
                self._document.repeated.append(((*path, key), _place(at), first[str(key)]))
            first.setdefault(str(key), _place(at))
            made[str(key)] = self.value(value, (*path, key), around)
        for key, (_, value) in _children(node):
            if key not in made:
                made[str(key)] = self.value(value, (*path, key), around)
        return made


def _children(
    node: yaml.Node | None, *, merged: bool = True
) -> Iterator[tuple[str | int, tuple[yaml.Node, yaml.Node]]]:
    """Key or index, the node that stands for it, and its value's; what `<<` brings comes first."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield index, (item, item)
    if not isinstance(node, yaml.MappingNode):
        return
    if merged:
        yield from _merged(node)
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise Unreadable("A key has to be one word", _place(key))
        if key.tag != _TAG + "merge":
            yield _text(key), (key, value)


def _merged(
    node: yaml.MappingNode,
) -> Iterator[tuple[str | int, tuple[yaml.Node, yaml.Node]]]:
    for key, value in node.value:
        if key.tag == _TAG + "merge":
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if source is not node:
                    yield from _children(source)


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def _text(node: yaml.ScalarNode) -> str:
    # An escape can make what no file can hold, and no terminal write.
    if half := _HALF.search(node.value):
        raise Unreadable(f"A character that is none: U+{ord(half[0]):04X}", _place(node))
    text: str = node.value
    return text


def _scalar(node: yaml.ScalarNode) -> Any:
    text = _text(node)
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return text.lower() in _TRUE
        case "int":
            return int(text) if _INTEGER.fullmatch(text) else text
        case "float":
            try:
                return float(text)
            except ValueError:
                return text
        case "str" | "timestamp" | "value":
            return text
        case _:
            raise Unreadable(f"`{node.tag}` is a tag that means nothing here", _place(node))


def _said(error: yaml.MarkedYAMLError, text: str, place: Place) -> str:
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if "\t" in line[: place.column] or "'\\t'" in str(error.problem):
        return "A tab where YAML wants spaces: indentation is made of spaces only"
    if "single document" in str(error.context) + str(error.problem):
        return "A second document (`---`): a facility is one"
    if "mapping values are not allowed" in str(error.problem):
        return (
            "A second `: ` in one line, or a wrong indentation: quote the value if it is part of it"
        )
    return f"This is no YAML: {error.problem or error.context}"
