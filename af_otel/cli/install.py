"""`af-otel install`: onto a cluster, checked, planned and proven."""

from __future__ import annotations

from typing import Annotated

import typer

from af_otel.cli._cluster import (
    ContextOption,
    FileOption,
    KubeconfigOption,
    TimeoutOption,
    YesOption,
)
from af_otel.cli._local import JsonOption

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan, change nothing.")]
NoRestartOption = Annotated[
    bool,
    typer.Option(
        "--no-restart", help="Leave the hub's pod alone; it is injected when it restarts."
    ),
]
SkipVerifyOption = Annotated[
    bool, typer.Option("--skip-verify", help="Do not prove afterwards that telemetry flows.")
]
ForceChecksOption = Annotated[
    bool, typer.Option("--force-checks", help="Go on although checks say what stands in the way.")
]
ForceConflictsOption = Annotated[
    bool,
    typer.Option("--force-conflicts", help="Set back what others have changed in our objects."),
]


def install(
    facility: FileOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    no_restart: NoRestartOption = False,
    with_backends: Annotated[
        bool,
        typer.Option(
            "--with-backends",
            help="Add a single-node Jaeger and Prometheus where the file names no destination.",
        ),
    ] = False,
    route: Annotated[
        str | None,
        typer.Option(metavar="ROUTE", help="How pods are injected: auto, policy, helm or env."),
    ] = None,
    skip_verify: SkipVerifyOption = False,
    force_checks: ForceChecksOption = False,
    force_conflicts: ForceConflictsOption = False,
    as_json: JsonOption = False,
    timeout: TimeoutOption = 300,
) -> None:
    """Install onto a cluster: checks, a plan to confirm, the objects, the proof.

    Doing it again completes what was interrupted, and changes nothing where nothing is to be
    changed. Only objects of its own are changed; users' running servers are left alone.
    """
    from af_otel.cli import _installing as shared
    from af_otel.cli._cluster import open_cluster, open_facility, options_of
    from af_otel.kubernetes.install import prepare

    cluster = open_cluster(kubeconfig, context)
    described = open_facility(cluster, facility, with_backends=with_backends)
    if route is not None:
        described = shared.with_route(described, route)
    wishes = shared.Wishes(
        yes=yes,
        dry_run=dry_run,
        restart=not no_restart,
        take_back=force_conflicts,
        as_json=as_json,
        timeout=timeout,
        options=options_of(facility, kubeconfig, context),
    )
    shared.preflight(cluster, described, force=force_checks)
    prepared = prepare(cluster, described)
    shared.finish(cluster, prepared, wishes, verify=not skip_verify)
