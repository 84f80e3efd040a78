"""What the Collector counts of itself: the spans that came, and what became of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from af_otel.kubernetes.pods import is_ready

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster

NAME = "af-otel-collector"
PORT = 8888
_SAMPLE = re.compile(r"^(otelcol_\w+?)(?:_total)?(?:\{[^}]*\})? ([0-9.e+-]+)$", re.MULTILINE)
_COUNTED = {
    "received": "otelcol_receiver_accepted_spans",
    "refused": "otelcol_receiver_refused_spans",
    "sent": "otelcol_exporter_sent_spans",
    "failed": "otelcol_exporter_send_failed_spans",
    "dropped": "otelcol_exporter_enqueue_failed_spans",
}


@dataclass(frozen=True)
class Counters:
    """Sums since the Collector's start, over all its receivers and exporters."""

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
        return ", ".join(f"{getattr(self, name):.0f} {name}" for name in _COUNTED)


def pod(cluster: Cluster, facility: Facility) -> str:
    """The name of the Collector's pod, the ready one if there is one; "" without any."""
    pods = cluster.list(
        "Pod", namespace=facility.namespace, labels={"app.kubernetes.io/name": NAME}
    )
    return str(max(pods, key=is_ready)["metadata"]["name"]) if pods else ""


def read(cluster: Cluster, facility: Facility) -> Counters | None:
    """What it counts now; None if nobody answers."""
    name = pod(cluster, facility)
    if not name:
        return None
    with cluster.forward(facility.namespace, f"pod/{name}", PORT) as url:
        try:
            text = httpx.get(f"{url}/metrics", trust_env=False, timeout=10).text
        except httpx.HTTPError:
            return None
    return parse(text)


def parse(text: str) -> Counters:
    """The sums in Prometheus' text format."""
    samples = _SAMPLE.findall(text)
    return Counters(
        **{
            name: sum(float(value) for found, value in samples if found == series)
            for name, series in _COUNTED.items()
        }
    )
