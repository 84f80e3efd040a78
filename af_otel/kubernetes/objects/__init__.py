"""The objects of an installed facility: from the facility's file and facts about the cluster alone.

Everything here is pure, so that a plan can be shown, compared and tested without a cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.grafana import dashboards
from af_otel.kubernetes.objects import (
    backends,
    collector,
    grafana,
    injection,
    monitors,
    namespace,
    network,
    payload,
    rbac,
)
from af_otel.kubernetes.objects.facts import route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Facts


def render(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return all objects in the order in which they are applied.

    What others need comes first; the injection policy is last, when all it hands out is there.

    Raises
    ------
    AfOtelError
        The facility asks for what this cluster does not have.
    """
    carried = payload.payload(facility)
    made = [
        *namespace.namespace(facility, facts),
        *rbac.access(facility),
        *network.policies(facility, facts),
        *backends.backends(facility, facts),
        *collector.collector(facility, facts),
        *monitors.monitors(facility, facts),
        *grafana.grafana(facility, facts),
        *carried,
    ]
    if route(facility, facts) == "policy":
        made += injection.policy(facility, carried[0]["metadata"]["name"])
    return made


def notes(facility: Facility, facts: Facts) -> list[str]:
    """Return what an operator should know of these objects before they say yes."""
    return [*_stored(facility, facts), *_grafana(facility)]


def _stored(facility: Facility, facts: Facts) -> Iterator[str]:
    wanted = facility.backends
    ours = [name for name in ("tempo", "prometheus", "grafana") if getattr(wanted, name)]
    if not facts.storage:
        kept = ", ".join(["the Collector's queue", *(f"all of our {name}" for name in ours)])
        name = facility.collector.storage.storage_class
        lacks = f"no storage class `{name}`" if name else "no default storage class"
        yield f"The cluster has {lacks}, so with its pod is lost: {kept}"
    if wanted.tempo or wanted.prometheus:
        yield (
            "Our Tempo and Prometheus know no logins: NetworkPolicies keep users' pods away from "
            "them, as far as this cluster's network enforces these"
        )


def _grafana(facility: Facility) -> Iterator[str]:
    if facility.backends.grafana:
        secret = f"kubectl -n {facility.namespace} get secret {grafana.GRAFANA}"
        yield (
            "Grafana's user is `admin`; the password: "
            f"`{secret} -o jsonpath={{.data.password}} | base64 -d`"
        )
    if not facility.backends.grafana and not facility.grafana.data_sources:
        return
    if facility.grafana.dashboards and not dashboards.POSSIBLE:
        yield dashboards.LACKING
    found = facility.destinations
    for signal, server, endpoint in (
        ("traces", "Tempo", found.traces),
        ("metrics", "Prometheus", found.metrics.remote_write),
    ):
        if not getattr(found, signal).query:
            yield f"Grafana gets no {server}: no `destinations.{signal}.query` says where it is"
        elif endpoint is not None and (endpoint.auth or endpoint.headers):
            yield (
                f"Grafana's {server} has no credentials or headers: set them there, as "
                "ConfigMaps are no place for them"
            )
