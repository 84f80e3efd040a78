"""Facility overview: how the facility does, and where to look on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import metrics, spans

from af_otel.grafana import kit, promql
from af_otel.grafana.kit import HALF, SIXTH, THIRD

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place


def overview(place: Place) -> Dashboard:
    """How many people are here, whether what they do works, and how fast."""
    return kit.board(
        place,
        "overview",
        "Facility overview",
        "Who is here, whether what they do works, and how fast. Each number leads to more.",
        {
            "Now": [
                kit.number(
                    "Servers",
                    "Users' servers running, as the hub counts them; twice in the five minutes "
                    "after it was started anew.",
                    "short",
                    promql.total(metrics.SERVER_ACTIVE),
                    link=place.link("spawn", "Spawn"),
                    width=SIXTH,
                ),
                kit.number(
                    "Kernels",
                    "Kernels running on all servers. A server that was killed is counted for five "
                    "more minutes.",
                    "short",
                    promql.total(metrics.KERNEL_ACTIVE),
                    link=place.link("kernels", "Kernels and cells"),
                ),
                kit.number(
                    "Dask workers",
                    "Workers of all schedulers that are traced, whatever they do.",
                    "short",
                    promql.total(metrics.WORKER_COUNT),
                    link=place.link("dask", "Dask"),
                ),
                kit.number(
                    "Users of the last day",
                    "People who were active within 24 hours, as the hub counts them.",
                    "short",
                    promql.total("jupyterhub_active_users", 'period="24h"'),
                ),
                kit.number(
                    "Spawns that worked",
                    "Of the spawns in the time shown, those that gave a server or were cancelled "
                    "by their user. Below 99 % look at their reasons.",
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
                    "Of the cells run in the time shown. Users' own mistakes are in it: compare "
                    "with the days before rather than with 100 %.",
                    "percentunit",
                    promql.share(
                        metrics.CELL_DURATION, 'jupyter_cell_status="ok"', over=promql.RANGE
                    ),
                    link=place.link("kernels", "Kernels and cells"),
                ),
            ],
            "Use": [
                kit.lines(
                    "Servers, kernels and workers",
                    "What runs. Workers that stay while kernels go are clusters that nobody shut "
                    "down.",
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
                    "What is asked of the facility: cells run, and Dask tasks done.",
                    "ops",
                    {
                        "cells": f"{promql.count(metrics.CELL_DURATION)} / {promql.SECONDS}",
                        "Dask tasks": f"{promql.count(metrics.TASK_DURATION)} / {promql.SECONDS}",
                    },
                    width=THIRD,
                ),
                kit.lines(
                    "Active users",
                    "People by the period in which the hub last saw them; the day's line follows "
                    "the working day, the month's is the size of the community.",
                    "short",
                    {"{{period}}": promql.total("jupyterhub_active_users", by="period")},
                    width=THIRD,
                ),
            ],
            "Speed": [
                kit.lines(
                    "A server: from the wish to the answer",
                    "What people wait for first. The 95 % line is what they complain of; dashed "
                    "are one and three minutes.",
                    "s",
                    promql.quantiles(metrics.SPAWN_DURATION),
                    limits=(60, 180),
                    width=THIRD,
                ),
                kit.lines(
                    "A cell's wait for its kernel",
                    "From a cell's arrival to its start. Seconds are a kernel that is busy with "
                    "the cell before, or a node that is full.",
                    "s",
                    promql.quantiles(metrics.CELL_QUEUE_DURATION),
                    width=THIRD,
                ),
                kit.lines(
                    "A Dask computation",
                    "From a graph's arrival at the scheduler to its last task.",
                    "s",
                    promql.quantiles(metrics.COMPUTE_DURATION),
                    width=THIRD,
                ),
            ],
            "What failed": [
                kit.lines(
                    "Failed spans per second",
                    "By what they are: `run cell` are users' errors, `spawn server` the "
                    "facility's.",
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
                    "The latest failures",
                    "Spans that failed, newest first. The trace shows what set them off; the "
                    "session, what their user did before.",
                    f'{{ resource.service.namespace =~ "$facility" && status = error '
                    f'&& name != "{spans.QUEUE}" }}',
                    "session.id",
                    "error.type",
                    session=place.url("sessions", session="${__value.raw}"),
                    width=HALF,
                ),
            ],
        },
    )
