"""`af-otel run`: any command, traced."""

from __future__ import annotations

import os
import shutil
from typing import Annotated

import typer

from af_otel import payload
from af_otel.errors import AfOtelError


def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND [ARGS]...", help="What to run, as it stands.")
    ],
) -> None:
    """Run a command with af-otel in every Python process that it starts.

    `AF_OTEL_ENDPOINT` names the Collector, and docs/settings.md every other setting. The command
    replaces this process: its exit code and signals are its own.

    Example: `AF_OTEL_ENDPOINT=http://collector:4318 af-otel run -- jupyterhub`
    """
    if command[0].startswith("-"):
        raise AfOtelError(
            f"`af-otel run` has no option `{command[0]}`",
            where="before the command",
            hint="settings are variables: `AF_OTEL_ENDPOINT=URL af-otel run -- COMMAND`",
        )
    program = shutil.which(command[0])
    if program is None:
        raise AfOtelError(
            f"`{command[0]}` is no command that can be run",
            where="PATH",
            hint="name a program on PATH, or its path",
        )
    environment = os.environ | payload.environment(payload.cached(), os.environ)
    try:
        os.execve(program, command, environment)  # noqa: S606
    except OSError as error:
        raise AfOtelError(
            f"`{command[0]}` cannot be run: {error.strerror}",
            where=program,
            hint="check its first line, and that it is for this machine",
        ) from error
