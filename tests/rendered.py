"""A facility's objects without a cluster: a small facility to render, and words to look at it."""

from __future__ import annotations

import pytest

from af_otel.facility import Facility
from af_otel.grafana import dashboards
from af_otel.kubernetes.objects import render
from af_otel.kubernetes.objects.facts import Facts, Workload

TEMPO = {
    "tempo": {"endpoint": "http://tempo.monitoring:4318", "query": "http://tempo.monitoring:3200"}
}
PROMETHEUS = {
    "remote_write": {"endpoint": "http://prometheus.monitoring:9090/api/v1/write"},
    "query": "http://prometheus.monitoring:9090",
}
HUB = Workload("hub", "hub")
DASK = {"namespaces": ["dask"], "selector": {"app": ["dask-scheduler", "dask-worker"]}}

# Where the builders of dashboards work; elsewhere an install says what it leaves out.
needs_dashboards = pytest.mark.skipif(not dashboards.POSSIBLE, reason=dashboards.LACKING)


def a_facility(**sections):
    """A facility with a hub, users beside it and Dask elsewhere; `sections` replace its own."""
    written = {
        "name": "casa",
        "hub": {"namespace": "jhub"},
        "dask": [DASK],
        "destinations": {"traces": TEMPO, "metrics": PROMETHEUS},
    }
    return Facility.model_validate(written | sections)


def with_backends(**sections):
    """A facility that has no server of its own."""
    backends = {"jaeger": True, "prometheus": True}
    return a_facility(**{"destinations": {}, "backends": backends} | sections)


def rendered(facility=None, **facts):
    """Objects by kind and name, with their namespace where it is not the facility's own."""
    facility = facility or a_facility()
    found = {}
    for item in render(facility, Facts(**facts)):
        meta = item["metadata"]
        place = meta.get("namespace", facility.namespace)
        elsewhere = "" if place == facility.namespace else f"{place}/"
        key = f"{item['kind']} {elsewhere}{meta['name']}"
        assert key not in found, key
        found[key] = item
    return found


def network_policy(name, selector, namespace="jhub", **spec):
    """Somebody else's NetworkPolicy, as the API gives it."""
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-of-{name}"},
        "spec": {"podSelector": {"matchLabels": selector} if selector else {}, **spec},
    }


def pods(facility=None, **facts):
    """The pod templates by their Deployment."""
    found = rendered(facility or with_backends(), **facts)
    return {
        item["metadata"]["name"]: item["spec"]["template"]
        for item in found.values()
        if item["kind"] == "Deployment"
    }
