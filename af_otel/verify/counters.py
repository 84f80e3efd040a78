"""What the Collector counts of itself: what came, and what became of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import httpx

from af_otel.kubernetes.pods import is_ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster

NAME = "af-otel-collector"
PORT = 8888
Signal = Literal["spans", "metric_points"]
_SAMPLE = re.compile(
    r'^(otelcol_\w+?)(?:_total)?\{[^}]*\b(?:receiver|exporter)="([^"]*)"[^}]*\} ([0-9.e+-]+)$',
    re.MULTILINE,
)
_JOURNAL, _LOOP = "otlp_grpc/journal", "otlp/loopback"
# The queue on disk before Prometheus, whose own exporter counts every attempt as a failure.
_METRICS = "otlp_grpc/metrics"
_WITHIN = {_JOURNAL, _LOOP, _METRICS, "debug/pause"}


def _outer(name: str) -> bool:
    """Return whether a receiver or exporter deals with others, not with the Collector itself."""
    return name not in _WITHIN


# What is counted: series, and of which receivers or exporters; for points, where they differ.
_COUNTED: dict[str, tuple[str, Callable[[str], bool]]] = {
    "received": ("otelcol_receiver_accepted_", _outer),
    "refused": ("otelcol_receiver_refused_", _outer),
    "sent": ("otelcol_exporter_sent_", _outer),
    "failed": ("otelcol_exporter_send_failed_", _outer),
    "dropped": ("otelcol_exporter_enqueue_failed_", _outer),
}
_COUNTED_POINTS = _COUNTED | {
    name: (_COUNTED[name][0], lambda exporter: exporter == _METRICS)
    for name in ("failed", "dropped")
}


@dataclass(frozen=True)
class Counters:
    """Spans, or points of metrics, since the Collector's start.

    What goes through the Collector's own journal and loopback counts once.
    """

    received: float = 0
    refused: float = 0
    sent: float = 0
    failed: float = 0
    dropped: float = 0

    def since(self, before: Counters) -> Counters:
        """What was counted since then; all of it, if the Collector has started again."""
        if self.received < before.received:
            return self
        return Counters(**{name: getattr(self, name) - getattr(before, name) for name in _COUNTED})

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, name):,.0f} {name}" for name in _COUNTED)


def pod(cluster: Cluster, facility: Facility) -> str:
    """The name of the Collector's pod, the ready one if there is one; "" without any."""
    pods = cluster.list(
        "Pod", namespace=facility.namespace, labels={"app.kubernetes.io/name": NAME}
    )
    return str(max(pods, key=is_ready)["metadata"]["name"]) if pods else ""


def read(cluster: Cluster, facility: Facility) -> dict[Signal, Counters]:
    """Return what it counts now, by signal; empty if the Collector does not answer."""
    name = pod(cluster, facility)
    if not name:
        return {}
    with cluster.forward(facility.namespace, f"pod/{name}", PORT) as url:
        try:
            text = httpx.get(f"{url}/metrics", trust_env=False, timeout=10).text
        except httpx.HTTPError:
            return {}
    return {signal: parse(text, signal) for signal in get_args(Signal)}


def parse(text: str, signal: Signal = "spans") -> Counters:
    """Return the counts of a signal in Prometheus' text format."""
    samples = _SAMPLE.findall(text)
    counted = _COUNTED_POINTS if signal == "metric_points" else _COUNTED
    return Counters(
        **{
            name: sum(
                float(value)
                for found, component, value in samples
                if found == f"{series}{signal}" and wanted(component)
            )
            for name, (series, wanted) in counted.items()
        }
    )
