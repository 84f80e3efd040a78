"""`af-otel verify`: a synthetic user, and the proof of each hop of its telemetry."""

from __future__ import annotations

import json
import signal
from typing import Annotated

import typer

from af_otel.cli._local import JsonOption, StateOption, console
from af_otel.errors import AfOtelError
from af_otel.local import control
from af_otel.local.state import State
from af_otel.local.view import state_option

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

    facility = control.require(State.at(state))
    _ready(facility.ready, facility.dead, state_option(facility))
    # A cancelled job cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with shown.Steps(console(), facility.name) as steps:
            report = Verification(facility, timeout, steps.update).run()
    except KeyboardInterrupt:
        typer.echo("Stopped; the synthetic user's server is gone", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        out = page()
        out.print(shown.proofs(report, out.width))
        if report.ok:
            out.print(shown.verdict(report, state_option(facility)), soft_wrap=True)
    if report.error is not None:
        error = report.error
        raise AfOtelError(
            f"Broken at `{report.broken}`: {error.what}", where=error.where, hint=error.hint
        )


def _ready(ready: bool, dead: list[str], option: str) -> None:
    if not ready:
        raise AfOtelError(
            "The facility is not ready",
            where=", ".join(f"`{name}` is dead" for name in dead) or "it is starting, or stopping",
            hint=f"see `af-otel status{option}`; `af-otel up{option}` starts again what has died",
        )
