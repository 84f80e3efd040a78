"""docs/facility.md: every field of facility.yaml, from the model."""

from __future__ import annotations

import types
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Le
from pydantic import AfterValidator

from af_otel.facility import _fields, values
from af_otel.facility._part import Part
from af_otel.facility.discovery.page import inline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_HEAD = """# facility.yaml: every field

Made by `tools/generate_docs.py` from `af_otel/facility`: change it there. `af-otel init` writes the
file from what it finds on a cluster; the JSON schema for editors is
[facility.schema.json](facility.schema.json).

This is all that a file needs:

```yaml
name: my-facility
hub:
  namespace: jhub
destinations:
  traces:
    tempo:
      endpoint: http://tempo.monitoring:4318
  metrics:
    remote_write:
      endpoint: http://prometheus.monitoring:9090/api/v1/write
```

Secrets are never written into it, only their names: they are looked for in the facility's
`namespace`. Unknown fields, duplicate ones and values that cannot be are refused, all at once, each
with its line and what to write instead.
"""
_KINDS = {
    values.Name: "name",
    values.ObjectName: "name of an object",
    values.Duration: "duration, such as `30s`",
    values.Interval: "duration, such as `30s`",
    values.Quantity: "quantity, such as `500m`",
    values.Bytes: "quantity, such as `1Gi`",
    values.Url: "address",
    values.Image: "image with tag or digest",
    values.ImagePattern: "image, with `*`",
    values.Key: "key",
    values.Port: "port",
    values.Selector: "labels; a list for any of them",
    values.Labels: "labels",
    str: "text",
    bool: "`true` or `false`",
    int: "number",
    float: "number",
}


def reference() -> str:
    """The whole page."""
    places: dict[type[Part], list[str]] = {}
    for path, kind in _fields.parts():
        places.setdefault(kind, []).append(".".join(path))
    return _HEAD + "".join(_section(titles, kind) for kind, titles in places.items())


def _section(titles: list[str], kind: type[Part]) -> str:
    # pydantic's own fields have forgotten which of our words they were annotated with.
    hints = get_type_hints(kind, include_extras=True)
    hints |= {field.alias: hints[name] for name, field in kind.model_fields.items() if field.alias}
    rows = "".join(
        f"| {' | '.join(_row(titles[0], name, field, hints[name]))} |\n"
        for name, field in _fields.fields(kind).items()
    )
    heading = ", ".join(f"`{title}`" for title in titles if title) or "The file"
    about = " ".join((kind.__doc__ or "").split())
    head = "| field | is | default | |\n| --- | --- | --- | --- |"
    return f"\n## {heading}\n\n{about}\n\n{head}\n{rows}"


def _row(section: str, name: str, field: FieldInfo, kind: Any) -> Iterator[str]:
    yield f"`{name}`"
    yield _named(kind) + _range(field)
    yield _default(section, name, field)
    yield " ".join((field.description or "").split()).replace("|", "\\|")


def _range(field: FieldInfo) -> str:
    """The bounds of a number."""
    least = next((each.ge for each in field.metadata if isinstance(each, Ge)), None)
    most = next((each.le for each in field.metadata if isinstance(each, Le)), None)
    return "" if most is None else f"; `{least}` to `{most}`"


def _named(annotation: Any) -> str:
    annotation, bounds = _unbound(annotation)
    plain = _fields.bare(annotation)
    origin, inner = get_origin(plain), get_args(plain)
    if origin is not dict and next(_fields.sections(annotation), None):
        return "list of sections" if origin is list else "section"
    known = next((words for kind, words in _KINDS.items() if annotation == kind), "")
    if known or origin is None:
        return (known or "text") + bounds
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in inner)
    if origin is list:
        return f"list: {_named(inner[0])}"
    if origin is dict:
        return "`name: text`" if inner[1] is str else "`name: text or Secret`"
    return " or ".join(_named(item) for item in inner if item is not types.NoneType)


def _unbound(annotation: Any) -> tuple[Any, str]:
    """A word of ours without its bounds, and these."""
    *words, last = get_args(annotation) or (None,)
    bounds = last.func if isinstance(last, AfterValidator) else None
    if not isinstance(bounds, values.Between):
        return annotation, ""
    unbound: Any = Annotated
    return unbound[tuple(words)], f"; `{bounds.least}` to `{bounds.most}`"


def _default(section: str, name: str, field: FieldInfo) -> str:
    if field.is_required():
        backed = section == "destinations" or (section == "" and name == "destinations")
        return "" if backed else "required"
    made = field.get_default(call_default_factory=True, validated_data={})
    return "" if made is None or made in ({}, []) or isinstance(made, Part) else f"`{inline(made)}`"
