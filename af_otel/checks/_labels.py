"""Label selectors, read here because files have them as well as clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPERATORS = {"In": "in", "NotIn": "notin"}


def chooses(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector chooses what has these labels; an empty one chooses everything."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


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
