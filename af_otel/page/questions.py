"""What the page asks: TraceQL and PromQL, made of the names that we export."""

from __future__ import annotations

from typing import Any

from af_otel_semconv import attributes, metrics, spans

_UNITS = {"s": "_seconds"}
_ENDINGS = "died|aborted|interrupted"


def searches() -> dict[str, str]:
    """Traces that sessions are known by; the newest first, should there be too many."""
    session = f'span.{attributes.SESSION_ID} != ""'
    failed = f'(status = error || span.{attributes.CELL_STATUS} =~ "{_ENDINGS}")'
    more = ", ".join(
        f"span.{name}"
        for name in (
            attributes.SESSION_ID,
            attributes.USER_HASH,
            attributes.SPAWN_OUTCOME,
            attributes.PENDING,
        )
    )
    return {
        what: f"{{ {session} && {condition} }} | select({more}) with (most_recent=true)"
        for what, condition in (
            ("spawns", f'name = "{spans.SPAWN_SERVER}"'),
            # One that is open is there as its marker: each cell is a trace, however many fit.
            ("cells", f'name = "{spans.EXECUTE_CELL}"'),
            ("errors", failed),
        )
    }


def names() -> dict[str, str]:
    """The attributes that a search selects."""
    return {
        "session": attributes.SESSION_ID,
        "user": attributes.USER_HASH,
        "outcome": attributes.SPAWN_OUTCOME,
        "pending": attributes.PENDING,
    }


def charts() -> list[dict[str, Any]]:
    """Lines over time; `none` is said where there is nothing to draw.

    `$before` is how far each point looks back.
    """
    return [
        {
            "title": "Running now",
            "unit": "",
            "none": "Nothing has run in this time.",
            "whole": True,
            "lines": [
                ["servers", f"sum({_name(metrics.SERVER_ACTIVE)})"],
                ["kernels", f"sum({_name(metrics.KERNEL_ACTIVE)})"],
                ["Dask workers", f"sum({_name(metrics.WORKER_COUNT)})"],
            ],
        },
        _quantiles("Cells", metrics.CELL_DURATION, "No cell has run in this time."),
        _quantiles("Dask tasks", metrics.TASK_DURATION, "No Dask task has run in this time."),
        _quantiles("Spawns", metrics.SPAWN_DURATION, "No server was started in this time."),
    ]


def trainings() -> str:
    """The series of users' trainings."""
    # Counters of steps are no curve; how often `log` was called is nobody's question here.
    return '{__name__=~"user_training_.+",__name__!~"user_training_(epoch|step|logs_total)"}'


def _quantiles(title: str, instrument: metrics.Instrument, none: str) -> dict[str, Any]:
    buckets = f"{_name(instrument)}_bucket"
    # Not rate(): of a process that is new, its first value would not count, and short sessions
    # have no second one.
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
