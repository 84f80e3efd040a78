"""All dashboards, as Grafana reads them: for our own Grafana, a facility's, or anybody's."""

from __future__ import annotations

import json
import sys
from typing import Any

from af_otel.errors import AfOtelError

# In the order in which people look; by name, which is also the file's.
NAMES = (
    "overview",
    "sessions",
    "spawn",
    "kernels",
    "dask",
    "users",
    "kubernetes",
    "telemetry",
)
HOME = "overview"
FOLDER = "af-otel"
POSSIBLE = sys.version_info >= (3, 11)
LACKING = "Grafana's dashboards need Python 3.11 or newer, as its builders do"


def dashboards(facility: str = "", *, choose: bool = False) -> dict[str, dict[str, Any]]:
    """Return the dashboards by their names.

    Parameters
    ----------
    facility
        As it was given to `sources`.
    choose
        The data sources are not ours: each reader chooses among those there are.

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
        kernels,
        nodes,
        overview,
        sessions,
        spawn,
        telemetry,
        users,
    )
    from af_otel.grafana.place import Place

    makers = (
        overview.overview,
        sessions.sessions,
        spawn.spawn,
        kernels.kernels,
        dask.dask,
        users.users,
        nodes.nodes,
        telemetry.telemetry,
    )
    place = Place(facility, choose)
    made = {}
    for name, maker in zip(NAMES, makers, strict=True):
        text = JSONEncoder(sort_keys=True).encode(maker(place).build())
        made[name] = numbered(json.loads(text))
    return made


def numbered(board: dict[str, Any]) -> dict[str, Any]:
    """A dashboard whose panels have ids: links to one of them stay true when it is made anew."""
    for number, panel in enumerate(board["panels"], 1):
        panel["id"] = number
    return board
