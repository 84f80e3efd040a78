"""Metrics: name, unit (UCUM) and description of each instrument, and its histogram's bounds.

Durations are histograms in seconds, never medians or means.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Instrument(NamedTuple):
    """What `Meter.create_*` takes, as in `meter.create_histogram(**SPAWN_DURATION.histogram)`."""

    name: str
    unit: str
    description: str
    boundaries: tuple[float, ...] = ()

    @property
    def histogram(self) -> dict[str, Any]:
        """Arguments of `create_histogram`."""
        return {**self.plain, "explicit_bucket_boundaries_advisory": self.boundaries}

    @property
    def plain(self) -> dict[str, Any]:
        """Arguments of every other instrument."""
        return {"name": self.name, "unit": self.unit, "description": self.description}


# From a pod that is there to an image pulled onto a node that had to be started first.
_SPAWN = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200)
# From a cell that assigns a name to a fit that runs over night.
_CELL = (0.005, 0.025, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 7200, 28800)
_TASK = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800)
_SESSION = (60, 300, 900, 1800, 3600, 7200, 14400, 28800, 57600, 86400, 172800, 604800)
_SOCKET = (1, 10, *_SESSION)
# The semantic conventions' own for HTTP.
_HTTP = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_COUNT = (1, 10, 100, 1e3, 1e4, 1e5, 1e6)

# Not `jupyterhub.server.spawn.duration`: in Prometheus the hub's own metric has that name.
SPAWN_DURATION: Final = Instrument(
    "jupyterhub.spawn.duration",
    "s",
    "From a user's wish for a server to its answer, or to the failure",
    _SPAWN,
)
SERVER_ACTIVE: Final = Instrument("jupyterhub.server.active", "{server}", "Users' servers running")
SESSION_DURATION: Final = Instrument(
    "jupyterhub.session.duration", "s", "From a server's spawn to its end", _SESSION
)

KERNEL_ACTIVE: Final = Instrument("jupyter.kernel.active", "{kernel}", "Kernels running")
KERNEL_START_DURATION: Final = Instrument(
    "jupyter.kernel.start.duration", "s", "From the wish for a kernel to its process", _SPAWN
)
KERNEL_DEATH: Final = Instrument(
    "jupyter.kernel.death", "{kernel}", "Kernels that ended without being asked to"
)
CELL_DURATION: Final = Instrument("jupyter.cell.duration", "s", "A cell's run in the kernel", _CELL)
CELL_QUEUE_DURATION: Final = Instrument(
    "jupyter.cell.queue.duration", "s", "A cell's wait for the kernel", _CELL
)

TASK_DURATION: Final = Instrument("dask.task.duration", "s", "Run time of every Dask task", _TASK)
TASK_TRANSFER_DURATION: Final = Instrument(
    "dask.task.transfer.duration", "s", "Time tasks waited for their inputs to arrive", _TASK
)
COMPUTE_DURATION: Final = Instrument(
    "dask.compute.duration", "s", "From a graph's arrival at the scheduler to its last task", _CELL
)
COMPUTE_TASKS: Final = Instrument("dask.compute.tasks", "{task}", "Tasks of a graph", _COUNT)
WORKER_COUNT: Final = Instrument("dask.worker.count", "{worker}", "Workers of the scheduler")
WORKER_LOST: Final = Instrument(
    "dask.worker.lost", "{worker}", "Workers that left without being asked to"
)

# coffea's own report of a run (`savemetrics`), under its own words.
COFFEA_BYTESREAD: Final = Instrument(
    "coffea.bytesread", "By", "Bytes that coffea asked its sources for"
)
COFFEA_ENTRIES: Final = Instrument("coffea.entries", "{entry}", "Events that were processed")
COFFEA_PROCESSTIME: Final = Instrument(
    "coffea.processtime", "s", "Time within `process`, summed over chunks"
)
COFFEA_CHUNKS: Final = Instrument("coffea.chunks", "{chunk}", "Chunks of files that were processed")
COFFEA_RUN_DURATION: Final = Instrument(
    "coffea.run.duration", "s", "A call of coffea's Runner, from its start to its result", _CELL
)

HTTP_SERVER_DURATION: Final = Instrument(
    "http.server.request.duration", "s", "Duration of HTTP server requests", _HTTP
)
HTTP_SERVER_ACTIVE: Final = Instrument(
    "http.server.active_requests", "{request}", "HTTP server requests in progress"
)
HTTP_CLIENT_DURATION: Final = Instrument(
    "http.client.request.duration", "s", "Duration of HTTP client requests", _HTTP
)
WEBSOCKET_ACTIVE: Final = Instrument(
    "websocket.server.active", "{connection}", "Websockets that are open"
)
WEBSOCKET_DURATION: Final = Instrument(
    "websocket.server.duration", "s", "From a websocket's handshake to its close", _SOCKET
)
WEBSOCKET_MESSAGES: Final = Instrument(
    "websocket.server.messages", "{message}", "Messages received and sent on websockets"
)

# Of the functions that an operator has called on a schedule, not of an OpenTelemetry Collector.
COLLECTOR_RUNS: Final = Instrument(
    "facility.collector.runs", "{run}", "Calls of collectors, by outcome"
)
COLLECTOR_DURATION: Final = Instrument(
    "facility.collector.duration", "s", "How long a call of a collector took", _TASK
)

# Values of an attribute that a metric tells apart; later ones are counted as `other`.
MAX_PREFIXES: Final = 50
MAX_PROFILES: Final = 50
MAX_IMAGES: Final = 50
MAX_ERROR_TYPES: Final = 50
MAX_KERNEL_NAMES: Final = 50
MAX_PROCESSORS: Final = 50
MAX_ROUTES: Final = 200
