"""Label selectors, read here because files have them as well as clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.kubernetes.objects._labels import chooses

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["chooses", "text"]

_OPERATORS = {"In": "in", "NotIn": "notin"}


def text(selector: Mapping[str, Any]) -> str:
    """A LabelSelector as `kubectl -l` takes it."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        if each["operator"] in _OPERATORS:
            values = ",".join(each.get("values") or ())
            parts.append(f"{each['key']} {_OPERATORS[each['operator']]} ({values})")
        else:
            parts.append(("" if each["operator"] == "Exists" else "!") + each["key"])
    return ",".join(parts)
