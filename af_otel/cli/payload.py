"""`af-otel payload`: write what is injected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
import yaml

from af_otel import payload as payloads
from af_otel.errors import AfOtelError


def payload(
    target: Annotated[
        Path | None,
        typer.Argument(
            help="Link to the directory that is written, or a file with --zip or --configmap."
        ),
    ] = None,
    as_zip: Annotated[
        bool, typer.Option("--zip", help="One zip file, which works on PYTHONPATH as it is.")
    ] = False,
    as_configmap: Annotated[
        bool, typer.Option("--configmap", help="A ConfigMap; on stdout if no file is named.")
    ] = False,
    name: Annotated[str, typer.Option(help="Name of the ConfigMap.")] = "af-otel-payload",
    namespace: Annotated[str, typer.Option(help="Namespace of the ConfigMap.")] = "default",
) -> None:
    """Write the payload: pure Python, one for every Python from 3.10, the same bytes every time."""
    if as_zip and as_configmap:
        raise typer.BadParameter("`--zip` and `--configmap` are two payloads: ask for one")
    if as_configmap:
        content = yaml.safe_dump(payloads.configmap(name, namespace), sort_keys=False)
        if target is None:
            typer.echo(content, nl=False)
            return
        _write(target, content.encode())
    elif target is None:
        raise typer.BadParameter("name what to write: `af-otel payload DIR`")
    elif as_zip:
        _write(target, payloads.archive())
    else:
        before = target.resolve()
        directory = payloads.publish(target)
        if before.exists() and before != directory.resolve():
            typer.echo(f"{before}: remove it when no process uses it any more", err=True)
        typer.echo(
            f"{target}: put it on PYTHONPATH, see `af-otel env --payload {target}`", err=True
        )


def _write(target: Path, content: bytes) -> None:
    try:
        target.write_bytes(content)
    except OSError as error:
        raise AfOtelError(
            f"The payload cannot be written: {error.strerror}",
            where=str(target),
            hint="name a file in a directory that you may write to",
        ) from error
    typer.echo(f"{target}: {len(content):,} bytes", err=True)
