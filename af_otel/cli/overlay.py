"""`af-otel overlay`: injection by chart values or pod template, where there are no policies."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from af_otel.cli._cluster import ContextOption, FileOption, KubeconfigOption


class Target(str, Enum):
    """What the overlay is for."""

    Z2JH = "z2jh"
    DASK_GATEWAY = "dask-gateway"
    ENV = "env"


def overlay(
    target: Annotated[
        Target,
        typer.Argument(
            help="A release of Zero to JupyterHub or of Dask Gateway, also as a part of another "
            "chart; or `env`, what any pod template needs."
        ),
    ],
    values: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Values of the release, from `helm get values RELEASE --all -o yaml`; else they "
            "are read from the cluster.",
        ),
    ] = None,
    release: Annotated[
        str | None, typer.Option(metavar="NAME", help="The release, where there are several.")
    ] = None,
    facility: FileOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Print values to add to a release, or a piece of pod template, as YAML.

    All that the release has in its lists is in them: `helm upgrade RELEASE CHART --reuse-values -f
    OVERLAY`. `af-otel install` brings the payload that they refer to.
    """
    from af_otel.checks._sources import charts_in, documents
    from af_otel.cli._cluster import facility_file, open_cluster
    from af_otel.facility import read
    from af_otel.kubernetes.objects import overlay as overlays
    from af_otel.kubernetes.objects.payload import payload_name
    from af_otel.kubernetes.releases import values_of

    # Where telemetry goes does not matter here, and a file may leave it to `--with-backends`.
    known = read(facility_file(facility), with_backends=True)
    if target is Target.ENV:
        typer.echo(_text(overlays.pod_template(known, payload_name(known))), nl=False)
        return
    if values is not None:
        found = next(documents(values), {})
        list(charts_in(found, f"`{values}`"))  # refuses what no chart takes
    else:
        found = values_of(open_cluster(kubeconfig, context), known, target.value, release)
    made = overlays.overlay(target.value, known, found, payload_name(known))
    typer.echo(_text(made.values), nl=False)
    for note in made.notes:
        typer.echo(f"note: {note}", err=True)


def _text(content: object) -> str:
    import yaml

    from af_otel.kubernetes.objects._yaml import Dumper

    class Blocks(Dumper):
        """Scripts as blocks, which people can read."""

    def block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Blocks.add_representer(str, block)
    Blocks.ignore_aliases = lambda *_: True  # type: ignore[method-assign]
    text: str = yaml.dump(content, Dumper=Blocks, sort_keys=False, allow_unicode=True, width=100)
    return text
