"""Attributes of spans and metrics, with type and bound.

`session.id`, `user.hash` and `error.type` are OpenTelemetry's:
https://opentelemetry.io/docs/specs/semconv/registry/attributes/
"""

from __future__ import annotations

from typing import Final

# str; one server from spawn to stop; in baggage and on every span of the session, never on metrics.
SESSION_ID: Final = "session.id"
# str, 16 hex digits; keyed hash of the user name that only the hub can make.
USER_HASH: Final = "user.hash"
# str; class name of an exception or a short reason, never a text.
ERROR_TYPE: Final = "error.type"

# str; one of ok | error | timeout | cancelled
SPAWN_OUTCOME: Final = "jupyterhub.spawn.outcome"
# str; slug of the profile chosen, 50 at most, then `other`
SPAWN_PROFILE: Final = "jupyterhub.spawn.profile"
# str; reference of the image chosen, without its digest, 50 at most, then `other`
SPAWN_IMAGE: Final = "jupyterhub.spawn.image"
# str; class of the spawner
SPAWNER_CLASS: Final = "jupyterhub.spawner.class"
# bool; True for one of a user's named servers
SERVER_NAMED: Final = "jupyterhub.server.named"
# str; one of user | culled | died | failed | shutdown
SESSION_END_REASON: Final = "jupyterhub.session.end.reason"

# str; name of the kernelspec, 50 at most, then `other`
KERNEL_NAME: Final = "jupyter.kernel.name"
# str; spans only
KERNEL_ID: Final = "jupyter.kernel.id"
# int; as subprocess has it: -9 is SIGKILL
KERNEL_EXIT_CODE: Final = "jupyter.kernel.exit_code"
# str; one of killed | crashed | exited
KERNEL_DEATH_REASON: Final = "jupyter.kernel.death.reason"

# str; one of ok | error | interrupted | aborted | died
CELL_STATUS: Final = "jupyter.cell.status"
# int; spans only
CELL_EXECUTION_COUNT: Final = "jupyter.cell.execution_count"

# str; dask.utils.key_split of the task's key, `other` for an address or more than 100 characters;
# on metrics the first 50, then `other`
TASK_PREFIX: Final = "dask.task.prefix"
# str; one of ok | error
TASK_OUTCOME: Final = "dask.task.outcome"
# str; one of ok | error | cancelled
GRAPH_OUTCOME: Final = "dask.graph.outcome"
# int; tasks that a graph brought to the scheduler, and those that failed
GRAPH_TASKS: Final = "dask.graph.tasks"
GRAPH_TASKS_ERRED: Final = "dask.graph.tasks.erred"
# int; of one `run tasks` or `worker share`
TASKS: Final = "dask.tasks"
TASKS_ERRED: Final = "dask.tasks.erred"
# int; workers that took part
WORKERS: Final = "dask.workers"
# float s, summed over tasks
COMPUTE_DURATION: Final = "dask.compute.duration"
TRANSFER_DURATION: Final = "dask.transfer.duration"
# int By; size of what the tasks made
RESULT_SIZE: Final = "dask.result.size"
# str; spans only
WORKER_NAME: Final = "dask.worker.name"
# str; one of idle | running | paused | retiring
WORKER_STATE: Final = "dask.worker.state"

# str; class of a coffea processor; on metrics the first 50, then `other`
COFFEA_PROCESSOR: Final = "coffea.processor"
# int By, int, float s, int; coffea's report of one run, spans only
COFFEA_BYTESREAD: Final = "coffea.bytesread"
COFFEA_ENTRIES: Final = "coffea.entries"
COFFEA_PROCESSTIME: Final = "coffea.processtime"
COFFEA_CHUNKS: Final = "coffea.chunks"

# str; one of the nine methods that HTTP defines, else `_OTHER`
HTTP_METHOD: Final = "http.request.method"
# int; status of the response, 600 values at most
HTTP_STATUS: Final = "http.response.status_code"
# str; pattern that the server matched, such as `/hub/api/users/{}/server`: never a name, a path or
# a query; 200 at most, then `other`, which also stands for URLs without a handler
HTTP_ROUTE: Final = "http.route"
# str; http or https
URL_SCHEME: Final = "url.scheme"
# str; one of proxy | hub | server | other, the role of whom a request was sent to, never its host
PEER: Final = "service.peer.name"
# str; pattern of the path that was requested, such as `/hub/api/users/{}/activity`, else `other`
URL_TEMPLATE: Final = "url.template"
# str; of messages on a websocket, one of receive | transmit
DIRECTION: Final = "network.io.direction"

# A marker for a span that is still open: `pending` is True and `pending.span_id` names the span,
# whose record follows when it ends. Without that record the process died in it.
PENDING: Final = "af_otel.pending"
PENDING_SPAN_ID: Final = "af_otel.pending.span_id"

# int; spans that were not recorded as their trace has too many: of the user's own, on the outermost
# span of their process; of Dask's, on `compute graph`
SPANS_LEFT_OUT: Final = "af_otel.spans.left_out"

# What a metric's attribute is called once its bound is reached.
OTHER: Final = "other"
