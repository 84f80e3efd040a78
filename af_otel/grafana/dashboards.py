"""All dashboards as Grafana reads them: for our own Grafana, a facility's, or any other."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from af_otel.grafana.sources import TraceStore

# In the order in which people look at them; the names are also those of files.
NAMES = (
    "overview",
    "sessions",
    "spawn",
    "kernels",
    "dask",
    "users",
    "http",
    "kubernetes",
    "telemetry",
)
HOME = "overview"
FOLDER = "af-otel"
POSSIBLE = sys.version_info >= (3, 11)
LACKING = "Grafana dashboards need Python 3.11 or newer, as the builders of Grafana's SDK do"


def dashboards(
    facility: str = "", *, choose: bool = False, traces: TraceStore | None = "tempo"
) -> dict[str, dict[str, Any]]:
    """Return the dashboards by name.

    Parameters
    ----------
    facility
        As passed to `sources`.
    choose
        The data sources are not ours: each reader chooses among those that exist.
    traces
        The trace store that panels search; None leaves these panels out.

    Raises
    ------
    AfOtelError
        This Python is too old for the builders.
    """
    if not POSSIBLE:
        raise AfOtelError(LACKING, where=sys.version.split()[0], hint="run af-otel in a newer one")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    from af_otel.grafana.boards import (
        dask,
        http,
        kernels,
        nodes,
        overview,
        sessions,
        spawn,
        telemetry,
        users,
    )
    from af_otel.grafana.place import Place

    builders = (
        overview.overview,
        sessions.sessions,
        spawn.spawn,
        kernels.kernels,
        dask.dask,
        users.users,
        http.http,
        nodes.nodes,
        telemetry.telemetry,
    )
    place = Place(facility, choose, traces)
    boards = {}
    for name, builder in zip(NAMES, builders, strict=True):
        text = JSONEncoder(sort_keys=True).encode(builder(place).build())
        boards[name] = numbered(json.loads(text))
    return boards


def numbered(board: dict[str, Any]) -> dict[str, Any]:
    """Number a dashboard's panels, so that links to a panel survive another export."""
    for number, panel in enumerate(board["panels"], 1):
        panel["id"] = number
    return board
