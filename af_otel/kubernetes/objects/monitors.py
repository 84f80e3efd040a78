"""How a Prometheus that fetches its metrics finds the Collector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.kubernetes.objects._labels import COLLECTOR, chosen_by, metadata

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Facts

# All metrics of the facility; what the Collector says of itself is among them.
METRICS = "metrics"
METRICS_PORT = 8889
SELF_METRICS = "self-metrics"
SELF_METRICS_PORT = 8888
_KINDS = {
    "service_monitor": ("ServiceMonitor", "endpoints"),
    "pod_monitor": ("PodMonitor", "podMetricsEndpoints"),
}


def monitors(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return the ServiceMonitor or PodMonitor, where the Prometheus operator is to have one.

    Raises
    ------
    AfOtelError
        The cluster knows no such kind, so that no metric would arrive anywhere.
    """
    scrape = facility.destinations.metrics.scrape
    kind, listed = _KINDS.get(scrape or "", ("", ""))
    if not kind:
        return []
    if kind not in facts.monitors:
        raise AfOtelError(
            f"This cluster knows no {kind}, as the Prometheus operator is not installed",
            where=f"`destinations.metrics.scrape: {scrape}`",
            hint="`scrape: annotations`, if Prometheus goes by these, or `remote_write`",
        )
    return [_monitor(facility, kind, {listed: [_endpoint(facility)]})]


def pod_annotations(facility: Facility) -> dict[str, str]:
    """Return the annotations of the Collector's pod by which Prometheus' usual jobs find it."""
    if facility.destinations.metrics.scrape != "annotations":
        return {}
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(METRICS_PORT),
        "prometheus.io/path": "/metrics",
    }


def _endpoint(facility: Facility) -> dict[str, Any]:
    interval = facility.destinations.metrics.monitor.interval
    # `job` and `instance` of a metric are its sender's, not the Collector's.
    return {"port": METRICS, "path": "/metrics", "interval": interval, "honorLabels": True}


def _monitor(facility: Facility, kind: str, endpoints: dict[str, Any]) -> dict[str, Any]:
    wanted = facility.destinations.metrics.monitor
    name = f"{COLLECTOR}-{facility.name}"
    made = metadata(facility, name, wanted.namespace or facility.namespace, COLLECTOR)
    made["labels"] |= wanted.labels
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": kind,
        "metadata": made,
        "spec": {
            "namespaceSelector": {"matchNames": [facility.namespace]},
            "selector": {"matchLabels": chosen_by(facility, COLLECTOR)},
            **endpoints,
        },
    }
