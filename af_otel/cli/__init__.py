"""The `af-otel` command: one file a command, registered here."""

import typer

app = typer.Typer(no_args_is_help=True)
