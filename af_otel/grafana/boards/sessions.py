"""Sessions explorer: from all sessions to one, and between its traces and the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel_semconv import attributes, spans

from af_otel.grafana import kit, promql
from af_otel.grafana.variables import text

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

FACILITY = 'resource.service.namespace =~ "$facility"'
SESSION = f'span.{attributes.SESSION_ID} =~ "$session"'
# Errors are what the most interesting traces have, so these columns go with each table.
COLUMNS = (attributes.SESSION_ID, attributes.ERROR_TYPE)


def sessions(place: Place) -> Dashboard:
    """A list of sessions, and all that belongs to one of them side by side."""
    this = place.url("sessions", session="${__value.raw}")

    def of(name: str) -> str:
        return f"{{ {FACILITY} && {SESSION} && {kit.ended(name)} }}"

    return kit.board(
        place,
        "sessions",
        "Sessions explorer",
        "A click on a session's id shows that session; one on a trace's id shows the trace, and "
        "from its spans `Such spans` leads back to the metrics.",
        {
            "Sessions": [
                kit.spans(
                    "Sessions by their spawn",
                    "Each server that was asked for, newest first, once its spawn has ended. One "
                    "session is one server, from its spawn to its stop.",
                    f"{{ {FACILITY} && {kit.ended(spans.SPAWN_SERVER)} }}",
                    attributes.SESSION_ID,
                    attributes.USER_HASH,
                    attributes.SPAWN_OUTCOME,
                    attributes.ERROR_TYPE,
                    session=this,
                ),
                kit.spans(
                    "Sessions in which something failed",
                    "Failed cells, spawns, kernels and computations; `error.type` is an "
                    "exception's class, its text is not recorded.",
                    f"{{ {FACILITY} && status = error && span.{attributes.SESSION_ID} != nil }}",
                    *COLUMNS,
                    session=this,
                ),
            ],
            "This session": [
                kit.spans(
                    "Spawn",
                    "From the wish for a server to its answer; the parts are in the trace.",
                    of(spans.SPAWN_SERVER),
                    attributes.SPAWN_OUTCOME,
                    *COLUMNS,
                    session=this,
                ),
                kit.spans(
                    "Kernels",
                    "From the wish for a kernel to its process.",
                    of(spans.START_KERNEL),
                    attributes.KERNEL_NAME,
                    *COLUMNS,
                    session=this,
                ),
                kit.spans(
                    "Cells",
                    "Their runs in the kernel, once these have ended; a cell's wait before, and "
                    "the Dask work that it set off, are in its trace.",
                    of(spans.RUN_CELL),
                    attributes.CELL_EXECUTION_COUNT,
                    *COLUMNS,
                    session=this,
                ),
                kit.spans(
                    "Computations",
                    "Graphs that the session gave to Dask, with their tasks and how many failed.",
                    of(spans.COMPUTE_GRAPH),
                    attributes.GRAPH_TASKS,
                    attributes.GRAPH_TASKS_ERRED,
                    *COLUMNS,
                    session=this,
                ),
            ],
            "From metrics to traces": [
                kit.lines(
                    "95 % of such spans are faster",
                    "Each diamond is one span that was measured: a click on it leads to its trace. "
                    "Of traces that were not kept there is none.",
                    "s",
                    {
                        "{{span_name}}": "histogram_quantile(0.95, "
                        + promql.grown(
                            f"{promql.SPANS}_duration_seconds_bucket", by="le, span_name"
                        )
                        + ")"
                    },
                ),
                kit.lines(
                    "Spans per second",
                    "How often each kind of thing happened, traces that were not kept included.",
                    "ops",
                    {
                        "{{span_name}}": promql.per_second(
                            f"{promql.SPANS}_calls_total", by="span_name"
                        )
                    },
                    stacked=True,
                ),
            ],
        },
        [
            text(
                "session",
                "Session",
                ".+",
                "A `session.id`; `.+` is every session. A click on one in a table puts it here.",
            )
        ],
    )
