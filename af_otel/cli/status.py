"""`af-otel status`: how a facility does, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table
from rich.text import Text

from af_otel.backends.prometheus import Prometheus
from af_otel.cli import _refused
from af_otel.cli._cluster import (
    ContextOption,
    FileOption,
    KubeconfigOption,
    is_cluster,
    open_cluster,
    open_facility,
    options_of,
)
from af_otel.cli._local import JsonOption, StateOption, console
from af_otel.local import control, processes, view
from af_otel.local.state import ENOUGH, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from af_otel.local.facility import Facility, ServiceStatus


def status(
    state: StateOption = None,
    facility: FileOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a facility does; exit 1 if something of it is dead, changed or not there.

    With a facility's file (`-f`, or facility.yaml here) the one on that cluster: what is installed
    and whether it is still so, which pods are injected, what arrived last. Else the services of the
    one on this machine.
    """
    if is_cluster(facility, state):
        from af_otel.cli import _cluster_status

        cluster = open_cluster(kubeconfig, context)
        described = open_facility(cluster, facility)
        again = options_of(facility, kubeconfig, context)
        _cluster_status.show(cluster, described, again, as_json=as_json)
        return
    _local(state, as_json=as_json)


def _local(state: Path | None, *, as_json: bool) -> None:
    place = State.at(state)
    facility = control.current(place)
    if facility is None:
        if as_json:
            typer.echo(json.dumps({"running": False, "state": str(place.directory)}))
        console().print(f"No facility runs in {place.directory}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)
    memory = {
        name: processes.memory(service.pid) if service.pid else 0
        for name, service in facility.services.items()
    }
    last_span = _last_span(place, processes.age(facility.pid))
    refused = _refused.read(_prometheus(facility))
    free = shutil.disk_usage(place.directory).free
    if free < ENOUGH:
        facility.notes.append(f"the disk is almost full: {free / 1e6:.0f} MB are free")
    if as_json:
        content: dict[str, Any] = {"running": True, **facility.as_json(), "last_span": last_span}
        content["refused"] = _refused.as_json(refused)
        for name, size in memory.items():
            content["services"][name]["memory"] = size
        typer.echo(json.dumps(content, indent=2))
    else:
        _print(facility, memory, last_span)
        for line in _refused.lines(refused):
            console().print(line, highlight=False, soft_wrap=True, markup=False)
    if facility.dead or facility.unresponsive or facility.phase == "failed":
        raise typer.Exit(1)


@contextlib.contextmanager
def _prometheus(facility: Facility) -> Iterator[Prometheus]:
    yield Prometheus(facility.urls["prometheus"], facility.access())


def _print(facility: Facility, memory: dict[str, int], last_span: float | None) -> None:
    screen = console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("service", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("pid", "up for", "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("address", overflow="fold")
    for name, service in facility.services.items():
        running = service.pid is not None
        table.add_row(
            name,
            Text(_state(service), style=view.MARKS.get(service.state, ("", ""))[1]),
            str(service.pid or ""),
            duration(processes.age(service.pid)) if service.pid else "",
            f"{memory[name] / 1e6:.0f} MB" if running else "",
            service.url,
        )
    total = sum(memory.values())
    screen.print(table, highlight=False)
    seen = "none yet" if last_span is None else f"{duration(time.time() - last_span)} ago"
    screen.print(
        f"\n{facility.phase}, up for {duration(processes.age(facility.pid))}, "
        f"{total / 1e6:.0f} MB; last span: {seen}",
        highlight=False,
    )
    if facility.keys:
        screen.print(view.ways_in(facility), highlight=False)
    for note in facility.notes:
        screen.print(f"note: {note}", highlight=False, soft_wrap=True)
    for name in facility.unresponsive:
        view.View(screen).error(
            f"`{name}` runs and does not answer",
            where=f"`{facility.services[name].url}`",
            hint=f"`af-otel logs {name}{view.state_option(facility)}` may say why",
        )
    for error in facility.errors:
        view.View(screen).error(**error)


def _state(service: ServiceStatus) -> str:
    return f"dead: {service.ended}" if service.ended else service.state


def _last_span(place: State, age: float) -> float | None:
    """Return when the Collector last wrote spans, if that was while the facility ran."""
    try:
        found = place.spans_file.stat()
    except OSError:
        return None
    return found.st_mtime if found.st_size and time.time() - found.st_mtime < age else None


def duration(seconds: float) -> str:
    """Two units of time, such as `2 h 5 min`."""
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
