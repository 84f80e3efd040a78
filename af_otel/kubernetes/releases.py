"""Helm's releases, as Helm keeps them: a Secret for each revision."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.kubernetes.objects.overlay import part_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster

_DEPLOYED = "owner=helm,status=deployed"


@dataclass(frozen=True)
class Release:
    """What is deployed of a chart."""

    name: str
    namespace: str
    chart: str
    version: str
    values: dict[str, Any]  # with the chart's defaults


def releases(cluster: Cluster, namespace: str) -> list[Release]:
    """Return what Helm has deployed in a namespace."""
    return [
        _read(secret)
        for secret in cluster.list("Secret", namespace=namespace, labels=_DEPLOYED)
        if secret.get("type") == "helm.sh/release.v1"
    ]


def _read(secret: Mapping[str, Any]) -> Release:
    meta = secret["metadata"]
    try:
        # Base64 once by Helm, and once more by the API.
        packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
        release = json.loads(gzip.decompress(packed))
        chart = release["chart"]
        return Release(
            name=release["name"],
            namespace=release["namespace"],
            chart=chart["metadata"]["name"],
            version=chart["metadata"]["version"],
            values=merged(chart.get("values") or {}, release.get("config") or {}),
        )
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise AfOtelError(
            f"A Helm release cannot be read: {type(error).__name__}: {error}",
            where=f"Secret `{meta['name']}` in `{meta['namespace']}`",
            hint="give its values as a file: `helm get values RELEASE --all -o yaml`",
        ) from error


def merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as Helm merges them: mappings by key, all else replaced, null takes out."""
    made = dict(defaults)
    for key, value in own.items():
        if value is None and key in made:
            del made[key]
        elif isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] = merged(made[key], value)
        else:
            made[key] = value
    return made


def values_of(
    cluster: Cluster, facility: Facility, chart: str, name: str | None = None
) -> dict[str, Any]:
    """Return the values of the release that has a chart, or has it as a part.

    Raises
    ------
    AfOtelError
        There is none, or there are several and `name` does not say which.
    """
    places = facility.injected_namespaces
    found = [
        each
        for place in places
        for each in releases(cluster, place)
        if part_of(chart, each.values) is not None and name in {None, each.name}
    ]
    if len(found) == 1:
        return found[0].values
    where = "namespaces " + ", ".join(f"`{place}`" for place in places)
    if not found:
        raise AfOtelError(
            f"There is no Helm release of {chart}",
            where=where,
            hint="give its values with `--values FILE`; `af-otel overlay env` is for other pods",
        )
    raise AfOtelError(
        f"There are {len(found)} Helm releases of {chart}",
        where=", ".join(f"`{each.name}` in `{each.namespace}`" for each in found),
        hint="name one with `--release`",
    )
