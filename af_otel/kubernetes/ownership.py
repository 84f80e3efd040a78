"""Which objects are ours to change, and what of them is a wish rather than their state."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MANAGED_BY = "app.kubernetes.io/managed-by"
FACILITY = "af-otel.io/facility"
MANAGER = "af-otel"
PAYLOAD = "payload.zip"
# What the API server writes: different in each answer, or nobody's wish.
_SERVERS = (
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "selfLink",
)
_HASH = 12  # characters; enough to see that two differ


def owner(obj: Mapping[str, Any]) -> str | None:
    """The facility whose install made an object; None if no install of ours did."""
    labels = obj["metadata"].get("labels") or {}
    return labels.get(FACILITY, "") if labels.get(MANAGED_BY) == MANAGER else None


def cleaned(obj: Mapping[str, Any]) -> dict[str, Any]:
    """An object without its state and what the server keeps about it."""
    meta = {key: value for key, value in obj["metadata"].items() if key not in _SERVERS}
    return {**{key: value for key, value in obj.items() if key != "status"}, "metadata": meta}


def masked(obj: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An object to be shown: no secret's value, and of a payload its hash.

    Parameters
    ----------
    before
        What the object was: a secret that is another one now is said to be so.
    """
    shown = dict(obj)
    if obj["kind"] == "Secret":
        for part in ("data", "stringData"):
            if obj.get(part):
                were = (before or {}).get(part) or {}
                shown[part] = {
                    key: "<hidden>" if were.get(key, value) == value else "<hidden, another>"
                    for key, value in obj[part].items()
                }
    if obj.get("binaryData"):
        shown["binaryData"] = {
            key: f"<{_hash(value)}, {len(value) * 3 // 4 // 1000} kB>"
            for key, value in obj["binaryData"].items()
        }
    return shown


def carries_payload(obj: Mapping[str, Any]) -> bool:
    """Whether an object is a ConfigMap with a payload."""
    return obj["kind"] == "ConfigMap" and PAYLOAD in (obj.get("binaryData") or {})


def _hash(value: str) -> str:
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:_HASH]}"
