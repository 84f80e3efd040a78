"""The `af-otel` command: one file a command, registered here."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from af_otel import __version__
from af_otel.cli.collect import collect
from af_otel.cli.dashboards import dashboards
from af_otel.cli.diff import diff
from af_otel.cli.down import down
from af_otel.cli.env import env
from af_otel.cli.init import init
from af_otel.cli.install import install
from af_otel.cli.logs import logs
from af_otel.cli.overlay import overlay
from af_otel.cli.payload import payload
from af_otel.cli.run import run
from af_otel.cli.sbom import sbom
from af_otel.cli.status import status
from af_otel.cli.trace import trace
from af_otel.cli.uninstall import uninstall
from af_otel.cli.up import up
from af_otel.cli.upgrade import upgrade
from af_otel.cli.validate import validate
from af_otel.cli.verify import verify
from af_otel.errors import AfOtelError

app = typer.Typer(
    name="af-otel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_HERE = "A facility on this machine"
_CLUSTER = "A facility on Kubernetes"
_LOOK = "What was seen"
_INJECT = "Injection"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"af-otel {__version__}")
        raise typer.Exit


@app.callback()
def af_otel(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """OpenTelemetry for analysis facilities: sessions as linked traces and honest metrics."""


for command in (up, down, status, logs):
    app.command(rich_help_panel=_HERE)(command)
app.command(rich_help_panel=_CLUSTER)(init)
app.command(rich_help_panel=_CLUSTER)(validate)
app.command(rich_help_panel=_CLUSTER)(install)
app.command(rich_help_panel=_CLUSTER)(diff)
app.command(rich_help_panel=_CLUSTER)(upgrade)
app.command(rich_help_panel=_CLUSTER)(uninstall)
app.command(rich_help_panel=_LOOK)(trace)
app.command(rich_help_panel=_LOOK)(verify)
app.command(rich_help_panel=_LOOK)(collect)
app.add_typer(dashboards, name="dashboards", rich_help_panel=_LOOK)
app.command(rich_help_panel=_INJECT, context_settings={"ignore_unknown_options": True})(run)
app.command(rich_help_panel=_INJECT)(env)
app.command(rich_help_panel=_INJECT)(payload)
app.command(rich_help_panel=_INJECT)(overlay)
app.add_typer(sbom, name="sbom", rich_help_panel=_INJECT)


def main() -> None:
    """Run the command; an error that a person can mend is printed as one, without a traceback."""
    # In a locale without our lines and marks they are told by `?`, as on stderr by their numbers.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        app()
    except AfOtelError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
