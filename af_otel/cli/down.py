"""`af-otel down`: stop the facility on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from af_otel.cli._local import STOPPED, StateOption, console
from af_otel.local import control, view
from af_otel.local.state import State


def down(
    state: StateOption = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove its directory, too: data, logs, users' homes.")
    ] = False,
) -> None:
    """Stop the facility and every process that it or its users have started."""
    place = State.at(state)
    with view.View(console()) as shown:
        stopped = control.stop(place, shown.update)
    if stopped:
        shown.say(STOPPED)
    else:
        shown.say(f"No facility runs in {place.directory}")
    if not purge:
        return
    if not place.directory.exists():
        shown.say("Its directory is not there")
        return
    place.purge()
    shown.say(f"Removed {place.directory}")
