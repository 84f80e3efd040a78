"""Sessions explorer: from all sessions to one, and between its traces and the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import attributes, spans

from af_otel.grafana import kit, promql
from af_otel.grafana.search import Spans
from af_otel.grafana.variables import scheduler, service, text

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place
    from af_otel.grafana.variables import Variable

# Every table has these columns: failures are what makes a trace interesting.
COLUMNS = (attributes.SESSION_ID, attributes.ERROR_TYPE)
ABOUT = {
    "tempo": "Click a session's id to show that session, or a trace's id to open the trace. `Such "
    "spans` on a span of a trace leads back to the metrics.",
    "jaeger": "Click a trace's id to open the trace. To show its session, copy `session.id` of one "
    "of its spans into the variable. `Such spans` on a span leads back to the metrics.",
    None: "How long spans take, and how many there are. Without a trace store that Grafana can "
    "search, sessions are not listed.",
}


def sessions(place: Place) -> Dashboard:
    """Return the dashboard that lists sessions and shows everything in one of them."""
    return kit.board(
        place,
        "sessions",
        "Sessions explorer",
        ABOUT[place.traces],
        {
            "Sessions": _lists(place),
            "This session": _one(place),
            "From metrics to traces": _metrics(),
        },
        [*_session(place), *service(place), *scheduler(place)],
    )


def _session(place: Place) -> list[Variable]:
    if place.traces is None:
        return []
    if place.traces == "jaeger":
        return [text("session", "Session", "", "The `session.id` of a trace's spans")]
    about = "A `session.id`; `.+` is every session. Click one in a table to enter it here."
    return [text("session", "Session", ".+", about)]


def _lists(place: Place) -> list[kit.Panel | None]:
    return [
        kit.spans(
            place,
            "Sessions by their spawn",
            "One row per server that was requested, newest first. A session is one server, from "
            "its spawn to its stop.",
            Spans(spans.SPAWN_SERVER),
            attributes.SESSION_ID,
            attributes.USER_HASH,
            attributes.SPAWN_OUTCOME,
            attributes.ERROR_TYPE,
        ),
        kit.spans(
            place,
            "Sessions with failures",
            "Failed cells, spawns, kernels and computations. `error.type` is the exception's "
            "class; its message is not recorded.",
            Spans(failed=True, in_session=True),
            *COLUMNS,
        ),
    ]


def _one(place: Place) -> list[kit.Panel | None]:
    return [
        kit.spans(
            place,
            "Spawn",
            "From the request for a server until it is ready. The trace shows the steps.",
            Spans(spans.SPAWN_SERVER, of_session=True),
            attributes.SPAWN_OUTCOME,
            *COLUMNS,
        ),
        kit.spans(
            place,
            "Kernels",
            "From the request for a kernel until its process runs.",
            Spans(spans.START_KERNEL, of_session=True),
            attributes.KERNEL_NAME,
            *COLUMNS,
        ),
        kit.spans(
            place,
            "Cells",
            "Runs of cells in the kernel. The trace also shows how long a cell was queued, and "
            "the Dask work that it started.",
            Spans(spans.RUN_CELL, of_session=True),
            attributes.CELL_EXECUTION_COUNT,
            *COLUMNS,
        ),
        kit.spans(
            place,
            "Computations",
            "Graphs that the session submitted to Dask, with the numbers of tasks and of failed "
            "tasks.",
            Spans(spans.COMPUTE_GRAPH, of_session=True),
            attributes.GRAPH_TASKS,
            attributes.GRAPH_TASKS_ERRED,
            *COLUMNS,
        ),
    ]


def _metrics() -> list[kit.Panel]:
    buckets = promql.grown(f"{promql.SPANS}_duration_seconds_bucket", by="le, span_name")
    return [
        kit.lines(
            "Span duration: 95th percentile",
            "Each diamond is the exemplar of one span: click it to open the trace. Traces that "
            "were not sampled have none.",
            "s",
            {"{{span_name}}": f"histogram_quantile(0.95, {buckets})"},
        ),
        kit.lines(
            "Spans per second",
            "By span name, including traces that were not sampled.",
            "ops",
            {"{{span_name}}": promql.per_second(f"{promql.SPANS}_calls_total", by="span_name")},
            stacked=True,
        ),
    ]
