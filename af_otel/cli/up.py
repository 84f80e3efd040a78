"""`af-otel up`: a whole facility on this machine."""

from __future__ import annotations

import re
import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from af_otel.cli._local import STOPPED, JsonOption, StateOption, console, write_json
from af_otel.errors import AfOtelError
from af_otel.local import control, view
from af_otel.local.facility import Facility
from af_otel.local.options import Options, TraceLimits
from af_otel.local.state import State

INTERRUPTED = 130
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}
_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_MOST_HOURS = 10 * 366 * 24
_LEAST_BYTES = 100 * 10**6  # of an empty Jaeger's files


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
    retention: Annotated[
        str, typer.Option(metavar="TIME", help="How long traces are kept, such as 12h or 30d.")
    ] = "30d",
    trace_disk: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="Room for Jaeger's traces on the disk, such as 500MB or 4GB. When they take more, "
            "all of them are deleted.",
        ),
    ] = "4GB",
) -> None:
    """Start JupyterHub, Dask, Collector, Prometheus and Jaeger on this machine, all traced.

    Where the machine has a Tempo, that is started instead of Jaeger.

    Ctrl-C stops everything; with --detach, af-otel down does.

    If it runs already, its addresses are shown, and services that died are started again.
    """
    place = State.at(state)
    options = Options(_ports(port or []), TraceLimits(_hours(retention), _bytes(trace_disk)))
    screen = console()
    _prepare(place, screen)
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
                facility = start(place, options, changed)
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


def _prepare(place: State, screen: Console) -> None:
    for path in place.prepare():
        note = f"note: {path} was open to other users; it is not any more"
        screen.print(note, highlight=False, markup=False, soft_wrap=True)


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


def _hours(text: str) -> int:
    match = re.fullmatch(r"(\d{1,6})([hdw])", text)
    hours = int(match[1]) * _HOURS[match[2]] if match else 0
    if not 1 <= hours <= _MOST_HOURS:
        raise typer.BadParameter(
            f"`{text}` is not a time such as 12h, 30d or 4w, of at most ten years",
            param_hint="--retention",
        )
    return hours


def _bytes(text: str) -> int:
    match = re.fullmatch(rf"(\d{{1,9}}) ?({'|'.join(_BYTES)})", text)
    size = int(match[1]) * _BYTES[match[2]] if match else 0
    if size < _LEAST_BYTES:
        raise typer.BadParameter(
            f"`{text}` is not a size such as 500MB or 4GB, of at least 100MB",
            param_hint="--trace-disk",
        )
    return size
