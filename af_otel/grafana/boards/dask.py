"""Dask: how long tasks take, what workers do, and what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import attributes, metrics, spans

from af_otel.grafana import kit, promql
from af_otel.grafana.search import Spans
from af_otel.grafana.variables import choice, scheduler, slower

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

PREFIX = 'dask_task_prefix=~"$prefix"'
TASKS = "dask_task_duration_seconds"
TRANSFERS = "dask_task_transfer_duration_seconds"
WORKER = 'job=~".+/dask-worker"'
WHY = (
    "distributed queries its digest for `quantile(50)`, which expects 0 to 1, and so gets the "
    "maximum. Without `crick` in the workers' image there is no digest. "
)


def dask(place: Place) -> Dashboard:
    """Return the dashboard of tasks and graphs, workers, transfers and waits."""
    return kit.board(
        place,
        "dask",
        "Dask",
        "All schedulers together: how long tasks take, how busy workers are, and what waits.",
        {
            "Tasks": _tasks(),
            "Workers": _workers(),
            "Waits and transfers": _waits(),
            "Dask's own medians, which are maxima": _medians(),
            "Computations to look at": [
                kit.spans(
                    place,
                    "Failed computations",
                    "The trace shows the first tasks that failed, by prefix and worker.",
                    Spans(spans.COMPUTE_GRAPH, failed=True),
                    attributes.SESSION_ID,
                    attributes.ERROR_TYPE,
                    attributes.GRAPH_TASKS,
                    attributes.GRAPH_TASKS_ERRED,
                ),
                kit.spans(
                    place,
                    "Slow computations",
                    "The trace shows a bar for each prefix and for each worker's share.",
                    Spans(spans.COMPUTE_GRAPH, slower="$slower"),
                    attributes.SESSION_ID,
                    attributes.GRAPH_TASKS,
                ),
            ],
        },
        [
            choice(
                "prefix",
                "Task prefix",
                f"{TASKS}_count",
                "dask_task_prefix",
                "Dask's name for tasks of one kind; `other` beyond the first fifty",
            ),
            *slower(place, "100ms", "computations"),
            *scheduler(place),
        ],
    )


def _tasks() -> list[kit.Panel]:
    done = promql.share(metrics.TASK_DURATION, 'dask_task_outcome="ok"')
    return [
        kit.lines(
            "Tasks per second",
            "Finished or failed, by prefix. Thousands of tasks of milliseconds keep just the "
            "scheduler busy: use larger partitions.",
            "ops",
            {
                "{{dask_task_prefix}}": promql.per_second(
                    f"{TASKS}_count", PREFIX, by="dask_task_prefix"
                )
            },
            stacked=True,
        ),
        kit.lines(
            "Duration of tasks",
            "Quantiles over every task of every worker.",
            "s",
            promql.quantiles(metrics.TASK_DURATION, PREFIX),
        ),
        kit.lines(
            "Duration by prefix: 95th percentile",
            "The topmost prefix is where an analysis spends its time.",
            "s",
            {
                "{{dask_task_prefix}}": promql.quantile(
                    0.95, metrics.TASK_DURATION, PREFIX, by="dask_task_prefix"
                )
            },
        ),
        kit.lines(
            "Failed tasks",
            "Share of tasks within five minutes. A retried task is counted each time.",
            "percentunit",
            {"failed": f"1 - {done}"},
            limits=(0.01, 0.1),
        ),
        kit.lines(
            "Duration of computations",
            "From a graph's arrival at the scheduler to its last task.",
            "s",
            promql.quantiles(metrics.COMPUTE_DURATION),
        ),
        kit.lines(
            "Tasks per graph",
            "Median and 95th percentile. Above 100,000 tasks, the scheduler needs minutes to "
            "accept a graph.",
            "short",
            {
                "median": promql.quantile(0.5, metrics.COMPUTE_TASKS),
                "95th percentile": promql.quantile(0.95, metrics.COMPUTE_TASKS),
            },
        ),
    ]


def _workers() -> list[kit.Panel]:
    cpu = promql.rate(promql.series("process_cpu_seconds_total", WORKER))
    return [
        kit.lines(
            "Workers",
            "By state. `paused` workers are out of memory; `idle` ones hold resources that nothing "
            "uses.",
            "short",
            {"{{dask_worker_state}}": promql.total(metrics.WORKER_COUNT, by="dask_worker_state")},
            stacked=True,
            width=kit.THIRD,
        ),
        kit.lines(
            "Workers lost within five minutes",
            "Workers that were killed for their memory, preempted, or lost their connection. Their "
            "tasks run again.",
            "short",
            {"lost": f"{promql.grown('dask_worker_lost_total')} or vector(0)"},
            limits=(1, 10),
            width=kit.THIRD,
        ),
        kit.lines(
            "CPU efficiency",
            "CPU seconds of workers per second of running tasks. Near 100 %: they compute. 20 %: "
            "they wait for storage. Above 100 %: tasks start threads, or are so short that Dask's "
            "overhead counts.",
            "percentunit",
            {"CPU per task time": f"{cpu} / ({promql.per_second(f'{TASKS}_sum')} > 0)"},
            width=kit.THIRD,
        ),
        kit.lines(
            "Memory of workers",
            "`managed` are results that Dask keeps, `unmanaged` everything else in the process, "
            "`spilled` is on disk. Unmanaged memory that only grows is a leak.",
            "bytes",
            {"{{type}}": promql.total("dask_worker_memory_bytes", by="type")},
            stacked=True,
            width=kit.THIRD,
        ),
        kit.lines(
            "Busy threads",
            "Running tasks compared with threads. A gap while tasks wait means a graph with too "
            "little parallelism.",
            "short",
            {
                "threads": promql.total("dask_worker_threads"),
                # Idle workers do not export this series.
                "running": promql.total("dask_worker_tasks", 'state="executing"')
                + f" or 0 * {promql.total('dask_worker_threads')}",
                "wanted": promql.total("dask_scheduler_desired_workers"),
            },
            width=kit.THIRD,
        ),
        kit.lines(
            "Workers that joined and left",
            "As the scheduler counts them, including those that it asked to leave.",
            "short",
            {
                "joined": promql.total("dask_scheduler_workers_added_total"),
                "left": promql.total("dask_scheduler_workers_removed_total"),
            },
            width=kit.THIRD,
        ),
    ]


def _waits() -> list[kit.Panel]:
    return [
        kit.lines(
            "Tasks by state",
            "`waiting` for other tasks, `queued` for a thread, `no-worker` for a suitable worker, "
            "`processing` on a worker, `memory`: results that are still needed.",
            "short",
            {"{{state}}": promql.total("dask_scheduler_tasks", by="state")},
            stacked=True,
            width=kit.THIRD,
        ),
        kit.lines(
            "Time that tasks wait for inputs",
            "Of tasks whose inputs are on other workers. If it is close to the tasks' duration, "
            "the network is the bottleneck.",
            "s",
            promql.quantiles(metrics.TASK_TRANSFER_DURATION, PREFIX),
            width=kit.THIRD,
        ),
        kit.lines(
            "Transfers between workers",
            "Bytes that workers sent each other per second.",
            "Bps",
            {"sent": promql.rate(promql.series("dask_worker_transfer_outgoing_bytes_total"))},
            width=kit.THIRD,
        ),
        kit.lines(
            "Longest pause of the event loop",
            "Since the last scrape. Seconds mean that the scheduler is accepting a graph, and does "
            "nothing else meanwhile.",
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
            "Round trip between worker and scheduler: the slowest worker and the mean.",
            "s",
            {
                "slowest": promql.most("dask_worker_latency_seconds"),
                "mean": f"avg ({promql.series('dask_worker_latency_seconds')})",
            },
            width=kit.THIRD,
        ),
        kit.lines(
            "Results in memory",
            "Results that the scheduler keeps for clients or other tasks, by prefix.",
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
            f"Not a median: {WHY}One task of 3 s among 400 of 10 ms shows as 3 s.",
            "s",
            {"{{instance}}": promql.series("dask_worker_task_duration_median_seconds")},
        ),
        kit.lines(
            "Median duration of tasks",
            "The actual median, from af-otel's histogram.",
            "s",
            {"median": promql.quantile(0.5, metrics.TASK_DURATION)},
        ),
        kit.lines(
            "`dask_worker_transfer_bandwidth_median_bytes`",
            f"Not a median: {WHY}This is each worker's fastest transfer.",
            "Bps",
            {"{{instance}}": promql.series("dask_worker_transfer_bandwidth_median_bytes")},
        ),
        kit.lines(
            "Mean bandwidth of transfers",
            "The actual bandwidth: bytes that workers sent per second of waiting for inputs.",
            "Bps",
            {"mean": f"{sent} / ({waited} > 0)"},
        ),
    ]
