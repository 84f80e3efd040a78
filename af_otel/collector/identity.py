"""Whose pods the Collector knows: those of the facility's namespaces, and which of them is the hub.

Each namespace is asked about on its own, so that a Role in each will do and none is cluster-wide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.collector import config

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from af_otel.facility import Facility

_FIRST = "k8s_attributes"
_PIPELINES = ("traces/received", "metrics/received")


def overlay(facility: Facility) -> dict[str, Any]:
    """One `k8s_attributes` for each namespace, in every pipeline that has the plain one."""
    first, *others = facility.injected_namespaces
    plain = config.parsed()
    processors: dict[str, Any] = {_FIRST: {"filter": {"namespace": first}}}
    for namespace in others:
        processor = plain["processors"][_FIRST]
        processors[f"{_FIRST}/{namespace}"] = {**processor, "filter": {"namespace": namespace}}
    made: dict[str, Any] = {"processors": processors}
    if others:
        pipelines = {name: _further(plain, name, processors) for name in _PIPELINES}
        made["service"] = {"pipelines": pipelines}
    return made


def query(selector: Mapping[str, str | Iterable[str]]) -> str:
    """A selector as the API's `labelSelector` takes it."""
    return ",".join(
        f"{key}={value}" if isinstance(value, str) else f"{key} in ({','.join(value)})"
        for key, value in selector.items()
    )


def _further(plain: Mapping[str, Any], pipeline: str, processors: Iterable[str]) -> dict[str, Any]:
    steps = list(plain["service"]["pipelines"][pipeline]["processors"])
    at = steps.index(_FIRST)
    steps[at : at + 1] = processors
    return {"processors": steps}
