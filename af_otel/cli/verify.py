"""`af-otel verify`: a synthetic user, and the proof of each hop of its telemetry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from af_otel.cli._cluster import (
    INTERRUPTED,
    ContextOption,
    FileOption,
    KubeconfigOption,
    end_like_ctrl_c,
)
from af_otel.cli._local import JsonOption, StateOption, console
from af_otel.cli._where import is_cluster, options_of
from af_otel.errors import AfOtelError
from af_otel.local import control
from af_otel.local.state import State
from af_otel.local.view import state_option

if TYPE_CHECKING:
    from af_otel.verify.place import Place
    from af_otel.verify.report import Report

_LOCALLY, VISIT = 120, 600  # s; on a cluster, images may have to be pulled


def verify(
    facility: FileOption = None,
    state: StateOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="A profile of the hub's spawn form.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An answer to the hub's spawn form; repeatable."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=1,
            help=f"For all of it, but the clean-up: {_LOCALLY} if not told otherwise, "
            f"{VISIT} on a cluster.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Be a user: spawn, run a notebook, and prove each hop of what that left.

    A hop is proven when its spans are in the trace store, with parents, links and origin right,
    and Prometheus has counted what was done. The first that is not is named, with what to do.
    With a facility's file (`-f`, or facility.yaml here) it is the facility on that cluster, and
    the user is made for the occasion; else the one on this machine.
    """
    place: Place
    if is_cluster(facility, state):
        place = _on_a_cluster(
            facility,
            kubeconfig,
            context,
            {**({"profile": profile} if profile else {}), **_pairs(option or [])},
        )
    else:
        place = _local(state)
    report = visit(place, timeout or (VISIT if is_cluster(facility, state) else _LOCALLY))
    _end(report, place, as_json=as_json)


def visit(place: Place, timeout: float) -> Report:
    """The visit, told on stderr; `install` ends with one."""
    from af_otel.cli import _verification as shown
    from af_otel.verify.run import Verification

    # A cancelled job cleans up as Ctrl-C does.
    end_like_ctrl_c()
    with shown.Steps(console(), place.name) as steps:
        verification = Verification(place, timeout, steps.update)
        try:
            return verification.run()
        except KeyboardInterrupt:
            # Of an interrupted visit, only a clean-up that failed is an error.
            left = verification.report.error
    typer.echo(f"warning: {left}" if left else "Stopped; nothing is left of its user", err=True)
    raise typer.Exit(INTERRUPTED)


def _end(report: Report, place: Place, *, as_json: bool) -> None:
    """Print what was found, and end as it did."""
    from af_otel.cli import _verification as shown
    from af_otel.cli._page import page

    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        out = page()
        out.print(shown.proofs(report, out.width))
        if report.ok:
            out.print(shown.verdict(report, place.look_at(report.session)), soft_wrap=True)
    if report.left is not None:
        typer.echo(f"warning: {report.left}", err=True)
    if report.end is not None:
        raise report.end


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"`{each}` is no NAME=VALUE", param_hint="--option")
        pairs[name] = value
    return pairs


def _on_a_cluster(
    facility: Path | None, kubeconfig: Path | None, context: str | None, answers: dict[str, Any]
) -> Place:
    from af_otel.cli._cluster import open_cluster, open_facility
    from af_otel.verify.cluster import ClusterPlace

    cluster = open_cluster(kubeconfig, context)
    described = open_facility(cluster, facility)
    return ClusterPlace(cluster, described, answers, options_of(facility, kubeconfig, context))


def _local(state: Path | None) -> Place:
    from af_otel.verify.local import LocalPlace

    facility = control.require(State.at(state))
    if not facility.ready:
        option = state_option(facility)
        raise AfOtelError(
            "The facility is not ready",
            where=", ".join(
                f"`{name}` is {facility.services[name].state}"
                for name in (*facility.dead, *facility.unresponsive)
            )
            or "it is starting, or stopping",
            hint=f"see `af-otel status{option}`; `af-otel up{option}` starts again what has died",
        )
    return LocalPlace(facility)
