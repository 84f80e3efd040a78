"""`af-otel dashboards`: list, export, check and open the Grafana dashboards."""

from __future__ import annotations

import json
import webbrowser
from enum import Enum
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
    help="Grafana dashboards: list, export, lint, open.",
    pretty_exceptions_enable=False,
)

NameOption = Annotated[
    str,
    typer.Option(
        "--name",
        metavar="FACILITY",
        help="Name of the facility, to distinguish its dashboards from those of others.",
    ),
]


class TraceStore(str, Enum):
    """A trace store that Grafana has a data source for."""

    TEMPO = "tempo"
    JAEGER = "jaeger"


TracesOption = Annotated[
    TraceStore, typer.Option("--traces", help="Trace store that the dashboards search.")
]


@dashboards.command("list")
def show(as_json: JsonOption = False) -> None:
    """List the dashboards with their descriptions."""
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
        for name, board in _dashboards().items()
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
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Created if it does not exist.")],
    facility: NameOption = "",
    traces: TracesOption = TraceStore.TEMPO,
) -> None:
    """Write the dashboards as JSON for import into Grafana 11 or newer.

    Their data sources are variables: readers choose a Prometheus, and a Tempo or a Jaeger. To
    search Jaeger, Grafana must be 12.0.2 or newer.
    """
    boards = _dashboards(facility, traces)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, board in boards.items():
            path = directory / f"{name}.json"
            path.write_text(json.dumps(board, indent=2) + "\n", encoding="utf-8")
            typer.echo(path)
    except OSError as error:
        raise AfOtelError(
            f"The dashboards could not be written: {error.strerror}",
            where=f"`{error.filename or directory}`",
            hint="name a directory that you may write to",
        ) from error


@dashboards.command()
def lint(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PATH]",
            help="Exported dashboard, or directory of them; by default those of af-otel.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check dashboards: those of af-otel, or those in a file or directory.

    Each panel needs a description and a unit. Each query must filter by facility, have balanced
    brackets, and ask for known metrics. No data source may be hard-coded, and no uid used twice.
    """
    from af_otel.grafana import lint as rules

    boards = _dashboards() if path is None else _read(path)
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
        bool, typer.Option("--browser/--no-browser", help="Open it in a browser.")
    ] = True,
) -> None:
    """Print the address of the dashboards in the facility's Grafana, and open it."""
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
            hint="put `grafana` on PATH or set AF_OTEL_GRAFANA to it before `af-otel up`; or run "
            "`af-otel dashboards export DIR` and import them into a Grafana that you have",
        )
    return f"{base}/d/{_dashboards()[HOME]['uid']}"


def _of_cluster(file: Path | None) -> str:
    from af_otel.facility import FILE, read
    from af_otel.grafana.dashboards import HOME
    from af_otel.kubernetes.objects.grafana import GRAFANA

    facility = read(file or Path(FILE))
    own = facility.backends.grafana
    path = f"/d/{_dashboards('' if own else facility.name)[HOME]['uid']}"
    if facility.grafana.url:
        return facility.grafana.url.rstrip("/") + path
    hint = (
        f"`kubectl -n {facility.namespace} port-forward service/{GRAFANA} 3000`, then "
        f"http://127.0.0.1:3000{path}"
        if own
        else f"set `grafana.url`; the dashboard is at `{path}` of it"
    )
    raise AfOtelError(
        "The address of the facility's Grafana is not known",
        where=f"`grafana.url` in `{file or FILE}` is not set",
        hint=hint,
    )


def _dashboards(
    facility: str = "", traces: TraceStore = TraceStore.TEMPO
) -> Mapping[str, Mapping[str, Any]]:
    from af_otel.grafana.dashboards import dashboards

    return dashboards(facility, choose=True, traces=traces.value)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise AfOtelError(
            f"`{path}` contains no dashboards",
            where=f"`{path}/*.json`",
            hint=f"`af-otel dashboards export {path}` writes those of af-otel",
        )
    return {file.stem: _board(file) for file in files}


def _board(path: Path) -> dict[str, Any]:
    try:
        board = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AfOtelError(
            f"The dashboard could not be read: {error.strerror}",
            where=f"`{path}`",
            hint="name a file or directory written by `af-otel dashboards export`",
        ) from error
    except ValueError as error:
        raise AfOtelError(
            f"`{path}` is not JSON", where=str(error), hint="export it from Grafana again"
        ) from error
    if not isinstance(board, dict) or not isinstance(board.get("panels"), list):
        raise AfOtelError(
            f"`{path}` is not a dashboard",
            where="a dashboard is an object with `panels`",
            hint="in Grafana: Export > Save as file, in the classic format",
        )
    return board
