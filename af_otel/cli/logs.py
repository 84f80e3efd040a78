"""`af-otel logs`: what the services of the facility on this machine say."""

from __future__ import annotations

from typing import Annotated

import typer

from af_otel.cli._local import StateOption
from af_otel.errors import AfOtelError
from af_otel.local import logs as reading
from af_otel.local.state import State


def logs(
    service: Annotated[
        str | None, typer.Argument(help="One service, such as `jupyterhub`; all if left out.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines back.")] = 40,
    state: StateOption = None,
) -> None:
    """Print the last lines of one service's log, or of all in the order of time."""
    place = State.at(state)
    found = {path.stem: path for path in sorted(place.logs.glob("*.log"))}
    if not found:
        raise AfOtelError(
            "There are no logs here",
            where=f"`{place.logs}`",
            hint="start a facility with `af-otel up`, or name its directory with `--state DIR`",
        )
    if service is not None:
        if service not in found:
            raise AfOtelError(
                f"No service `{service}` has a log here",
                where=f"`{place.logs}`",
                hint="one of " + ", ".join(f"`{name}`" for name in found),
            )
        found = {service: found[service]}
    width = max(map(len, found)) if service is None else 0
    try:
        for line in reading.merged(found, lines):
            _print(line, width)
        if follow:
            for line in reading.follow(found):
                _print(line, width)
    except KeyboardInterrupt:
        return


def _print(line: reading.Line, width: int) -> None:
    typer.echo(f"{line.service:<{width}} | {line.text}" if width else line.text)
