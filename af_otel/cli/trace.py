"""`af-otel trace`: the story of a session or a trace, as a tree."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from af_otel.cli._local import JsonOption, StateOption


def trace(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[TRACE|SESSION|last]", help="Id of a trace or a session; or the newest."
        ),
    ] = "last",
    *,
    state: StateOption = None,
    tempo: Annotated[
        str | None, typer.Option(metavar="URL", help="A Tempo, instead of the facility's.")
    ] = None,
    whole_session: Annotated[
        bool, typer.Option("--session", help="The whole session that the trace belongs to.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Every span: fold none of many alike.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell what a session, or one trace, did: each span under what set it off."""
    from af_otel.backends import find
    from af_otel.backends.tempo import Tempo
    from af_otel.cli._page import page
    from af_otel.cli._story import Lines, heading

    story = find.story(Tempo(tempo or _of_facility(state)), what, whole_session=whole_session)
    if as_json:
        json.dump(story.as_json(), sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    console = page()
    for line in heading(story):
        console.print(line)
    console.print()
    console.print(Lines(story, console.width, everything=everything).table)


def _of_facility(state: Path | None) -> str:
    from af_otel.local import control
    from af_otel.local.state import State

    return control.require(State.at(state)).urls["tempo"]
