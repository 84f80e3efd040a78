"""What the commands for the facility on this machine share: their options, and where they print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from af_otel.local.facility import Facility

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="The facility's directory. (default: ~/.local/state/af-otel/local)",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

STOPPED = "Stopped; no process is left"


def console() -> Console:
    """Where people read; stdout is for data."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        screen.width = 200  # A file has no width; by default its lines would end at 80.
    return screen


def write_json(facility: Facility) -> None:
    typer.echo(json.dumps(facility.as_json(), indent=2))
