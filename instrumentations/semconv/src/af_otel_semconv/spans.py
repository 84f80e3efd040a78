"""Span names: verb and object, few, with what varies in the attributes."""

from __future__ import annotations

from typing import Final

# A user's wish for a server to its answer; hub; a trace of its own, which begins a session
SPAWN_SERVER: Final = "spawn server"
# Process start to the first request it can serve; user's server; under `spawn server`
START_SERVER: Final = "start server"
# The proxy learns where the server is; hub; under `spawn server`
ADD_ROUTE: Final = "add route"
# A wish for a kernel to its process; user's server; a trace of its own, linked to the spawn
START_KERNEL: Final = "start kernel"
# The provisioner's part of it; user's server; under `start kernel`
LAUNCH_KERNEL: Final = "launch kernel"
# The moment a dead kernel was found; user's server; a trace of its own, linked to its start
KERNEL_DIED: Final = "kernel died"
# A cell's request to its reply; user's server; a trace of its own, linked to the spawn
EXECUTE_CELL: Final = "execute cell"
# The request's arrival to the cell's start; user's server; under `execute cell`
QUEUE: Final = "queue"
# The cell's run; kernel; under `execute cell`, or a trace of its own where no server asked for it
RUN_CELL: Final = "run cell"
# A graph's arrival to its last task; Dask scheduler; under whatever was current where it was
# submitted
COMPUTE_GRAPH: Final = "compute graph"
# First start to last end of the tasks of one prefix, which follows the name; Dask scheduler; under
# `compute graph`
RUN_TASKS: Final = "run tasks"
# First start to last end of a graph's tasks on one worker; Dask worker; under `compute graph`
WORKER_SHARE: Final = "worker share"
# One task that failed or was slow; Dask scheduler; under its `run tasks`
TASK: Final = "task"

# One call of a coffea `Runner`; kernel or script; under whatever was current where it was called
RUN_PROCESSOR: Final = "run processor"

# A request that failed, was slow, changed something, logged a user in or carried a trace; hub,
# user's server, Dask Gateway; under what it carried, else a trace of its own
HTTP_REQUEST: Final = "{method} {route}"

# The most spans that one `compute graph` makes, whatever the graph.
MAX_SPANS_PER_GRAPH: Final = 1000
