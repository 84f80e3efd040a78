"""What the page asks Prometheus: PromQL, made of the names that we export."""

from __future__ import annotations

from typing import Any

from af_otel_semconv import metrics

_UNITS = {"s": "_seconds"}


def charts() -> list[dict[str, Any]]:
    """Return the charts of lines over time; `none` is shown where there is nothing to draw.

    `$before` stands for how far each point looks back.
    """
    return [
        {
            "title": "Running now",
            "unit": "",
            "none": "No activity in this time range.",
            "whole": True,
            "lines": [
                ["servers", f"sum({_name(metrics.SERVER_ACTIVE)})"],
                ["kernels", f"sum({_name(metrics.KERNEL_ACTIVE)})"],
                ["Dask workers", f"sum({_name(metrics.WORKER_COUNT)})"],
            ],
        },
        _quantiles("Cells", metrics.CELL_DURATION, "No cell ran in this time range."),
        _quantiles("Dask tasks", metrics.TASK_DURATION, "No Dask task ran in this time range."),
        _quantiles("Spawns", metrics.SPAWN_DURATION, "No server was started in this time range."),
    ]


def trainings() -> str:
    """Return the selector of the series of users' trainings."""
    # Counters of steps are not curves.
    return '{__name__=~"user_training_.+",__name__!~"user_training_(epoch|step|logs_total)"}'


def _quantiles(title: str, instrument: metrics.Instrument, none: str) -> dict[str, Any]:
    buckets = f"{_name(instrument)}_bucket"
    # Not rate(): it ignores the first value of a new process, and short sessions have no second.
    grown = f"sum by (le) (({buckets} - {buckets} offset $before) >= 0 or {buckets})"
    return {
        "title": title,
        "about": instrument.description,
        "unit": "s",
        "none": none,
        "lines": [
            ["half take at most", f"histogram_quantile(0.5, {grown})"],
            ["95 % take at most", f"histogram_quantile(0.95, {grown})"],
        ],
    }


def _name(instrument: metrics.Instrument) -> str:
    return instrument.name.replace(".", "_") + _UNITS.get(instrument.unit, "")
