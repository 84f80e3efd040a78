"""`af-otel up`: a whole facility on this machine."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from af_otel.cli._local import STOPPED, JsonOption, StateOption, console, write_json
from af_otel.errors import AfOtelError
from af_otel.local import control, view
from af_otel.local.facility import Facility
from af_otel.local.state import State

INTERRUPTED = 130


def up(
    state: StateOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready; it goes on.")
    ] = False,
    as_json: JsonOption = False,
    port: Annotated[
        list[str] | None,
        typer.Option(
            "--port",
            metavar="NAME=PORT",
            help="Where a service listens, such as `hub=8010`; may be repeated. "
            "Ports not named are the usual ones, or the next that are free.",
        ),
    ] = None,
) -> None:
    """Start JupyterHub, Dask, Collector, Prometheus and Tempo on this machine, all traced.

    Ctrl-C stops everything; with --detach, af-otel down does.

    If it runs already, its addresses are shown, and services that died are started again.
    """
    place = State.at(state)
    ports = _ports(port or [])
    place.prepare()
    screen = console()
    with view.View(screen, foreground=not detach) as shown:
        printed = False

        def changed(facility: Facility) -> None:
            nonlocal printed
            shown.update(facility)
            if as_json and not printed and facility.phase == "ready":
                printed = True
                write_json(facility)
                sys.stdout.flush()

        facility = None
        if control.running(place) is None:
            shown.say(f"Starting a facility in {place.directory}")
            start = control.detach if detach else control.supervise
            try:
                facility = start(place, ports, changed)
            except KeyboardInterrupt:
                shown.say(STOPPED)
                raise typer.Exit(INTERRUPTED) from None
        if facility is None:
            _already(place, as_json=as_json)
            return
    if facility.phase == "failed":
        if as_json:
            write_json(facility)
        _fail(facility, shown)
    if facility.phase == "stopped":
        shown.say(STOPPED)
        if facility.seconds_to_ready is None:
            raise typer.Exit(INTERRUPTED)


def _fail(facility: Facility, shown: view.View) -> NoReturn:
    first, *others = facility.errors
    for error in others:
        shown.error(**error)
    raise AfOtelError(first["what"], where=first["where"], hint=first["hint"])


def _already(place: State, *, as_json: bool) -> None:
    """Say so, which is not an error: what was wanted is there, or is again after this."""
    with view.View(console()) as shown:
        facility = control.require(place)
        shown.say(f"A facility runs here already (pid {facility.pid})")
        if facility.phase == "ready" and facility.dead:
            shown.say("Starting again: " + ", ".join(facility.dead))
            facility = control.start_again(place, facility)
        facility = control.wait_until_ready(place, shown.update)
    if as_json:
        write_json(facility)
    if facility.dead:
        raise typer.Exit(1)


def _ports(options: list[str]) -> dict[str, int]:
    ports = {}
    for option in options:
        name, _, number = option.partition("=")
        if not name or not number.isdecimal() or not 0 < int(number) < 65536:  # noqa: PLR2004
            raise typer.BadParameter(f"`{option}` is not NAME=PORT", param_hint="--port")
        ports[name] = int(number)
    return ports
