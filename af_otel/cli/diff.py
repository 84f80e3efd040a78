"""`af-otel diff`: what an install would change now."""

from __future__ import annotations

import json

import typer

from af_otel.cli._cluster import ContextOption, FileOption, KubeconfigOption
from af_otel.cli._local import JsonOption

DIFFERS = 4


def diff(
    facility: FileOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare facility.yaml with the cluster, object by object; changes nothing.

    Exit code 0 if all is as it should be, 4 if something differs.
    """
    from af_otel.cli import _plan
    from af_otel.cli._cluster import open_cluster, open_facility
    from af_otel.cli._page import page
    from af_otel.kubernetes.install import prepare

    cluster = open_cluster(kubeconfig, context)
    plan = prepare(cluster, open_facility(cluster, facility)).plan
    if as_json:
        content = {"facility": plan.facility, "same": plan.empty, "changes": _plan.as_json(plan)}
        typer.echo(json.dumps(content, indent=2))
    elif plan.empty:
        typer.echo(f"Facility `{plan.facility}`: all is as it should be")
    else:
        page().print(_plan.changes(plan, full=True), soft_wrap=True)
    if not plan.empty:
        raise typer.Exit(DIFFERS)
