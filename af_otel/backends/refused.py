"""What the Collector has refused or could not deliver, as its metrics in Prometheus say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.backends.prometheus import Prometheus

WINDOW: Final = "24h"
_MOST: Final = 20  # senders and reasons of each kind
# Kind to PromQL. `max_over_time`, as a series begins with its first refusal, which `increase` does
# not see. The labels that are left say whose and why.
_SENDERS: Final = {
    kind: f"topk({_MOST}, sum by (job, instance, k8s_pod_name, reason) "
    f"(max_over_time(af_otel_refused_{kind}_total[{WINDOW}])))"
    for kind in ("spans", "points")
}
# On Kubernetes, metrics go through a queue to the Collector's own loopback: what that gives up is
# lost, while the exporter to Prometheus counts every attempt.
_LOST: Final = "max_over_time(otelcol_exporter_send_failed_metric_points_total{exporter%s}[24h])"
_LOST_POINTS: Final = (
    "(sum("
    + _LOST % '=~"prometheus_remote_write.*"'
    + ') unless on() group(otelcol_exporter_queue_size{exporter="otlp_grpc/metrics"})) or sum('
    + _LOST % '="otlp_grpc/metrics"'
    + ")"
)
# Its name has a unit where the Collector sends its own metrics, and none where they are scraped.
# Other servers' requests have a route.
_REQUESTS: Final = (
    '{__name__=~"http_server_request_duration(_seconds)?_count", '
    'http_response_status_code=~"4..", http_route=""}'
)
# What the Collector counts without knowing whose it was.
_ANYBODY: Final = (
    ("spans", "empty", 'otelcol_processor_filter_spans_filtered_total{filter="filter/empty"}'),
    (
        "points",
        "empty",
        'otelcol_processor_filter_datapoints_filtered_total{filter="filter/empty"}',
    ),
    ("points", "delta", 'otelcol_deltatocumulative_datapoints_total{error!=""}'),
    ("spans", "memory", 'otelcol_receiver_refused_spans_total{receiver="otlp"}'),
    ("points", "memory", 'otelcol_receiver_refused_metric_points_total{receiver="otlp"}'),
    ("spans", "store", 'otelcol_exporter_send_failed_spans_total{exporter!="otlp_grpc/journal"}'),
    ("spans", "queue", "otelcol_exporter_enqueue_failed_spans_total"),
    ("points", "queue", "otelcol_exporter_enqueue_failed_metric_points_total"),
    ("traces", "size", "otelcol_processor_tail_sampling_traces_dropped_too_large_total"),
    ("requests", "denied", _REQUESTS),
)
# Of the reasons, those that a word does not explain.
_REASONS: Final = {
    "claimed": "the sender says itself that they are refused",
    "delta": "deltas that are out of order or too many to convert",
    "denied": "too large, or not OTLP",
    "empty": "without ids, or without a time",
    "memory": "the Collector was short of memory; senders try again",
    "queue": "no room in the queue for the store",
    "store": "in requests that the store refused",
}


@dataclass(frozen=True)
class Refused:
    """Count of a sender's items refused for one reason; `sender` is empty if it is not known."""

    kind: str
    reason: str
    count: int
    sender: str = ""

    def __str__(self) -> str:
        whose = f" of `{self.sender}`" if self.sender else ""
        return f"{self.count:,} {self.kind}{whose}: {_REASONS.get(self.reason, self.reason)}"


def read(prometheus: Prometheus) -> list[Refused]:
    """Return what was refused within a day, most first.

    Raises
    ------
    AfOtelError
        Prometheus does not answer.
    """
    return sorted((item for item in _read(prometheus) if item.count), key=lambda item: -item.count)


def _read(prometheus: Prometheus) -> Iterator[Refused]:
    for kind, query in _SENDERS.items():
        for series in prometheus.query(query):
            labels = series.labels
            sender = labels.get("k8s_pod_name") or " ".join(
                filter(None, (labels.get("job"), labels.get("instance")))
            )
            yield Refused(kind, labels.get("reason", ""), round(series.value), sender)
    for kind, reason, selector in _ANYBODY:
        total = prometheus.total(f"sum(max_over_time({selector}[{WINDOW}]))")
        yield Refused(kind, reason, round(total))
    yield Refused("points", "store", round(prometheus.total(_LOST_POINTS)))
