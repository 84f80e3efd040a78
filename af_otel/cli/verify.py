"""`af-otel verify`: a synthetic user, and the proof of each hop of its telemetry."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from af_otel.cli._local import JsonOption, StateOption, console
from af_otel.errors import AfOtelError
from af_otel.local import control
from af_otel.local.state import State
from af_otel.local.view import state_option

if TYPE_CHECKING:
    from af_otel.verify.place import Place

_INTERRUPTED = 130


def verify(
    state: StateOption = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="For all of it, but the clean-up.")
    ] = 120,
    as_json: JsonOption = False,
) -> None:
    """Log in, spawn, run the example notebook, and prove each hop of what that left.

    A hop is proven when its spans are at the Collector and in Tempo, with parents and links right,
    and Prometheus has counted what was done. The first that is not is named, with what to do.
    """
    from af_otel.cli import _verification as shown
    from af_otel.cli._page import page
    from af_otel.verify.run import Verification

    place = _local(state)
    # A cancelled job cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with shown.Steps(console(), place.name) as steps:
            report = Verification(place, timeout, steps.update).run()
    except KeyboardInterrupt:
        typer.echo("Stopped; the synthetic user's server is gone", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        out = page()
        out.print(shown.proofs(report, out.width))
        if report.ok:
            out.print(shown.verdict(report, place.look_at(report.session)), soft_wrap=True)
    if report.left is not None:
        typer.echo(f"warning: {report.left}", err=True)
    if report.end is not None:
        raise report.end


def _local(state: Path | None) -> Place:
    from af_otel.verify.local import LocalPlace

    facility = control.require(State.at(state))
    if not facility.ready:
        option = state_option(facility)
        raise AfOtelError(
            "The facility is not ready",
            where=", ".join(f"`{name}` is dead" for name in facility.dead)
            or "it is starting, or stopping",
            hint=f"see `af-otel status{option}`; `af-otel up{option}` starts again what has died",
        )
    return LocalPlace(facility)
