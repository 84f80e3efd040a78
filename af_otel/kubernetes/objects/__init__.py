"""The objects of an installed facility: from the facility's file and facts about the cluster alone.

Everything here is pure, so that a plan can be shown, compared and tested without a cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.grafana import dashboards
from af_otel.grafana.sources import TITLES
from af_otel.kubernetes.objects import (
    backends,
    collector,
    grafana,
    guard,
    injection,
    monitors,
    namespace,
    network,
    payload,
    rbac,
)
from af_otel.kubernetes.objects._labels import COLLECTOR
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
    made += guard.guard(facility, facts)
    if route(facility, facts) == "policy":
        made += injection.policy(facility, carried[0]["metadata"]["name"])
    return made


def notes(facility: Facility, facts: Facts) -> list[str]:
    """Return what an operator should know of these objects before they say yes."""
    return [*_identity(facility, facts), *_stored(facility, facts), *_grafana(facility)]


def _identity(facility: Facility, facts: Facts) -> Iterator[str]:
    if not facility.privacy.guard:
        yield "No telemetry has `user.hash`, as `privacy.guard` is off"
    elif not guard.guarded(facility, facts):
        version, oldest = (".".join(map(str, each)) for each in (facts.version, guard.SINCE))
        yield (
            f"No telemetry has `user.hash`: Kubernetes {version} cannot protect the annotations "
            f"that say whose a pod is, which {oldest} and newer can"
        )
    elif facts.hub is None:
        yield (
            "No telemetry has `user.hash`, and the hub's metrics are not scraped: no Deployment or "
            f"StatefulSet in `{facility.hub.namespace}` has the hub's labels (`hub.selector`), so "
            "its pod cannot be told from one that claims to be the hub's"
        )


def _stored(facility: Facility, facts: Facts) -> Iterator[str]:
    wanted = facility.backends
    ours = [name for name in ("jaeger", "prometheus", "grafana") if getattr(wanted, name)]
    data = {COLLECTOR: "the Collector's queue"}
    data |= {f"af-otel-{name}": f"the data of {name.capitalize()}" for name in ours}
    lost = [what for claim, what in data.items() if claim not in facts.claims]
    if not facts.storage and lost:
        name = facility.collector.storage.storage_class
        lacks = f"no storage class `{name}`" if name else "no default storage class"
        yield f"The cluster has {lacks}, so these are lost with their pod: {', '.join(lost)}"
    if wanted.jaeger or wanted.prometheus:
        yield (
            "The Jaeger and Prometheus that af-otel deploys do not authenticate their clients: "
            "NetworkPolicies keep users' pods away from them, if this cluster's network enforces "
            "these"
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
    yield from _sources(facility)


def _sources(facility: Facility) -> Iterator[str]:
    """Yield what is missing from Grafana's data sources, or limits them."""
    destinations = facility.destinations
    store = grafana.traces(facility)
    if store is None:
        yield (
            "Grafana gets no data source for traces, and the dashboards show metrics only: "
            "`destinations.traces.otlp` does not say whether the store is a Tempo or a Jaeger. If "
            "it is one of them, write `tempo` or `jaeger` instead of `otlp`"
        )
    if store == "jaeger" and (facility.backends.grafana or facility.grafana.dashboards):
        yield (
            "To search Jaeger, the dashboards need Grafana 12.0.2 or newer: versions between 11.3 "
            "and 12.0.1 do not replace variables in the tags of a search"
        )
    queried = [("prometheus", "destinations.metrics", destinations.metrics.query)]
    if store:
        traces = destinations.traces
        queried.insert(0, (store, traces.field, traces.store.query))
    endpoints = {"prometheus": destinations.metrics.remote_write, store: destinations.traces.store}
    for kind, field, query in queried:
        title, endpoint = TITLES[kind], endpoints[kind]
        if not query:
            yield f"Grafana gets no data source for {title}, as `{field}.query` is not set"
        elif endpoint is not None and (endpoint.auth or endpoint.headers):
            yield (
                f"Grafana's data source for {title} has no credentials or headers: enter them in "
                "Grafana, as ConfigMaps must not contain secrets"
            )
