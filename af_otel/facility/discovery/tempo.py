"""Tempo servers in the cluster: single binaries, and distributed ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from af_otel.facility.discovery.look import (
    address,
    labels_of,
    name_of,
    namespace_of,
    ports_of,
)
from af_otel.facility.discovery.servers import rank, running, services, workloads
from af_otel.facility.discovery.trace_store import TraceStore, otlp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from af_otel.facility.discovery.look import Look, Object

IMAGE = re.compile(r"(^|/)(tempo|grafana-tempo)([:@]|$)")
_API = (3200, 3100)  # the second in charts until 2023


def find(look: Look) -> list[TraceStore]:
    """Return every Tempo; the parts of a distributed one are one store."""
    parts = [item for item in workloads(look) if running(item, IMAGE) is not None]
    groups: dict[tuple[str, str], list[Object]] = {}
    for item in parts:
        labels = labels_of(item)
        release = labels.get("app.kubernetes.io/instance") or labels.get("release") or name_of(item)
        group = groups.setdefault((namespace_of(item), release), [])
        group += [service for service in services(look, item) if service not in group]
    if not parts:
        # A Service alone is enough: it may lead out of the cluster.
        for service in look.all("Service"):
            if "tempo" in name_of(service):
                groups.setdefault((namespace_of(service), "tempo"), []).append(service)
    return [
        store
        for (namespace, release), group in sorted(groups.items())
        if (store := _tempo(namespace, release, group)).endpoint
    ]


def _tempo(namespace: str, release: str, group: Sequence[Object]) -> TraceStore:
    endpoint, protocol = otlp((service, ()) for service in group)
    return TraceStore(
        "tempo", f"Tempo `{release}` in `{namespace}`", endpoint, protocol, _query(group)
    )


def _query(group: Sequence[Object]) -> str:
    for port in _API:
        answering = [service for service in group if port in ports_of(service)]
        # Every part of a distributed Tempo has this port, but only the frontend answers queries.
        front = [service for service in answering if "query-frontend" in name_of(service)]
        if answering:
            return address(min(front or answering, key=rank), port)
    return ""
