"""What the overlays for charts have in common."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.kubernetes.objects import _pod

if TYPE_CHECKING:
    from collections.abc import Mapping

Values = dict[str, Any]
PATH = "PYTHONPATH"


@dataclass(frozen=True)
class Overlay:
    """What to add to a release's values, and what an operator should know of it."""

    values: Values
    notes: list[str] = field(default_factory=list)


def init_step(image: str, security: Any, resources: Any) -> dict[str, Any]:
    """The init container, with what the container that it serves is secured and limited by."""
    made = _pod.init_container(image)
    if security:
        made["securityContext"] = copy.deepcopy(security)
    if resources:
        made["resources"] = copy.deepcopy(resources)
    return made


def image_of(values: Mapping[str, Any], where: str) -> str:
    """The image of a part of a release, from that part's values."""
    image = values.get("image")
    if isinstance(image, str) and image:
        return image
    if isinstance(image, dict) and image.get("name") and image.get("tag"):
        return f"{image['name']}:{image['tag']}"
    raise AfOtelError(
        "The image of a release is not among its values",
        where=f"`{where}`",
        hint="give all values, the chart's defaults included: `helm get values RELEASE --all`",
    )


def ours_first(ours: dict[str, Any], theirs: list[Any] | None) -> list[Any]:
    """A list of containers, with ours before what may need it.

    Raises
    ------
    AfOtelError
        They are a mapping, as KubeSpawner takes them, too.
    """
    if isinstance(theirs, dict):
        raise AfOtelError(
            "`initContainers` is a mapping by name, and only in a list is ours the first",
            hint="make a list of it; the order is that of the names",
        )
    return [ours, *not_ours(theirs)]


def with_ours(theirs: list[Any] | None, ours: list[dict[str, Any]]) -> list[Any]:
    """A list with ours at its end, however often."""
    return [*not_ours(theirs), *ours]


def not_ours(items: list[Any] | None) -> list[Any]:
    """What of a list an earlier overlay of ours has not put there."""
    names = {_pod.NAME, _pod.PAYLOAD_VOLUME}
    return [each for each in items or () if each.get("name") not in names]
