"""facility.yaml, from a file to the model and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from af_otel.errors import AfOtelError
from af_otel.facility import mistakes
from af_otel.facility._yaml import Place, Unreadable, parse
from af_otel.facility.model import Facility

if TYPE_CHECKING:
    from pathlib import Path

FILE = "facility.yaml"
_MOST = 1_000_000  # bytes; a facility takes some thousand
_LEAST = """name: my-facility
hub: {namespace: jhub}
destinations:
  traces: {tempo: {endpoint: "http://tempo.monitoring:4318"}}
  metrics: {remote_write: {endpoint: "http://prometheus.monitoring:9090/api/v1/write"}}"""


def read(path: Path, *, with_backends: bool = False) -> Facility:
    """The facility that a file describes, or a `FacilityInvalid` with every mistake in it.

    `with_backends` turns on each of `backends` that the file has no destination for.
    """
    return parse_text(_text(path), str(path), with_backends=with_backends)


def parse_text(text: str, file: str = FILE, *, with_backends: bool = False) -> Facility:
    """The facility that a text describes; `file` is its name in errors."""
    try:
        document = parse(text)
    except Unreadable as error:
        raise mistakes.FacilityInvalid(
            [mistakes.Mistake(file, error.place, (), error.what)]
        ) from error
    if document.data is None:
        raise mistakes.FacilityInvalid(
            [mistakes.Mistake(file, Place(), (), "There is nothing in this file", _LEAST)]
        )
    if not isinstance(document.data, dict):
        kind = "a list" if isinstance(document.data, list) else "a single text"
        raise mistakes.FacilityInvalid(
            [
                mistakes.Mistake(
                    file,
                    Place(),
                    (),
                    f"This is {kind}; a facility has lines of `field: value`",
                    _LEAST,
                )
            ]
        )
    found = list(mistakes.repeated(file, document))
    data = _with_backends(document.data) if with_backends else document.data
    try:
        facility = Facility.model_validate(data)
    except ValidationError as error:
        found += mistakes.told(file, document, error.errors(include_url=False))
        raise mistakes.FacilityInvalid(found) from None
    if found:
        raise mistakes.FacilityInvalid(found)
    return facility


def dump(facility: Facility) -> str:
    """The facility as YAML: what is not as it would be by default."""
    return yaml.safe_dump(
        facility.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True
    )


def json_schema() -> dict[str, Any]:
    """The JSON schema of facility.yaml, for editors."""
    schema: dict[str, Any] = _one_line(Facility.model_json_schema())
    # What follows from other fields (`Facility.completed`) need not be written.
    schema["required"] = [name for name in schema["required"] if name != "destinations"]
    schema["$defs"]["Destinations"].pop("required")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def _one_line(schema: Any) -> Any:
    """A schema whose descriptions are not broken where the source's lines end."""
    if isinstance(schema, list):
        return [_one_line(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _one_line(value) for name, value in schema.items()}
    about = made.get("description")
    return made | {"description": " ".join(about.split())} if isinstance(about, str) else made


def schema_text() -> str:
    """The JSON schema as a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST + 1)
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        raise AfOtelError(
            "There is no such file" if absent else f"The file cannot be read: {error.strerror}",
            where=f"`{path}`",
            hint="`af-otel init` writes one; `-f FILE` names another" if absent else "",
        ) from error
    if len(content) > _MOST:
        raise AfOtelError(
            "More than a megabyte, which no facility needs",
            where=f"`{path}`",
            hint="name another file",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise AfOtelError(
            "This is no UTF-8", where=f"{path}:{line}:{column}", hint="save the file as UTF-8"
        ) from error


def _with_backends(data: dict[str, Any]) -> dict[str, Any]:
    given, backends = data.get("destinations"), data.get("backends")
    if not isinstance(given or {}, dict) or not isinstance(backends or {}, dict):
        return data
    own = {
        backend: True
        for signal, backend in (("traces", "jaeger"), ("metrics", "prometheus"))
        if not (given or {}).get(signal)
    }
    return data | {"backends": (backends or {}) | own}
