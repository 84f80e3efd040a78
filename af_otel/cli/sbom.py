"""`af-otel sbom`: the software bill of materials of the payload or of a Collector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Callable

sbom = typer.Typer(
    no_args_is_help=True,
    help="Software bills of materials (CycloneDX 1.6, JSON) of what is installed.",
    pretty_exceptions_enable=False,
)

OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="File to write; default: stdout."),
]


@sbom.command()
def payload(output: OutputOption = None) -> None:
    """List what the payload contains: each distribution with its files and their hashes."""

    def document() -> str:
        from af_otel.sbom import payload

        return payload.document()

    _write(document, output)


@sbom.command()
def collector(
    program: Annotated[
        Path | None,
        typer.Argument(help="Program of a Collector; by default that of `af-otel up`."),
    ] = None,
    output: OutputOption = None,
) -> None:
    """List the Go modules that a Collector was built from, as its binary names them."""

    def document() -> str:
        from af_otel.local import servers
        from af_otel.sbom import collector

        if program is not None:
            return collector.document(program)
        own = servers.find("collector")
        return collector.document(own.path, own.version)

    _write(document, output)


def _write(document: Callable[[], str], output: Path | None) -> None:
    try:
        text = document()
    except ModuleNotFoundError as error:
        raise AfOtelError(
            f"The package `{error.name}` is not installed",
            where="the environment of `af-otel`",
            hint="run `pip install 'af-otel[sbom]'` there",
        ) from error
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AfOtelError(
            f"The bill of materials cannot be written: {error.strerror}",
            where=f"`{output}`",
            hint="name a file in a directory that you may write to",
        ) from error
