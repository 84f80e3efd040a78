"""`af-otel uninstall`: take out exactly what was installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from af_otel.cli._cluster import (
    INTERRUPTED,
    ContextOption,
    FileOption,
    KubeconfigOption,
    TimeoutOption,
    YesOption,
)
from af_otel.cli._local import JsonOption
from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from pathlib import Path

    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.inventory import Inventory
    from af_otel.kubernetes.removal import Removal


def uninstall(
    facility: FileOption = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Where it is installed; then no facility.yaml is needed."
        ),
    ] = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    yes: YesOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go, change nothing.")
    ] = False,
    as_json: JsonOption = False,
    timeout: TimeoutOption = 180,
) -> None:
    """Remove every object that an install made, and nothing else.

    Pods run on: one that was injected goes on as it is until it next starts. The volumes of the
    Collector and of our own backends go, with what is on them.
    """
    from af_otel.cli import _cluster, _plan
    from af_otel.cli._local import console
    from af_otel.cli._steps import Steps
    from af_otel.kubernetes import removal

    cluster = _cluster.open_cluster(kubeconfig, context)
    installed = _installed(cluster, facility, namespace)
    screen = console()
    if installed is None:
        if as_json:
            typer.echo(json.dumps({"installed": False, "removed": False}))
        screen.print("Nothing is installed", highlight=False)
        return
    plan = removal.plan(cluster, installed)
    screen.print(f"Facility `{installed.facility}` in `{installed.namespace}`\n", highlight=False)
    screen.print(_plan.removal(plan))
    for claim in plan.claims:
        what = f"note: the data on {claim} go with it"
        screen.print(what, highlight=False, markup=False, soft_wrap=True)
    if dry_run:
        screen.print("Nothing was changed", highlight=False)
    else:
        _cluster.confirm("Remove all this?", yes=yes)
        _cluster.end_like_ctrl_c()
        with Steps(screen) as steps:
            steps.progress.patience = min(steps.progress.patience, timeout)
            try:
                removal.carry_out(cluster, plan, steps.progress, timeout)
            except KeyboardInterrupt:
                typer.echo("Stopped; the same command completes it", err=True)
                raise typer.Exit(INTERRUPTED) from None
        screen.print(
            "Removed. Pods that run with it go on untraced from their next start; "
            "the hub's pod needs none now",
            highlight=False,
            soft_wrap=True,
        )
    if as_json:
        typer.echo(json.dumps(_as_json(plan, removed=not dry_run), indent=2))


def _installed(cluster: Cluster, path: Path | None, namespace: str | None) -> Inventory | None:
    """What there is to remove: in a namespace, of a file, or the only one in the cluster."""
    from af_otel.cli._cluster import open_facility
    from af_otel.facility import FILE
    from af_otel.kubernetes import inventory

    if namespace is not None:
        return inventory.read(cluster, namespace)
    from pathlib import Path

    if path is not None or Path(FILE).is_file():
        return inventory.read(cluster, open_facility(cluster, path).namespace)
    found = inventory.find(cluster)
    if len(found) > 1:
        raise AfOtelError(
            "Several facilities are installed in this cluster",
            where=", ".join(f"`{each.facility}` in `{each.namespace}`" for each in found),
            hint="name one with `--namespace NAME`, or its file with `-f FILE`",
        )
    return found[0] if found else None


def _as_json(plan: Removal, *, removed: bool) -> dict[str, Any]:
    return {
        "installed": not removed,
        "removed": removed,
        "facility": plan.inventory.facility,
        "namespace": plan.inventory.namespace,
        "objects": [vars(ref) for ref in plan.objects],
        "namespace_goes": plan.namespace,
        "stays": [{**vars(ref), "why": why} for ref, why in plan.stays.items()],
    }
