"""What `install` and `upgrade` share: from a plan to a facility that is proven."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import typer
from rich.text import Text

from af_otel import __version__
from af_otel.cli import _plan
from af_otel.cli._cluster import INTERRUPTED, confirm, end_like_ctrl_c
from af_otel.cli._local import console
from af_otel.cli._steps import Steps
from af_otel.facility.options import Injection
from af_otel.kubernetes import apply, install
from af_otel.local.view import called

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.install import Outcome, Prepared
    from af_otel.verify.report import Report

BLOCKED = 3


@dataclass(frozen=True)
class Wishes:
    """What the options say."""

    yes: bool
    dry_run: bool
    restart: bool
    take_back: bool
    as_json: bool
    timeout: float
    options: str  # of the cluster and the file, for the commands that are named


def carry_out(cluster: Cluster, prepared: Prepared, wishes: Wishes) -> Outcome | None:
    """Show the plan, ask, and make it so; None if it was only to be shown."""
    screen = console()
    show(prepared, wishes)
    apply.refuse_what_stands_in_the_way(prepared.plan, take_back=wishes.take_back)
    if wishes.dry_run:
        screen.print("Nothing was changed", highlight=False)
        return None
    restarts = bool(prepared.hub) and wishes.restart
    if not prepared.nothing_to_do or restarts:
        confirm("Go ahead?", yes=wishes.yes)
    end_like_ctrl_c()
    began = time.monotonic()
    with Steps(screen) as steps:
        steps.progress.patience = min(steps.progress.patience, wishes.timeout)
        try:
            return install.carry_out(
                cluster,
                prepared,
                steps.progress,
                timeout=wishes.timeout,
                take_back=wishes.take_back,
                restart_hub=wishes.restart,
            )
        except KeyboardInterrupt:
            interrupted = steps.progress.steps[-1].name if steps.progress.steps else "the start"
            took = time.monotonic() - began
    screen.print(
        f"Stopped after {took:.0f} s at: {interrupted}. What is applied stays.\n"
        f"  `{called()} install{wishes.options}` completes it, "
        f"`{called()} uninstall{wishes.options}` removes it",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    raise typer.Exit(INTERRUPTED)


def with_route(facility: Facility, route: str) -> Facility:
    """The facility, injected in another way than its file says."""
    routes = [*get_args(Injection.model_fields["route"].annotation)]
    if route not in routes:
        raise typer.BadParameter(f"it is one of {', '.join(routes)}", param_hint="--route")
    injection = facility.injection.model_copy(update={"route": route})
    return facility.model_copy(update={"injection": injection})


def preflight(cluster: Cluster, facility: Facility, *, force: bool) -> None:
    """Check what would stand in the way; end with 3 if something does.

    Parameters
    ----------
    force
        Tell, and go on.
    """
    from af_otel.checks import context, run
    from af_otel.cli._checks import Progress, page, verdict
    from af_otel.kubernetes import facts

    end_like_ctrl_c()  # probes are removed then, too
    screen = console()
    look = context.live(facility, cluster, lambda: facts.read(cluster, facility))
    with Progress(screen) as progress:
        report = run.run(look, progress=progress.update)
    if report.blocks or report.count("warns"):
        for line in page(report, screen.width if screen.is_terminal else None):
            screen.print(line, soft_wrap=True)
    else:
        screen.print(verdict(report), soft_wrap=True)
    if report.blocks and not force:
        raise typer.Exit(BLOCKED)


def finish(cluster: Cluster, prepared: Prepared, wishes: Wishes, *, verify: bool) -> None:
    """All that follows a plan, and how it went: on stderr, and as JSON if that is wanted."""
    outcome = carry_out(cluster, prepared, wishes)
    content = as_json(prepared, outcome)
    proof: Report | None = None
    if outcome is not None:
        if verify and prepared.injects and wishes.restart:
            proof = _prove(cluster, prepared.facility, wishes)
            content["verification"] = proof.as_json()
        tell(outcome, wishes, proof)
    if wishes.as_json:
        typer.echo(json.dumps(content, indent=2))
    if proof is not None and proof.end is not None:
        raise proof.end


def _prove(cluster: Cluster, facility: Facility, wishes: Wishes) -> Report:
    from af_otel.cli.verify import VISIT, visit
    from af_otel.verify.cluster import ClusterPlace

    return visit(ClusterPlace(cluster, facility, {}, wishes.options), VISIT)


def show(prepared: Prepared, wishes: Wishes) -> None:
    """The plan, on stderr: stdout is for data."""
    screen = console()
    before = prepared.before
    if prepared.plan.empty:
        screen.print(
            f"Facility `{prepared.facility.name}`: all is as it should be", highlight=False
        )
    else:
        since = before.current.af_otel if before and before.current else ""
        versions = f" {since} → {__version__}" if since and since != __version__ else ""
        screen.print(f"Facility `{prepared.facility.name}`{versions}\n", highlight=False)
        screen.print(_plan.changes(prepared.plan, full=wishes.dry_run), soft_wrap=True)
    for line in _plan.consequences(prepared, restart=wishes.restart):
        screen.print(Text(f"note: {line}"), soft_wrap=True)
    screen.print()


def tell(outcome: Outcome, wishes: Wishes, proof: Report | None) -> None:
    """How it went, and what to do next."""
    screen = console()
    done = outcome.applied or outcome.restarted
    line = Text("\nInstalled" if done else "\nReady", style="bold green")
    times = f" in {outcome.seconds:.1f} s"
    if outcome.pulled:
        times += f", {max(0.0, outcome.seconds - outcome.pulled):.1f} s besides pulling images"
    if proof is not None and proof.end is None:
        times += f"; proven in {proof.seconds:.1f} s more: `{called()} trace {proof.session}`"
    line.append(times, style="not bold default")
    screen.print(line, highlight=False, soft_wrap=True)
    screen.print(
        f"  {called()} status{wishes.options}: what is installed, and how it does\n"
        f"  {called()} uninstall{wishes.options}: takes it out",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def as_json(prepared: Prepared, outcome: Outcome | None) -> dict[str, Any]:
    """What was planned and done."""
    said: dict[str, Any] = {
        "facility": prepared.facility.name,
        "namespace": prepared.facility.namespace,
        "af_otel": __version__,
        "from": prepared.before.current.af_otel
        if prepared.before and prepared.before.current
        else None,
        "applied": outcome is not None,
        "changes": _plan.as_json(prepared.plan),
        "restarts": [pod["metadata"]["name"] for pod in prepared.hub],
        "notes": list(prepared.notes),
    }
    if outcome is not None:
        said["seconds"] = round(outcome.seconds, 3)
        said["seconds_pulling"] = round(outcome.pulled, 3)
    return said
