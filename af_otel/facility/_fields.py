"""What the model knows of its fields: their names, choices and examples, by path."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import yaml

from af_otel.facility._part import Part
from af_otel.facility.model import Facility

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from af_otel.facility._yaml import Path


_TAGS = {"=text", "=secret", "=value", "=values"}


def written(location: tuple[str | int, ...], kind: str = "") -> Path:
    """A location of pydantic's as a path in the file.

    Left out are which member of a union was tried, and that it is a key that is wrong; unless, by
    `kind`, the mistake is a field of that name.
    """
    if location[-1:] == ("[key]",) and kind != "extra_forbidden":
        location = location[:-1]
    return tuple(step for step in location if step not in _TAGS)


def dotted(path: Path) -> str:
    """A path for people: `dask[0].selector`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def nested(path: Path, value: Any) -> str:
    """The YAML that has `value` at `path`."""
    for step in reversed(path):
        value = [value] if isinstance(step, int) else {step: value}
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=200).rstrip()


def parts(
    kind: Any = Facility, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], type[Part]]]:
    """Every section with its path; `[]` in it stands for an entry of a list."""
    yield path, kind
    for name, field in fields(kind).items():
        for section, listed in sections(field.annotation):
            yield from parts(section, (*path, name + ("[]" if listed else "")))


def fields(kind: type[Part]) -> dict[str, FieldInfo]:
    """A section's fields by the names that a file has."""
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def sections(annotation: Any) -> Iterator[tuple[type[Part], bool]]:
    """The sections that a field may have, and whether in a list."""
    plain = bare(annotation)
    if isinstance(plain, type) and issubclass(plain, Part):
        yield plain, False
    elif get_origin(plain) is list:
        yield from ((section, True) for section, _ in sections(get_args(plain)[0]))
    elif get_origin(plain) in {Union, types.UnionType}:
        for member in get_args(plain):
            yield from sections(member)


def names(path: Path) -> list[str]:
    """Names of the fields of the section at `path`."""
    kind = _at(path)
    found = next(sections(kind), None)
    return list(fields(found[0])) if found else []


def choices(path: Path) -> list[str]:
    """What a field may be, if it is one of a few words."""
    return list(_choices(_at(path)))


def example(path: Path) -> Any:
    """Something that could stand at `path`."""
    around = next(sections(_at(path[:-1])), None) if path else None
    field = fields(around[0]).get(str(path[-1])) if around else None
    if field is None:
        return "…"
    if field.examples:
        return field.examples[0]
    words = list(_choices(field.annotation))
    if words:
        return words[0]
    if field.default is None or field.is_required():
        return "…"
    default = field.get_default(call_default_factory=True, validated_data={})
    return default.model_dump(exclude_none=True) if isinstance(default, Part) else default


def where(name: str) -> Path:
    """Path of the first field of this name anywhere, or an empty one."""
    for path, kind in parts():
        if name in fields(kind) and not any(step.endswith("[]") for step in path):
            return (*path, name)
    return ()


def bare(annotation: Any) -> Any:
    """An annotation without what is said about it."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _at(path: Path) -> Any:
    kind: Any = Facility
    for step in path:
        kind = _below(kind, step)
    return kind


def _below(annotation: Any, step: str | int) -> Any:
    plain = bare(annotation)
    if isinstance(plain, type) and issubclass(plain, Part):
        field = fields(plain).get(str(step))
        return field.annotation if field else None
    if get_origin(plain) is list and isinstance(step, int):
        return get_args(plain)[0]
    if get_origin(plain) is dict:
        return get_args(plain)[1]
    if get_origin(plain) in {Union, types.UnionType}:
        for member in get_args(plain):
            found = _below(member, step)
            if found is not None:
                return found
    return None


def _choices(annotation: Any) -> Iterator[str]:
    plain = bare(annotation)
    if get_origin(plain) is Literal:
        yield from get_args(plain)
    elif get_origin(plain) in {Union, types.UnionType}:
        for member in get_args(plain):
            yield from _choices(member)
