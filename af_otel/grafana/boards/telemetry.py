"""Telemetry health: whether what the other dashboards show is all there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.grafana import kit, promql
from af_otel.grafana.promql import spelled

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

# What comes back from the journal on disk was received already.
SENDERS = 'receiver!~"otlp/loopback.*|prometheus.*"'
SIGNALS = {"spans": "spans", "points": "metric_points"}


def telemetry(place: Place) -> Dashboard:
    """What arrives, what is refused, dropped or late, and what the Collector needs for it."""
    return kit.board(
        place,
        "telemetry",
        "Telemetry health",
        "Whether telemetry arrives, completely and in time. Where this is red, believe no other "
        "dashboard.",
        {"In and out": _flow(), "In time": _time(), "The Collector": _collector()},
    )


def _each(metric: str, *where: str, by: str = "") -> dict[str, str]:
    legend = f" {{{{{by}}}}}" if by else ""
    return {
        f"{name}{legend}": promql.rate(spelled(f"otelcol_{metric}_{signal}", *where), by)
        for name, signal in SIGNALS.items()
    }


def _failures(metric: str) -> str:
    """Of spans and of points; the signal tells apart what is else labelled alike."""
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
            "Spans, and points of metrics, that processes sent to the Collector and it took.",
            "ops",
            _each("receiver_accepted", SENDERS),
            width=kit.THIRD,
        ),
        kit.lines(
            "Refused per second",
            "Over its memory limit, or with a full journal, the Collector says no; senders keep "
            "what they can and drop the rest. Anything but 0 is worth a look.",
            "ops",
            _each("receiver_refused", SENDERS),
            limits=(0.001, 1),
            width=kit.THIRD,
        ),
        kit.lines(
            "Dropped per second",
            "For a queue that was full, or as the destination would never take it. This is lost.",
            "ops",
            {
                "{{exporter}} {{signal}}: queue full": _failures("exporter_enqueue_failed"),
                "{{exporter}} {{signal}}: not taken": _failures("exporter_send_failed"),
            },
            limits=(0.001, 1),
            width=kit.THIRD,
        ),
        kit.lines(
            "Sent per second",
            "By exporter. Less than received are traces that were not kept; more is the journal "
            "on disk.",
            "ops",
            _each("exporter_sent", by="exporter"),
            width=kit.THIRD,
        ),
        kit.lines(
            "Queues",
            "How full each exporter's queue is. One that only grows has a destination that is "
            "away; full, it drops.",
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
            "Traces decided on per second",
            "`true` are kept: failed, slow, spawns and a share of the rest. Span metrics count "
            "them all.",
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
            "How old the newest numbers of each kind of process are. Processes export every "
            "minute, and every 5 s on one machine; a line that climbs has nobody left who sends.",
            "s",
            {"{{job}}": f"time() - {newest}"},
            limits=(90, 180),
        ),
        kit.lines(
            "Pages that are scraped",
            "1 where the hub's, Dask's, servers' and the Collector's own pages could be read. "
            "Below 1 some could not.",
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
            "Resident. Its own limit makes it refuse; its pod's would kill it.",
            "bytes",
            {"{{instance}}": promql.series("otelcol_process_memory_rss")},
            width=kit.THIRD,
        ),
        kit.lines(
            "Uptime",
            "A line that falls to 0 is a restart. What it had accepted comes back from disk.",
            "s",
            {"{{instance}}": spelled("otelcol_process_uptime(_seconds)?")},
            width=kit.THIRD,
        ),
    ]
