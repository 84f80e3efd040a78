"""Dask: how long tasks really take, what workers do, and what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import attributes, metrics, spans

from af_otel.grafana import kit, promql
from af_otel.grafana.variables import choice, text

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

PREFIX = 'dask_task_prefix=~"$prefix"'
TASKS = "dask_task_duration_seconds"
TRANSFERS = "dask_task_transfer_duration_seconds"
WORKER = 'job=~".+/dask-worker"'
WHY = (
    "distributed asks its digest for `quantile(50)` where 0 to 1 is meant, and gets the maximum; "
    "without `crick` in the workers' image it has none at all. "
)


def dask(place: Place) -> Dashboard:
    """Tasks and graphs, workers and their efficiency, transfers and waits."""
    graphs = f'resource.service.namespace =~ "$facility" && {kit.ended(spans.COMPUTE_GRAPH)}'
    session = place.url("sessions", session="${__value.raw}")
    return kit.board(
        place,
        "dask",
        "Dask",
        "All schedulers together: what tasks cost, whether workers are used, what waits.",
        {
            "Tasks": _tasks(),
            "Workers": _workers(),
            "Waits and transfers": _waits(),
            "Dask's own medians, which are none": _medians(),
            "Which": [
                kit.spans(
                    "Computations that failed",
                    "The trace has the tasks that failed first, by prefix, and on which worker.",
                    f"{{ {graphs} && status = error }}",
                    attributes.SESSION_ID,
                    attributes.ERROR_TYPE,
                    attributes.GRAPH_TASKS,
                    attributes.GRAPH_TASKS_ERRED,
                    session=session,
                ),
                kit.spans(
                    "Computations that took longer than chosen",
                    "The trace shows each prefix and each worker's share as a bar.",
                    f"{{ {graphs} && duration > $slower }}",
                    attributes.SESSION_ID,
                    attributes.GRAPH_TASKS,
                    session=session,
                ),
            ],
        },
        [
            choice(
                "prefix",
                "Task prefix",
                f"{TASKS}_count",
                "dask_task_prefix",
                "What Dask calls tasks that are alike; `other` beyond the first fifty",
            ),
            text("slower", "Slower than", "100ms", "Computations in the table took longer"),
        ],
    )


def _tasks() -> list[kit.Panel]:
    done = promql.share(metrics.TASK_DURATION, 'dask_task_outcome="ok"')
    return [
        kit.lines(
            "Tasks per second",
            "Done or failed, by prefix. Thousands of tasks of milliseconds each are work for the "
            "scheduler only: larger partitions help.",
            "ops",
            {
                "{{dask_task_prefix}}": promql.per_second(
                    f"{TASKS}_count", PREFIX, by="dask_task_prefix"
                )
            },
            stacked=True,
        ),
        kit.lines(
            "A task's duration",
            "True quantiles: every task of every worker is counted once.",
            "s",
            promql.quantiles(metrics.TASK_DURATION, PREFIX),
        ),
        kit.lines(
            "By prefix: 95 % are faster",
            "The prefix at the top is where an analysis waits.",
            "s",
            {
                "{{dask_task_prefix}}": promql.quantile(
                    0.95, metrics.TASK_DURATION, PREFIX, by="dask_task_prefix"
                )
            },
        ),
        kit.lines(
            "Tasks that failed",
            "Of the tasks within five minutes. A task that is tried again is counted each time.",
            "percentunit",
            {"failed": f"1 - {done}"},
            limits=(0.01, 0.1),
        ),
        kit.lines(
            "A computation's duration",
            "From a graph's arrival at the scheduler to its last task.",
            "s",
            promql.quantiles(metrics.COMPUTE_DURATION),
        ),
        kit.lines(
            "Tasks of a graph",
            "Half of the graphs are smaller, and 95 %. Above 100,000 the scheduler takes minutes "
            "to take one in.",
            "short",
            {
                "half are smaller": promql.quantile(0.5, metrics.COMPUTE_TASKS),
                "95 % are smaller": promql.quantile(0.95, metrics.COMPUTE_TASKS),
            },
        ),
    ]


def _workers() -> list[kit.Panel]:
    cpu = promql.rate(promql.series("process_cpu_seconds_total", WORKER))
    return [
        kit.lines(
            "Workers",
            "By what they do. `paused` are out of memory; many `idle` ones are paid for by others.",
            "short",
            {"{{dask_worker_state}}": promql.total(metrics.WORKER_COUNT, by="dask_worker_state")},
            stacked=True,
            width=kit.THIRD,
        ),
        kit.lines(
            "Workers lost within five minutes",
            "Left without being asked to: killed for their memory, preempted, or cut off. Their "
            "tasks are done again.",
            "short",
            {"lost": f"{promql.grown('dask_worker_lost_total')} or vector(0)"},
            limits=(1, 10),
            width=kit.THIRD,
        ),
        kit.lines(
            "CPU efficiency",
            "CPU that the workers used for each second in which a task ran. Near 100 % they "
            "compute; 20 % is a wait for storage; above 100 % tasks use threads of their own, or "
            "are so short that Dask's own work shows.",
            "percentunit",
            {"CPU of tasks' time": f"{cpu} / ({promql.per_second(f'{TASKS}_sum')} > 0)"},
            width=kit.THIRD,
        ),
        kit.lines(
            "Memory of workers",
            "`managed` are results that Dask holds, `unmanaged` everything else in the process, "
            "`spilled` is on disk. Unmanaged that only grows is a leak.",
            "bytes",
            {"{{type}}": promql.total("dask_worker_memory_bytes", by="type")},
            stacked=True,
            width=kit.THIRD,
        ),
        kit.lines(
            "Busy threads",
            "Tasks that run, of the threads there are; a gap while tasks wait is a graph without "
            "enough parallel work.",
            "short",
            {
                "threads": promql.total("dask_worker_threads"),
                # Idle workers tell no such series.
                "running": promql.total("dask_worker_tasks", 'state="executing"')
                + f" or 0 * {promql.total('dask_worker_threads')}",
                "wanted": promql.total("dask_scheduler_desired_workers"),
            },
            width=kit.THIRD,
        ),
        kit.lines(
            "Workers that came and went",
            "As the scheduler counts them, those that were asked to leave included.",
            "short",
            {
                "came": promql.total("dask_scheduler_workers_added_total"),
                "went": promql.total("dask_scheduler_workers_removed_total"),
            },
            width=kit.THIRD,
        ),
    ]


def _waits() -> list[kit.Panel]:
    return [
        kit.lines(
            "Tasks by state",
            "`waiting` are for other tasks, `queued` for a thread, `no-worker` for a worker that "
            "fits; `processing` are on a worker, `memory` are results somebody still wants.",
            "short",
            {"{{state}}": promql.total("dask_scheduler_tasks", by="state")},
            stacked=True,
            width=kit.THIRD,
        ),
        kit.lines(
            "Tasks' wait for their inputs",
            "How long a task whose inputs are on other workers waits for them. Near the tasks' own "
            "duration the network is what computes.",
            "s",
            promql.quantiles(metrics.TASK_TRANSFER_DURATION, PREFIX),
            width=kit.THIRD,
        ),
        kit.lines(
            "Between workers",
            "What workers sent each other per second.",
            "Bps",
            {"sent": promql.rate(promql.series("dask_worker_transfer_outgoing_bytes_total"))},
            width=kit.THIRD,
        ),
        kit.lines(
            "The scheduler's longest pause",
            "Of its event loop, since it was last asked. Seconds are a graph being taken in, and "
            "nothing else moves meanwhile.",
            "s",
            {
                "scheduler": promql.most("dask_scheduler_tick_duration_maximum_seconds"),
                "slowest worker": promql.most("dask_worker_tick_duration_maximum_seconds"),
            },
            limits=(1, 3),
            width=kit.THIRD,
        ),
        kit.lines(
            "Latency of workers",
            "A worker's way to the scheduler and back, the slowest and the mean.",
            "s",
            {
                "slowest": promql.most("dask_worker_latency_seconds"),
                "mean": f"avg ({promql.series('dask_worker_latency_seconds')})",
            },
            width=kit.THIRD,
        ),
        kit.lines(
            "Results in memory",
            "What the scheduler keeps for somebody, by prefix.",
            "bytes",
            {
                "{{task_prefix_name}}": promql.total(
                    "dask_scheduler_tasks_output_bytes", by="task_prefix_name"
                )
            },
            stacked=True,
            width=kit.THIRD,
        ),
    ]


def _medians() -> list[kit.Panel]:
    sent = promql.rate(promql.series("dask_worker_transfer_outgoing_bytes_total"))
    waited = promql.per_second(f"{TRANSFERS}_sum")
    return [
        kit.lines(
            "`dask_worker_task_duration_median_seconds`",
            f"No median: {WHY}One task of three seconds among 400 of 10 ms shows as three seconds.",
            "s",
            {"{{instance}}": promql.series("dask_worker_task_duration_median_seconds")},
        ),
        kit.lines(
            "The median of tasks' durations",
            "Its true counterpart, from our histogram: half of all tasks are faster.",
            "s",
            {"median": promql.quantile(0.5, metrics.TASK_DURATION)},
        ),
        kit.lines(
            "`dask_worker_transfer_bandwidth_median_bytes`",
            f"No median: {WHY}This is each worker's fastest transfer.",
            "Bps",
            {"{{instance}}": promql.series("dask_worker_transfer_bandwidth_median_bytes")},
        ),
        kit.lines(
            "Bandwidth that tasks have seen",
            "Its true counterpart: bytes that workers sent for each second in which tasks waited "
            "for them.",
            "Bps",
            {"mean": f"{sent} / ({waited} > 0)"},
        ),
    ]
