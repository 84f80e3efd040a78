"""Span names: verb and object, few, with what varies in the attributes."""

from __future__ import annotations

from typing import Final

SPAWN_SERVER: Final = "spawn server"
START_SERVER: Final = "start server"
ADD_ROUTE: Final = "add route"
START_KERNEL: Final = "start kernel"
LAUNCH_KERNEL: Final = "launch kernel"
KERNEL_DIED: Final = "kernel died"
EXECUTE_CELL: Final = "execute cell"
QUEUE: Final = "queue"
RUN_CELL: Final = "run cell"
COMPUTE_GRAPH: Final = "compute graph"
# Followed by the task prefix: a waterfall is read by people, and prefixes are bounded per graph.
RUN_TASKS: Final = "run tasks"
WORKER_SHARE: Final = "worker share"
TASK: Final = "task"

# The most spans that one `compute graph` makes, whatever the graph.
MAX_SPANS_PER_GRAPH: Final = 1000
