"""Grafana servers in the cluster, and what their sidecars watch for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from af_otel.facility.discovery.look import (
    containers_of,
    namespace_of,
    template_of,
    variables_of,
)
from af_otel.facility.discovery.servers import called, running, workloads

if TYPE_CHECKING:
    from af_otel.facility.discovery.look import Look, Object

_IMAGE = re.compile(r"(^|/)grafana(-oss|-enterprise)?([:@]|$)")


@dataclass
class Grafana:
    """A Grafana, and the labels that its sidecars watch for."""

    what: str
    namespace: str = ""
    """Where they watch, if not everywhere."""
    dashboards: dict[str, str] = field(default_factory=dict)
    data_sources: dict[str, str] = field(default_factory=dict)


def find(look: Look) -> list[Grafana]:
    """Return every Grafana that may be read."""
    return [_grafana(item) for item in workloads(look) if running(item, _IMAGE) is not None]


def _grafana(workload: Object) -> Grafana:
    found = Grafana(f"Grafana: {called(workload)}")
    spec = template_of(workload)["spec"]
    watched: set[str] = set()
    for container in [*(spec.get("initContainers") or ()), *containers_of(workload)]:
        variables = variables_of(container)
        label = variables.get("LABEL", "")
        if not label or variables.get("RESOURCE", "both") == "secret":
            continue
        labels = {label: variables.get("LABEL_VALUE") or "1"}
        kind = f"{container.get('name', '')} {label}".lower()
        if "dashboard" in kind:
            found.dashboards = labels
        elif "datasource" in kind:
            found.data_sources = labels
        else:
            continue
        watched |= set((variables.get("NAMESPACE") or namespace_of(workload)).split(","))
    if watched and "ALL" not in watched:
        own = namespace_of(workload)
        found.namespace = own if own in watched else min(watched)
    return found
