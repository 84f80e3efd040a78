"""The parts of collector-config/base.yaml that are made from the list of secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel_semconv import secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BASE = Path(__file__).parents[1] / "collector-config" / "base.yaml"
_MARKED = re.compile(
    r"(?P<begin>^(?P<indent> *)# <(?P<name>[\w ]+)>[^\n]*\n).*?(?P<end>^ *# </(?P=name)>\n)",
    re.MULTILINE | re.DOTALL,
)
_URL = r"^(?:https?://[\w./-]*)?$"
_VERSION = r"^(?:v?[0-9][\w.+-]*)?$"
_ANY = "|".join(f"(?:{pattern})" for pattern in secrets.VALUES)


def config() -> str:
    """Return the text of base.yaml with its marked parts made anew.

    Raises
    ------
    KeyError
        The file marks a part that this module does not make.
    """
    return _MARKED.sub(_part, BASE.read_text(encoding="utf-8"))


def _part(found: re.Match[str]) -> str:
    lines = (f"{found['indent']}{line}\n" for line in _PARTS[found["name"]]())
    return f"{found['begin']}{''.join(lines)}{found['end']}"


def _patterns(patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        yield f"- {_yaml(f'(?i){pattern}')}"


def _items(holder: str) -> Iterator[str]:
    """Yield statements for what redaction does not see of a span or an event."""
    for key in secrets.STATE_KEYS:
        path = f'{holder}.attributes["{key}"]'
        odd = f"{path} != nil and {_odd(path, secrets.STATE)}"
        yield "- " + _yaml(f'set({path}, "****") where {odd}')
    yield _name(f"{holder}.name")


def _scopes() -> Iterator[str]:
    """Yield statements for what a scope has, and for the schema of its resource."""
    yield "- statements:"
    yield "    - " + _yaml(
        f'set(resource.schema_url, "") where {_odd("resource.schema_url", _URL)}'
    )
    yield "- statements:"
    yield "    - " + _yaml(f'set(scope.schema_url, "") where {_odd("scope.schema_url", _URL)}')
    yield "    - " + _yaml(f'set(scope.version, "") where {_odd("scope.version", _VERSION)}')
    yield "    " + _name("scope.name")


def _name(path: str) -> str:
    odd = _odd(path, secrets.HARMLESS)
    return "- " + _yaml(f'replace_pattern({path}, {_ottl(_ANY)}, "****") where {odd}')


def _odd(path: str, usual: str) -> str:
    return f"not IsMatch({path}, {_ottl(usual)})"


def _metrics() -> Iterator[str]:
    for path in ("metric.name", "metric.unit", "metric.description"):
        yield "- " + _yaml(f'set({path}, "") where IsMatch({path}, {_ottl(_ANY)})')


def _ottl(pattern: str) -> str:
    """Return a pattern as a string of OTTL."""
    escaped = f"(?i){pattern}".replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _yaml(text: str) -> str:
    """Return a text as a string of YAML."""
    return "'" + text.replace("'", "''") + "'"


_PARTS = {
    "keys of spans": lambda: _patterns((*secrets.KEYS, *secrets.SPAN_KEYS)),
    "keys of labels": lambda: _patterns(secrets.KEYS),
    "harmless": lambda: _patterns((secrets.HARMLESS,)),
    "values": lambda: _patterns(secrets.VALUES),
    "spans": lambda: _items("span"),
    "events": lambda: _items("spanevent"),
    "scopes": _scopes,
    "metrics": _metrics,
}
