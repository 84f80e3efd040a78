"""Telemetry health: whether the other dashboards show everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.grafana import kit, promql
from af_otel.grafana.promql import spelled

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

# Data that returns from the journal on disk was counted when it was received.
SENDERS = 'receiver!~"otlp/(loopback|self).*|prometheus.*"'
SIGNALS = {"spans": "spans", "points": "metric_points"}


def telemetry(place: Place) -> Dashboard:
    """Return the dashboard of received, refused, dropped and late data, and of the Collector."""
    return kit.board(
        place,
        "telemetry",
        "Telemetry health",
        "Whether telemetry arrives, completely and in time. If it does not, do not trust the other "
        "dashboards.",
        {"In and out": _flow(), "In time": _time(), "The Collector": _collector()},
    )


def _each(metric: str, *where: str, by: str = "") -> dict[str, str]:
    legend = f" {{{{{by}}}}}" if by else ""
    return {
        f"{name}{legend}": promql.rate(spelled(f"otelcol_{metric}_{signal}", *where), by)
        for name, signal in SIGNALS.items()
    }


def _failures(metric: str) -> str:
    """Return failures of spans and points; the label `signal` distinguishes them."""
    rates = (
        f"label_replace({promql.rare(spelled(f'otelcol_{metric}_{signal}'))}, "
        f'"signal", "{name}", "", "")'
        for name, signal in SIGNALS.items()
    )
    return f"sum by (exporter, signal) ({' or '.join(rates)}) or vector(0)"


def _flow() -> list[kit.Panel]:
    return [
        kit.lines(
            "Received per second",
            "Spans and metric points that the Collector accepted from processes.",
            "ops",
            _each("receiver_accepted", SENDERS),
            width=kit.THIRD,
        ),
        kit.lines(
            "Refused per second",
            "The Collector refuses data above its memory limit or with a full journal. Senders "
            "buffer what they can and drop the rest. It should be 0.",
            "ops",
            _each("receiver_refused", SENDERS),
            limits=(0.001, 1),
            width=kit.THIRD,
        ),
        kit.lines(
            "Dropped per second",
            "Because a queue was full, or the destination rejected it for good. This data is lost.",
            "ops",
            {
                "{{exporter}} {{signal}}: queue full": _failures("exporter_enqueue_failed"),
                "{{exporter}} {{signal}}: rejected": _failures("exporter_send_failed"),
            },
            limits=(0.001, 1),
            width=kit.THIRD,
        ),
        kit.lines(
            "Sent per second",
            "By exporter. Less than received: traces that were not sampled. More: the journal on "
            "disk.",
            "ops",
            _each("exporter_sent", by="exporter"),
            width=kit.THIRD,
        ),
        kit.lines(
            "Queues",
            "How full each exporter's queue is. A queue that only grows has an unreachable "
            "destination. When it is full, data is dropped.",
            "percentunit",
            {
                "{{exporter}} {{data_type}}": "max by (exporter, data_type) "
                f"({promql.series('otelcol_exporter_queue_size')}) / max by (exporter, data_type) "
                f"({promql.series('otelcol_exporter_queue_capacity')})"
            },
            limits=(0.5, 0.9),
            width=kit.THIRD,
        ),
        kit.lines(
            "Sampling decisions per second",
            "`true` are kept: failed and slow traces, spawns, and a share of the rest. Span "
            "metrics count all of them.",
            "ops",
            {
                "{{sampled}}": promql.rate(
                    spelled("otelcol_processor_tail_sampling_global_count_traces_sampled"),
                    "sampled",
                )
            },
            stacked=True,
            width=kit.THIRD,
        ),
    ]


def _time() -> list[kit.Panel]:
    newest = f"max by (job) (timestamp({promql.series('target_info')}))"
    return [
        kit.lines(
            "Export lag",
            "Age of the newest metrics of each service. Processes export every minute, in a local "
            "facility every 5 s. A line that rises has no process left that exports.",
            "s",
            {"{{job}}": f"time() - {newest}"},
            limits=(90, 180),
        ),
        kit.lines(
            "Successful scrapes",
            "Share of the metrics endpoints of hub, Dask, servers and Collector that could be "
            "scraped.",
            "percentunit",
            {"{{job}}": f"avg by (job) ({promql.series('up')})"},
            limits=(1, 0.99),
        ),
    ]


def _collector() -> list[kit.Panel]:
    return [
        kit.lines(
            "CPU",
            "Cores that the Collector uses.",
            "short",
            {"CPU": promql.rate(spelled("otelcol_process_cpu_seconds"))},
            width=kit.THIRD,
        ),
        kit.lines(
            "Memory",
            "Resident memory. At its own limit the Collector refuses data; at its pod's it is "
            "killed.",
            "bytes",
            {"{{instance}}": spelled("otelcol_process_memory_rss(_bytes)?")},
            width=kit.THIRD,
        ),
        kit.lines(
            "Uptime",
            "It drops to 0 at a restart. Data that was accepted before is restored from disk.",
            "s",
            {"{{instance}}": spelled("otelcol_process_uptime(_seconds)?")},
            width=kit.THIRD,
        ),
    ]
