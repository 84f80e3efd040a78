"""Checks without a cluster: of manifests that `helm template` rendered, and of charts' values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from af_otel.checks import _sources
from af_otel.checks._sources import Files
from af_otel.checks.context import Context
from af_otel.errors import AfOtelError
from af_otel.facility import Facility

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from af_otel.checks._sources import Object

_NOBODY = "http://nowhere.invalid"


def context(paths: Sequence[Path], facility: Facility | None = None) -> Context:
    """What checks of files look at.

    Raises
    ------
    AfOtelError
        A file cannot be read, or is neither.
    """
    objects, charts = _sources.read(paths)
    return Context(facility or supposed(objects), Files(objects), given=charts)


def supposed(objects: Sequence[Object]) -> Facility:
    """A facility as the charts make it by default, where no file describes it.

    Raises
    ------
    AfOtelError
        The hub is in no namespace that can be.
    """
    hubs = [
        obj
        for obj in objects
        if obj["kind"] == "Deployment" and _labels(obj).get("component") == "hub"
    ]
    namespace = next((hub["metadata"].get("namespace") for hub in hubs), None) or "jhub"
    selector = {
        "app.kubernetes.io/name": "dask-gateway",
        "app.kubernetes.io/component": ["dask-scheduler", "dask-worker"],
    }
    try:
        return Facility.model_validate(
            {
                "name": "facility",
                "hub": {"namespace": namespace},
                "dask": [{"selector": selector}],
                "destinations": {
                    "traces": {"otlp": {"endpoint": f"{_NOBODY}:4318", "query": _NOBODY}},
                    "metrics": {"remote_write": {"endpoint": f"{_NOBODY}:9090/api/v1/write"}},
                },
            }
        )
    except ValidationError as error:
        raise AfOtelError(
            f"The hub's Deployment is in `{namespace}`, which cannot be a namespace",
            hint="render it for the namespace where it runs: `helm template --namespace NAME …`",
        ) from error


def _labels(workload: Object) -> Mapping[str, str]:
    """The labels of a workload's pods."""
    metadata = (workload["spec"].get("template") or {}).get("metadata") or {}
    return metadata.get("labels") or {}
