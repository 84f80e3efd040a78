"""Kernels and cells: what runs, how long it waits, and what fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import attributes, metrics, spans

from af_otel.grafana import kit, promql
from af_otel.grafana.search import Spans
from af_otel.grafana.variables import choice, slower

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

CELLS = "jupyter_cell_duration_seconds"
KIND = 'jupyter_kernel_name=~"$kernel"'


def kernels(place: Place) -> Dashboard:
    """Return the dashboard of kernels by name and cells by status."""
    last = promql.series("jupyter_server_last_activity_timestamp_seconds")
    return kit.board(
        place,
        "kernels",
        "Kernels and cells",
        "What users run: how many kernels, how long cells wait and run, and what fails.",
        {
            "Kernels": [
                kit.lines(
                    "Kernels running",
                    "By kernel name. Those of a killed server count for five more minutes.",
                    "short",
                    {
                        "{{jupyter_kernel_name}}": promql.total(
                            metrics.KERNEL_ACTIVE, KIND, by="jupyter_kernel_name"
                        )
                    },
                    stacked=True,
                    width=kit.THIRD,
                ),
                kit.lines(
                    "Time to start a kernel",
                    "From the request until the process runs. Seconds mean slow home directories "
                    "or environments.",
                    "s",
                    promql.quantiles(metrics.KERNEL_START_DURATION, KIND),
                    limits=(5, 20),
                    width=kit.THIRD,
                ),
                kit.lines(
                    "Kernels that died within five minutes",
                    "`killed` is mostly the memory limit, `crashed` a library, `exited` a call of "
                    "`exit()`.",
                    "short",
                    {
                        "{{jupyter_kernel_death_reason}}": promql.grown(
                            "jupyter_kernel_death_total", by="jupyter_kernel_death_reason"
                        )
                        + " or vector(0)"
                    },
                    width=kit.THIRD,
                ),
            ],
            "Cells": [
                kit.lines(
                    "Cells within five minutes",
                    "By status. `aborted`: a cell before it failed. `died`: the kernel died.",
                    "short",
                    {
                        "{{jupyter_cell_status}}": promql.count(
                            metrics.CELL_DURATION, by="jupyter_cell_status"
                        )
                    },
                    stacked=True,
                ),
                kit.lines(
                    "Queueing time of cells",
                    "From a cell's arrival at the server to its start in the kernel. With `Run "
                    "all`, cells wait for each other; a median of half a second has other "
                    "reasons.",
                    "s",
                    promql.quantiles(metrics.CELL_QUEUE_DURATION),
                ),
                kit.lines(
                    "Run time of cells",
                    "Quantiles over all cells, measured in the kernel, including Dask work that a "
                    "cell waits for.",
                    "s",
                    promql.quantiles(metrics.CELL_DURATION),
                ),
                kit.heat(
                    "Distribution of run times",
                    "Each column is five minutes; darker means more cells. Most take "
                    "milliseconds; an analysis is the dark band above.",
                    "s",
                    promql.grown(f"{CELLS}_bucket", by="le"),
                ),
            ],
            "Cells to look at": [
                kit.spans(
                    place,
                    "Failed cells",
                    "Cells that raised an exception. The session shows what ran before and after.",
                    Spans(spans.RUN_CELL, failed=True),
                    attributes.SESSION_ID,
                    attributes.ERROR_TYPE,
                ),
                kit.spans(
                    place,
                    "Slow cells",
                    "The trace shows how much of the time was spent in Dask, and in which tasks.",
                    Spans(spans.RUN_CELL, slower="$slower"),
                    attributes.SESSION_ID,
                    attributes.CELL_EXECUTION_COUNT,
                ),
            ],
            "The servers' own metrics": [
                kit.lines(
                    "Kernels and terminals",
                    "`kernel_currently_running_total` and `terminal_currently_running_total` of "
                    "the users' servers that are scraped.",
                    "short",
                    {
                        "kernels": promql.total("kernel_currently_running_total"),
                        "terminals": promql.total("terminal_currently_running_total"),
                    },
                ),
                kit.bars(
                    "Longest idle servers",
                    "Time since the last activity, for the ten longest. A server that is idle for "
                    "days is not being culled.",
                    "s",
                    {"{{instance}}": f"topk (10, time() - {last})"},
                    limits=(86400, 604800),
                ),
            ],
        },
        [
            choice(
                "kernel",
                "Kernel",
                "jupyter_kernel_active",
                "jupyter_kernel_name",
                "The name of the kernel",
            ),
            *slower(place, "1s", "cells"),
        ],
    )
