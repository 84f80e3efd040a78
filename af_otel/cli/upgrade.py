"""`af-otel upgrade`: from the version that is installed to this one, and back."""

from __future__ import annotations

from typing import Annotated

import typer

from af_otel import __version__
from af_otel.cli._cluster import (
    ContextOption,
    FileOption,
    KubeconfigOption,
    TimeoutOption,
    YesOption,
)
from af_otel.cli._local import JsonOption, console
from af_otel.cli.install import (
    DryRunOption,
    ForceChecksOption,
    ForceConflictsOption,
    NoRestartOption,
    SkipVerifyOption,
)
from af_otel.errors import AfOtelError


def upgrade(
    facility: FileOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to what was installed before.")
    ] = False,
    no_restart: NoRestartOption = False,
    skip_verify: SkipVerifyOption = False,
    force_checks: ForceChecksOption = False,
    force_conflicts: ForceConflictsOption = False,
    as_json: JsonOption = False,
    timeout: TimeoutOption = 300,
) -> None:
    """Bring what is installed to this version and to what facility.yaml says now.

    With --rollback, back to the objects that were there before the last change. The hub's pod is
    started anew if what is injected is another one; users' pods get it when they next start.
    """
    from af_otel.cli import _installing as shared
    from af_otel.cli._cluster import open_cluster, open_facility, options_of
    from af_otel.kubernetes import install, inventory

    cluster = open_cluster(kubeconfig, context)
    described = open_facility(cluster, facility)
    before = inventory.read(cluster, described.namespace)
    if before is None or before.current is None:
        raise AfOtelError(
            "Nothing is installed that could be upgraded",
            where=f"no inventory in namespace `{described.namespace}`",
            hint="`af-otel install` installs it",
        )
    wishes = shared.Wishes(
        yes=yes,
        dry_run=dry_run,
        restart=not no_restart,
        take_back=force_conflicts,
        as_json=as_json,
        timeout=timeout,
        options=options_of(facility, kubeconfig, context),
    )
    if rollback:
        prepared = install.prepare_rollback(cluster, described, before)
    else:
        shared.preflight(cluster, described, force=force_checks)
        prepared = install.prepare(cluster, described)
    target = before.previous if rollback else None
    to = f"{target.af_otel} of {target.applied}" if target else __version__
    console().print(
        f"From {before.current.af_otel} of {before.current.applied} to {to}\n", highlight=False
    )
    shared.finish(cluster, prepared, wishes, verify=not skip_verify)
