"""`af-otel env`: the variables that turn tracing on, for a unit file or an image."""

from __future__ import annotations

import json
import shlex
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from af_otel import payload


class Format(str, Enum):
    """How the variables are written."""

    SHELL = "shell"
    SYSTEMD = "systemd"
    DOCKERFILE = "dockerfile"
    JSON = "json"


_LINES = {
    Format.SHELL: "export {name}={quoted}",
    Format.SYSTEMD: 'Environment="{name}={escaped}"',
    Format.DOCKERFILE: 'ENV {name}="{escaped}"',
}
# What stands for something else between double quotes: systemd.unit(5), and Docker's reference.
_ESCAPES = {
    Format.SYSTEMD: str.maketrans({"\\": "\\\\", '"': '\\"', "%": "%%"}),
    Format.DOCKERFILE: str.maketrans({"\\": "\\\\", '"': '\\"', "$": "\\$"}),
}
# What is on the path already stays, behind ours. systemd expands no variables there.
_PATH = "PYTHONPATH"
_REST = {
    Format.SHELL: "${PYTHONPATH:+:$PYTHONPATH}",
    Format.DOCKERFILE: "${PYTHONPATH:+:$PYTHONPATH}",
}
_NOTE = (
    "# This replaces a PYTHONPATH that the unit has already: append what is on that, after a colon."
)


def env(
    directory: Annotated[
        Path | None,
        typer.Option(
            "--payload",
            help="What `af-otel payload` made; this machine's own by default.",
        ),
    ] = None,
    endpoint: Annotated[
        str, typer.Option(help="The Collector's OTLP/HTTP address.", metavar="URL")
    ] = "http://localhost:4318",
    facility: Annotated[
        str, typer.Option(help="The facility's name, as `service.namespace`.", metavar="NAME")
    ] = "",
    form: Annotated[
        Format, typer.Option("--format", help="What the lines are for.")
    ] = Format.SHELL,
) -> None:
    """Print the variables that put af-otel into every Python process that has them."""
    variables = payload.environment(directory.absolute() if directory else payload.cached(), {})
    variables["AF_OTEL_ENDPOINT"] = endpoint
    if facility:
        variables["AF_OTEL_FACILITY"] = facility
    if form is Format.JSON:
        typer.echo(json.dumps(variables, indent=2))
        return
    if form is Format.SYSTEMD:
        typer.echo(_NOTE)
    for name, value in variables.items():
        rest = _REST.get(form, "") if name == _PATH else ""
        escaped = value.translate(_ESCAPES.get(form, {})) + rest
        quoted = shlex.quote(value) + (f'"{rest}"' if rest else "")
        typer.echo(_LINES[form].format(name=name, escaped=escaped, quoted=quoted))
