"""`af-otel dashboards`: Grafana's dashboards, for those who have a Grafana."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from af_otel.cli._cluster import FileOption
from af_otel.cli._local import JsonOption, StateOption
from af_otel.cli._where import is_cluster
from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Mapping

dashboards = typer.Typer(
    no_args_is_help=True,
    help="Grafana's dashboards: list, export, lint, open.",
    pretty_exceptions_enable=False,
)

NameOption = Annotated[
    str, typer.Option("--name", metavar="FACILITY", help="Tell a facility's own apart by its name.")
]


@dashboards.command("list")
def show(as_json: JsonOption = False) -> None:
    """List the dashboards, each with what it is for."""
    from af_otel.cli._page import page
    from af_otel.grafana.queries import panels

    found = [
        {
            "name": name,
            "uid": board["uid"],
            "title": board["title"],
            "about": board["description"],
            "panels": len(list(panels(board))),
        }
        for name, board in _made().items()
    ]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("name", "title", "panels", "about"):
        table.add_column(
            heading, overflow="fold", justify="right" if heading == "panels" else "left"
        )
    for board in found:
        table.add_row(*(str(board[key]) for key in ("name", "title", "panels", "about")))
    page().print(table)


@dashboards.command()
def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.")],
    facility: NameOption = "",
) -> None:
    """Write the dashboards as JSON that any Grafana from 11 on imports.

    Their data sources are variables: who looks chooses a Prometheus and a Tempo.
    """
    made = _made(facility)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, board in made.items():
            path = directory / f"{name}.json"
            path.write_text(json.dumps(board, indent=2) + "\n", encoding="utf-8")
            typer.echo(path)
    except OSError as error:
        raise AfOtelError(
            f"Dashboards cannot be written: {error.strerror}",
            where=f"`{error.filename or directory}`",
            hint="name a directory that is yours",
        ) from error


@dashboards.command()
def lint(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PATH]",
            help="A dashboard that was exported, and changed there, or a directory of them.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is wrong with dashboards: ours, or those of a file or directory.

    Each panel has a description and a unit, each query is of the facility's, parses, and asks for
    metrics that somebody writes; no data source is hard-coded and no uid is there twice.
    """
    from af_otel.grafana import lint as rules

    boards = _made() if path is None else _read(path)
    problems = rules.lint(boards)
    if as_json:
        typer.echo(json.dumps({"dashboards": len(boards), "problems": problems}, indent=2))
    else:
        for problem in problems:
            typer.echo(f"error: {problem}", err=True)
        typer.echo(f"{len(boards)} dashboards, {len(problems) or 'no'} problems", err=True)
    if problems:
        raise typer.Exit(3)


@dashboards.command("open")
def open_(
    facility: FileOption = None,
    state: StateOption = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Also open it in a browser.")
    ] = True,
) -> None:
    """Print where the facility's Grafana shows the dashboards, and open it."""
    url = _of_cluster(facility) if is_cluster(facility, state) else _of_machine(state)
    typer.echo(url)
    if browser:
        webbrowser.open(url)


def _of_machine(state: Path | None) -> str:
    from af_otel.grafana.dashboards import HOME
    from af_otel.local import control
    from af_otel.local.state import State

    here = State.at(state)
    base = control.require(here).urls.get("grafana")
    if base is None:
        raise AfOtelError(
            "This facility has no Grafana",
            where=f"`{here.directory}`",
            hint="put `grafana` on PATH or name it by AF_OTEL_GRAFANA before `af-otel up`; "
            "or `af-otel dashboards export DIR` for one that you have",
        )
    return f"{base}/d/{_made()[HOME]['uid']}"


def _of_cluster(file: Path | None) -> str:
    from af_otel.facility import FILE, read
    from af_otel.grafana.dashboards import HOME
    from af_otel.kubernetes.objects.grafana import GRAFANA

    facility = read(file or Path(FILE))
    own = facility.backends.grafana
    path = f"/d/{_made('' if own else facility.name)[HOME]['uid']}"
    if facility.grafana.url:
        return facility.grafana.url.rstrip("/") + path
    hint = (
        f"`kubectl -n {facility.namespace} port-forward service/{GRAFANA} 3000`, then "
        f"http://127.0.0.1:3000{path}"
        if own
        else f"set `grafana.url`; the dashboard is at `{path}` there"
    )
    raise AfOtelError(
        "The facility's file does not say where its Grafana is",
        where=f"`grafana.url` in `{file or FILE}` is not set",
        hint=hint,
    )


def _made(facility: str = "") -> Mapping[str, Mapping[str, Any]]:
    from af_otel.grafana.dashboards import dashboards as made

    return made(facility, choose=True)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise AfOtelError(
            f"`{path}` has no dashboards in it",
            where="`*.json` there",
            hint=f"`af-otel dashboards export {path}` writes ours",
        )
    return {file.stem: _board(file) for file in files}


def _board(path: Path) -> dict[str, Any]:
    try:
        board = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AfOtelError(
            f"A dashboard cannot be read: {error.strerror}",
            where=f"`{path}`",
            hint="name a file or directory that `af-otel dashboards export` has written",
        ) from error
    except ValueError as error:
        raise AfOtelError(
            f"`{path}` is no JSON", where=str(error), hint="export it from Grafana again"
        ) from error
    if not isinstance(board, dict) or not isinstance(board.get("panels"), list):
        raise AfOtelError(
            f"`{path}` is no dashboard",
            where="a dashboard is an object with `panels`",
            hint="in Grafana: Export > Save as file, in the classic format",
        )
    return board
