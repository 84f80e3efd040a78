"""Which object is meant, and where the API serves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, order=True)
class Ref:
    """Which object: enough to find it, and to write it into an inventory."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Ref:
        """The reference of an object."""
        meta = obj["metadata"]
        return cls(obj["apiVersion"], obj["kind"], meta["name"], meta.get("namespace") or "")

    def __str__(self) -> str:
        # What is only to be made may have its name from the API.
        name = f" `{self.name}`" if self.name else ""
        within = f" in `{self.namespace}`" if self.namespace else ""
        return f"{self.kind}{name}{within}"


@dataclass(frozen=True)
class Resource:
    """How the API serves a kind."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: tuple[str, ...]

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str = "", name: str = "") -> str:
        """Where an object or a collection is."""
        root = "/apis/" if "/" in self.api_version else "/api/"
        within = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}{self.api_version}{within}/{self.plural}" + (f"/{name}" if name else "")


def selector(labels: Mapping[str, str | Sequence[str]] | str) -> str:
    """A label selector as the API takes it."""
    if isinstance(labels, str):
        return labels
    return ",".join(
        f"{key}={value}" if isinstance(value, str) else f"{key} in ({','.join(value)})"
        for key, value in labels.items()
    )
