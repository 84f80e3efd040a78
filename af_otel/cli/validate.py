"""`af-otel validate`: say what stands in the way of an install, and change nothing."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from af_otel.cli._cluster import (
    INTERRUPTED,
    ContextOption,
    FileOption,
    KubeconfigOption,
    YesOption,
    confirm,
    end_like_ctrl_c,
    open_cluster,
    open_facility,
)
from af_otel.cli._local import JsonOption, console
from af_otel.errors import AfOtelError
from af_otel.facility import FILE, read

if TYPE_CHECKING:
    from rich.console import Console

    from af_otel.checks._registry import Check
    from af_otel.checks.context import Context
    from af_otel.checks.run import Report
    from af_otel.kubernetes.client import Cluster

IN_THE_WAY = 3


def validate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="With --offline: rendered manifests, or values of z2jh or dask-gateway.",
            show_default=False,
        ),
    ] = None,
    facility: FileOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Check files, without any cluster.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Only these; a part of a name will do."),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(metavar="CHECK", help="Not these.")] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is af-otel's own to mend.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the checks, and do nothing.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a cluster, or files, for what an install needs; exit 3 if something is in the way.

    For some seconds pods of ours run beside the facility's, like them but for what they do, and
    one with the Collector, which sends each destination a span `validate` or a sample.
    """
    from af_otel.checks import run

    checks = run.chosen(only or (), skip or ())
    if list_:
        _list(checks, as_json=as_json)
        return
    if offline != bool(paths):
        raise typer.BadParameter("`--offline` and the files to check belong together")
    if offline and fix:
        raise typer.BadParameter("`--fix` needs the cluster: without `--offline`")
    end_like_ctrl_c()
    screen = console()
    if offline:
        report = _run(_of_files(paths or [], facility), checks, screen, paths)
        _report(report, screen, as_json=as_json)
        return
    with contextlib.closing(open_cluster(kubeconfig, context)) as cluster:
        report = _run(_of_cluster(cluster, facility), checks, screen)
        if fix and _fix(cluster, report, yes=yes, screen=screen):
            report = _run(_of_cluster(cluster, facility), checks, screen)
    _report(report, screen, as_json=as_json)


def _of_files(paths: list[Path], file: Path | None) -> Context:
    from af_otel.checks import offline

    described = file or (Path(FILE) if Path(FILE).is_file() else None)
    return offline.context(paths, read(described) if described else None)


def _of_cluster(cluster: Cluster, file: Path | None) -> Context:
    from af_otel.checks import context
    from af_otel.kubernetes import facts

    facility = open_facility(cluster, file)
    return context.live(facility, cluster, lambda: facts.read(cluster, facility))


def _run(
    context: Context, checks: list[Check], screen: Console, paths: list[Path] | None = None
) -> Report:
    from af_otel.checks import run
    from af_otel.cli._checks import Progress

    where = ", ".join(str(path) for path in paths or ())
    try:
        with Progress(screen) as progress:
            return run.run(context, checks, progress.update, where=where)
    except KeyboardInterrupt:
        typer.echo("Stopped; the probe pods are gone", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _report(report: Report, screen: Console, *, as_json: bool) -> None:
    from af_otel.cli import _checks

    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        for line in _checks.page(report, screen.width if screen.is_terminal else None):
            screen.print(line, soft_wrap=True)
    if report.blocks:
        raise typer.Exit(IN_THE_WAY)
    if report.done and len({item.check for item in report.unchecked}) == len(report.done):
        raise AfOtelError(
            "Nothing could be checked",
            where=report.unchecked[0].why,
            hint=report.unchecked[0].hint,
        )


def _fix(cluster: Cluster, report: Report, *, yes: bool, screen: Console) -> bool:
    """Mend what can be; whether anything was."""
    found = [finding for finding in report.findings if finding.fixable]
    if not found:
        screen.print("Nothing of this is for `--fix` to mend\n", highlight=False)
        return False
    for finding in found:
        screen.print(f"To mend: {finding.what}", highlight=False, markup=False, soft_wrap=True)
    confirm("Mend it?", yes=yes)
    for finding in found:
        for obj in finding.fix:
            if obj["metadata"].get("deletionTimestamp"):
                cluster.delete(obj, grace=0)
            else:
                cluster.apply(obj, force=True)
    return True


def _list(checks: list[Check], *, as_json: bool) -> None:
    from af_otel.cli import _checks
    from af_otel.cli._page import page

    if as_json:
        rows = [
            {
                "check": check.name,
                "group": check.group,
                "asks": check.asks,
                "offline": check.source == "files",
                "reason": check.reason,
            }
            for check in checks
        ]
        typer.echo(json.dumps(rows, indent=2))
    else:
        page().print(_checks.listed(checks))
