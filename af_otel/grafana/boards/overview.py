"""Facility overview: how the facility is doing, and where to look next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import attributes, metrics, spans

from af_otel.grafana import kit, promql
from af_otel.grafana.kit import HALF, SIXTH, THIRD
from af_otel.grafana.search import Spans
from af_otel.grafana.variables import service

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place


def overview(place: Place) -> Dashboard:
    """Return the dashboard of how many people work, how fast, and what fails."""
    return kit.board(
        place,
        "overview",
        "Facility overview",
        "How many people work, how fast, and what fails. Each number links to its details.",
        {
            "Now": [
                kit.number(
                    "Servers",
                    "Users' servers that run, as the hub counts them. They count twice for five "
                    "minutes after the hub restarts.",
                    "short",
                    promql.total(metrics.SERVER_ACTIVE),
                    link=place.link("spawn", "Spawn"),
                    width=SIXTH,
                ),
                kit.number(
                    "Kernels",
                    "Kernels that run on all servers. Those of a killed server count for five "
                    "more minutes.",
                    "short",
                    promql.total(metrics.KERNEL_ACTIVE),
                    link=place.link("kernels", "Kernels and cells"),
                ),
                kit.number(
                    "Dask workers",
                    "Workers of all schedulers that are traced, busy or idle.",
                    "short",
                    promql.total(metrics.WORKER_COUNT),
                    link=place.link("dask", "Dask"),
                ),
                kit.number(
                    "Daily active users",
                    "Users who were active within 24 hours, as the hub counts them.",
                    "short",
                    promql.total("jupyterhub_active_users", 'period="24h"'),
                ),
                kit.number(
                    "Successful spawns",
                    "Share of spawns in the time range that started a server or were cancelled by "
                    "the user. Below 99 %, look at the reasons.",
                    "percentunit",
                    promql.share(
                        metrics.SPAWN_DURATION,
                        'jupyterhub_spawn_outcome=~"ok|cancelled"',
                        over=promql.RANGE,
                    ),
                    limits=(0.99, 0.95),
                    link=place.link("spawn", "Spawn"),
                ),
                kit.number(
                    "Cells without an error",
                    "Share of cells in the time range. It includes users' own mistakes: compare "
                    "it with earlier days rather than with 100 %.",
                    "percentunit",
                    promql.share(
                        metrics.CELL_DURATION, 'jupyter_cell_status="ok"', over=promql.RANGE
                    ),
                    link=place.link("kernels", "Kernels and cells"),
                ),
            ],
            "Usage": [
                kit.lines(
                    "Servers, kernels and workers",
                    "What runs. Workers that remain while kernels disappear belong to clusters "
                    "that were not shut down.",
                    "short",
                    {
                        "servers": promql.total(metrics.SERVER_ACTIVE),
                        "kernels": promql.total(metrics.KERNEL_ACTIVE),
                        "Dask workers": promql.total(metrics.WORKER_COUNT),
                    },
                    width=THIRD,
                ),
                kit.lines(
                    "Cells and tasks per second",
                    "The load: cells that ran, and Dask tasks that finished.",
                    "ops",
                    {
                        "cells": f"{promql.count(metrics.CELL_DURATION)} / {promql.SECONDS}",
                        "Dask tasks": f"{promql.count(metrics.TASK_DURATION)} / {promql.SECONDS}",
                    },
                    width=THIRD,
                ),
                kit.lines(
                    "Active users",
                    "Users by the period in which the hub last saw them. The monthly line is the "
                    "size of the community.",
                    "short",
                    {"{{period}}": promql.total("jupyterhub_active_users", by="period")},
                    width=THIRD,
                ),
            ],
            "Speed": [
                kit.lines(
                    "Time to start a server",
                    "The first thing that users wait for. The dashed lines are one and three "
                    "minutes.",
                    "s",
                    promql.quantiles(metrics.SPAWN_DURATION),
                    limits=(60, 180),
                    width=THIRD,
                ),
                kit.lines(
                    "Queueing time of cells",
                    "From a cell's arrival to its start. Seconds mean that the kernel is busy with "
                    "the previous cell, or that the node is full.",
                    "s",
                    promql.quantiles(metrics.CELL_QUEUE_DURATION),
                    width=THIRD,
                ),
                kit.lines(
                    "Duration of Dask computations",
                    "From a graph's arrival at the scheduler to its last task.",
                    "s",
                    promql.quantiles(metrics.COMPUTE_DURATION),
                    width=THIRD,
                ),
            ],
            "Failures": [
                kit.lines(
                    "Failed spans per second",
                    "By span name: `run cell` are errors of users, `spawn server` those of the "
                    "facility.",
                    "ops",
                    {
                        "{{span_name}}": promql.per_second(
                            f"{promql.SPANS}_calls_total",
                            'status_code="STATUS_CODE_ERROR"',
                            by="span_name",
                        )
                    },
                    width=HALF,
                ),
                kit.spans(
                    place,
                    "Latest failures",
                    "Spans that failed, newest first. The trace shows what led to the failure.",
                    Spans(failed=True, except_name=spans.QUEUE),
                    attributes.SESSION_ID,
                    attributes.ERROR_TYPE,
                    width=HALF,
                ),
            ],
        },
        service(place),
    )
