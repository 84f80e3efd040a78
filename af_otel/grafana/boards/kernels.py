"""Kernels and cells: what runs, how long it waits, and what breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import attributes, metrics, spans

from af_otel.grafana import kit, promql
from af_otel.grafana.variables import choice, text

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

CELLS = "jupyter_cell_duration_seconds"
KIND = 'jupyter_kernel_name=~"$kernel"'


def kernels(place: Place) -> Dashboard:
    """Kernels by their name, cells by their status, and both by their time."""
    cells = f'resource.service.namespace =~ "$facility" && {kit.ended(spans.RUN_CELL)}'
    last = promql.series("jupyter_server_last_activity_timestamp_seconds")
    session = place.url("sessions", session="${__value.raw}")
    return kit.board(
        place,
        "kernels",
        "Kernels and cells",
        "What users run: how many kernels, how long cells wait and run, and what fails.",
        {
            "Kernels": [
                kit.lines(
                    "Kernels running",
                    "By the kernel's name. A server that was killed is counted for five more "
                    "minutes.",
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
                    "A kernel's start",
                    "From the wish for it to its process; seconds are slow home directories or "
                    "environments.",
                    "s",
                    promql.quantiles(metrics.KERNEL_START_DURATION, KIND),
                    limits=(5, 20),
                    width=kit.THIRD,
                ),
                kit.lines(
                    "Kernels that died within five minutes",
                    "`killed` is mostly the kernel's memory limit, `crashed` a library, `exited` "
                    "the user's own `exit()`.",
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
                    "By how they ended. `aborted` are those behind one that failed, `died` those "
                    "whose kernel did.",
                    "short",
                    {
                        "{{jupyter_cell_status}}": promql.count(
                            metrics.CELL_DURATION, by="jupyter_cell_status"
                        )
                    },
                    stacked=True,
                ),
                kit.lines(
                    "A cell's wait",
                    "From its arrival at the server to its start in the kernel. `Run all` makes "
                    "cells wait for each other; half a second for half of them does not come from "
                    "that.",
                    "s",
                    promql.quantiles(metrics.CELL_QUEUE_DURATION),
                ),
                kit.lines(
                    "A cell's run",
                    "True quantiles, in the kernel. What Dask did for it is part of it.",
                    "s",
                    promql.quantiles(metrics.CELL_DURATION),
                ),
                kit.heat(
                    "All of them",
                    "Each column is five minutes, darker are more cells: most take milliseconds, "
                    "an analysis is the dark band above.",
                    "s",
                    promql.grown(f"{CELLS}_bucket", by="le"),
                ),
            ],
            "Which": [
                kit.spans(
                    "Cells that failed",
                    "With the exception's class; what they did before and after is in the session.",
                    f"{{ {cells} && status = error }}",
                    attributes.SESSION_ID,
                    attributes.ERROR_TYPE,
                    session=session,
                ),
                kit.spans(
                    "Cells that took longer than chosen",
                    "The trace says what of it was Dask, and which tasks.",
                    f"{{ {cells} && duration > $slower }}",
                    attributes.SESSION_ID,
                    attributes.CELL_EXECUTION_COUNT,
                    session=session,
                ),
            ],
            "What servers say themselves": [
                kit.lines(
                    "Kernels and terminals",
                    "`kernel_currently_running_total` and its sibling, of the users' servers that "
                    "are scraped.",
                    "short",
                    {
                        "kernels": promql.total("kernel_currently_running_total"),
                        "terminals": promql.total("terminal_currently_running_total"),
                    },
                ),
                kit.bars(
                    "Idle for",
                    "Since a server last saw its user do something, the ten longest. What is "
                    "idle for days is not culled.",
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
                "The kernel's name as users choose it",
            ),
            text("slower", "Slower than", "1s", "Cells in the table took longer than this"),
        ],
    )
