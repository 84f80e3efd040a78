"""`af-otel status` of a facility on a cluster."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table
from rich.text import Text

from af_otel.backends.words import count
from af_otel.cli import _refused
from af_otel.cli._page import page
from af_otel.cli._plan import place
from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from rich.console import Console

    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.plan import Change
    from af_otel.kubernetes.status import Status
    from af_otel.verify.counters import Counters, Signal

_LOOK_BACK = 86400  # seconds
_DRIFT = {"create": "deleted", "change": "changed", "foreign": "replaced by somebody else's"}


def show(cluster: Cluster, facility: Facility, options: str, *, as_json: bool) -> None:
    """Print it; exit 1 if nothing is installed, or not all of it is well."""
    from af_otel.kubernetes import status
    from af_otel.verify import counters, reach

    found = status.read(cluster, facility)
    if found is None:
        if as_json:
            typer.echo(json.dumps({"installed": False, "facility": facility.name}))
        else:
            typer.echo(f"Facility `{facility.name}`: nothing is installed")
        raise typer.Exit(1)
    counted = counters.read(cluster, facility)
    last, problem = _last_data(cluster, facility)
    refused = _refused.read(reach.prometheus(cluster, facility))
    if as_json:
        content = _as_json(found, counted, last, problem)
        content["refused"] = _refused.as_json(refused)
        typer.echo(json.dumps(content, indent=2))
    else:
        out = page()
        _print(out, found, counted, last, problem, options)
        for line in _refused.lines(refused):
            out.print(line, soft_wrap=True, markup=False)
    if not found.well or found.blocked:
        raise typer.Exit(1)


def _print(
    out: Console,
    found: Status,
    counted: dict[Signal, Counters],
    last: dict[str, float | None],
    problem: str,
    options: str,
) -> None:
    installed, revision = found.installed, found.installed.current
    state = "" if installed.state == "complete" else f", {_unfinished(found)}"
    since = f"af-otel {revision.af_otel}, {_ago(revision.applied)}" if revision else "nothing yet"
    out.print(
        f"Facility `{installed.facility}` in `{installed.namespace}`: {since}, "
        f"{count(len(installed.refs), 'object')}{state}\n",
        soft_wrap=True,
    )
    for change in found.drift:
        out.print(Text(f"! {_drifted(change)}", style="yellow"), soft_wrap=True)
    for ref, doing in found.waiting.items():
        out.print(Text(f"! {ref} does not run: {doing}", style="bold red"), soft_wrap=True)
    if installed.state == "removing":
        out.print(f"  `af-otel uninstall{options}` completes it\n", soft_wrap=True)
    elif not found.well:
        out.print(
            f"  `af-otel diff{options}` shows what, `af-otel install{options}` mends it\n",
            soft_wrap=True,
        )
    for pod in found.blocked:
        what = f"! Pod {pod.namespace}/{pod.name} cannot start: its image has no shell"
        out.print(Text(what, style="bold red"), soft_wrap=True)
        out.print(
            f"  add `{pod.image}` to `injection.exclude_images` in facility.yaml, run "
            f"`af-otel install{options}`, and delete the pod\n",
            soft_wrap=True,
            markup=False,
        )
    out.print(_pods(found))
    before = found.count("user", "before") + found.count("user", "older")
    if before:
        out.print(f"{count(before, 'server')} of users start with it when next started")
    hub = found.count("hub", "before") + found.count("hub", "older")
    if hub:
        out.print(f"The hub needs a restart: `af-otel install{options}` does it")
    out.print(f"\nCollector, since its start{'' if counted else ': does not answer'}")
    for signal, counts in counted.items():
        out.print(f"  {signal.replace('_', ' ')}: {counts}", soft_wrap=True, highlight=False)
    out.print(_services(last) if not problem else f"Last data: not known: {problem}")


def _pods(found: Status) -> Table:
    from af_otel.kubernetes.status import ROLES, STATES

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("pods", no_wrap=True)
    for title in ("injected", "older", "from before", "left out", "blocked"):
        table.add_column(title, justify="right", no_wrap=True)
    for role in ROLES:
        numbers = [found.count(role, state) for state in STATES]
        table.add_row(role, *(str(number or "") for number in numbers))
    return table


def _services(last: dict[str, float | None]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("service", no_wrap=True)
    table.add_column("last data", no_wrap=True)
    for service, at in last.items():
        table.add_row(service, "none today" if at is None else _since(time.time() - at))
    return table


def _last_data(cluster: Cluster, facility: Facility) -> tuple[dict[str, float | None], str]:
    """When each service was last heard of; or why that is not known."""
    from af_otel_semconv import services

    from af_otel.verify import reach

    known = (
        services.JUPYTERHUB,
        services.JUPYTER_SERVER,
        services.JUPYTER_KERNEL,
        services.DASK_SCHEDULER,
        services.DASK_WORKER,
    )
    found: dict[str, float | None] = {}
    try:
        with reach.trace_store(cluster, facility) as store:
            for service in known:
                found[service] = store.last_seen(
                    service, facility.name, start=time.time() - _LOOK_BACK
                )
    except AfOtelError as error:
        return {}, error.what
    return found, ""


def _drifted(change: Change) -> str:
    by = ", ".join(sorted(set((change.owners or {}).values())))
    what = _DRIFT.get(change.action, change.action)
    return f"{change.ref.kind} {place(change.ref)} was {what}" + (f" by `{by}`" if by else "")


def _unfinished(found: Status) -> str:
    return {
        "applying": "an install was interrupted",
        "removing": "an uninstall was interrupted",
    }.get(found.installed.state, found.installed.state)


def _ago(applied: str) -> str:
    then = dt.datetime.fromisoformat(applied)
    return _since((dt.datetime.now(dt.timezone.utc) - then).total_seconds())


def _since(seconds: float) -> str:
    from af_otel.backends.words import duration

    return f"{duration(max(1.0, round(seconds)))} ago"


def _as_json(
    found: Status, counted: dict[Signal, Counters], last: dict[str, float | None], problem: str
) -> dict[str, Any]:
    installed, revision = found.installed, found.installed.current
    return {
        "installed": True,
        "well": found.well and not found.blocked,
        "facility": installed.facility,
        "namespace": installed.namespace,
        "state": installed.state,
        "af_otel": revision.af_otel if revision else None,
        "applied": revision.applied if revision else None,
        "facility_hash": revision.facility_hash if revision else None,
        "previous": installed.previous.applied if installed.previous else None,
        "objects": [vars(ref) for ref in installed.refs],
        "drift": [
            {**change.as_json(), "what": _DRIFT.get(change.action, change.action)}
            for change in found.drift
        ],
        "not_running": [{**vars(ref), "doing": doing} for ref, doing in found.waiting.items()],
        "pods": [pod.as_json() for pod in found.pods],
        # Spans, and beside them the points of metrics.
        "collector": {**vars(counted["spans"]), "metric_points": vars(counted["metric_points"])}
        if counted
        else None,
        "last_data": {
            service: None
            if at is None
            else dt.datetime.fromtimestamp(at, dt.timezone.utc).isoformat()
            for service, at in last.items()
        },
        "last_data_problem": problem or None,
    }
