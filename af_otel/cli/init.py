"""`af-otel init`: look at a live cluster, and write down what facility is there."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from af_otel.cli._cluster import (
    FILE,
    ContextOption,
    FileOption,
    KubeconfigOption,
    open_cluster,
    options_of,
)
from af_otel.cli._local import JsonOption, console
from af_otel.errors import AfOtelError
from af_otel.local.view import called

if TYPE_CHECKING:
    from af_otel.facility.discovery import Found
    from af_otel.facility.discovery.page import Page


def init(
    facility: FileOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    hub: Annotated[
        str,
        typer.Option(metavar="NAMESPACE[/NAME]", help="Which JupyterHub, if there are several."),
    ] = "",
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Look in this namespace only; may be given more than once."
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What the facility is called in its telemetry.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file if there is one.")
    ] = False,
    to_stdout: Annotated[
        bool, typer.Option("--print", help="Print the file on stdout, and write nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find the JupyterHub, Dask and monitoring of a cluster, and write facility.yaml.

    Nothing is changed in the cluster, and nothing secret gets into the file.

    What may not be read is said, and left to be filled in.
    """
    from af_otel.facility import discovery
    from af_otel.facility.read import schema_text

    file = facility or Path(FILE)
    if to_stdout and as_json:
        raise typer.BadParameter("`--print` and `--json` both want stdout: ask for one")
    if name:
        _check_name(name)
    if not to_stdout and not force:
        _must_be_new(file)
    with contextlib.closing(open_cluster(kubeconfig, context)) as cluster:
        found = discovery.discover(
            cluster, namespaces=namespace or (), hub=hub, instead=_own(kubeconfig, context)
        )
    schema = file.with_suffix(".schema.json")
    usable = not to_stdout and _ours(schema)
    page = discovery.write(found, name=name, schema=schema.name if usable else "")
    complete = _checked(page, file)
    if to_stdout:
        typer.echo(page.text(), nl=False)
    else:
        _write(file, page.text(), force=force)
        if usable:
            _write(schema, schema_text(), force=True)
    if as_json:
        typer.echo(json.dumps(_as_json(found, page, file, complete=complete), indent=2))
    _tell(found, page)
    if not to_stdout:
        screen = console()
        options = options_of(facility, kubeconfig, context)
        screen.print(f"Wrote {file}", highlight=False, soft_wrap=True)
        screen.print(f"Next: {called()} validate{options}", highlight=False, soft_wrap=True)


def _own(kubeconfig: Path | None, context: str | None) -> list[str]:
    """The namespace that a context of the kubeconfig names, as `kubectl` would take it."""
    from kubernetes import config

    try:
        contexts, active = config.list_kube_config_contexts(str(kubeconfig) if kubeconfig else None)
    except config.ConfigException:
        return []
    chosen = next((item for item in contexts if item["name"] == context), active)
    namespace = chosen["context"].get("namespace")
    return [namespace] if namespace else []


def _check_name(name: str) -> None:
    from pydantic import TypeAdapter, ValidationError

    from af_otel.facility.values import Name

    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"], param_hint="--name") from None


def _must_be_new(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise AfOtelError(
            "The file is there already",
            where=f"`{file}`",
            hint="`--force` replaces it, `-f FILE` writes another, `--print` only shows",
        )


def _ours(schema: Path) -> bool:
    """Whether a schema may be put there: nothing is, or one that an earlier run has made."""
    try:
        return bool(json.loads(schema.read_text())["title"] == "Facility")
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _checked(page: Page, file: Path) -> bool:
    """Whether the page can be used as it is; what is wrong with it becomes something to do."""
    from af_otel.facility import FacilityInvalid, parse_text

    try:
        parse_text(page.text(), str(file))
    except FacilityInvalid as error:
        if not page.to_do:
            page.to_do += [f"`{item.field}`: {item.what}" for item in error.mistakes]
        return False
    return True


def _write(file: Path, text: str, *, force: bool) -> None:
    """Write a file at once or not at all, and over another one only if forced."""
    target = file.resolve()
    place = contextlib.ExitStack()
    try:
        with place:
            if not (force and target.exists()):
                target.touch(exist_ok=False)  # ours from here, with the mode that the umask gives
                place.callback(target.unlink, missing_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
            partial = Path(name)
            place.callback(partial.unlink, missing_ok=True)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            partial.chmod(stat.S_IMODE(target.stat().st_mode))
            partial.replace(target)
            place.pop_all()
    except FileExistsError:
        _must_be_new(file)
    except OSError as error:
        raise AfOtelError(
            f"The file cannot be written: {error.strerror}",
            where=f"`{file}`",
            hint="name one in a directory that you may write to, with `-f FILE`",
        ) from error


def _as_json(found: Found, page: Page, file: Path, *, complete: bool) -> dict[str, Any]:
    return {
        "file": str(file),
        "complete": complete,
        "cluster": {"host": found.host, "version": ".".join(map(str, found.version))},
        "hub": str(found.hub),
        "users": {"namespaces": found.users.namespaces, "running": found.users.running},
        "dask": [item.what for item in found.dask],
        "tempo": [item.what for item in found.trace_stores if item.kind == "tempo"],
        "jaeger": [item.what for item in found.trace_stores if item.kind == "jaeger"],
        "prometheus": [item.what for item in found.prometheuses],
        "grafana": [item.what for item in found.grafanas],
        "unread": [{"what": item.what, "hint": item.hint} for item in found.unread],
        "to_do": page.to_do,
    }


def _tell(found: Found, page: Page) -> None:
    """What a person wants to hear, on stderr."""
    screen = console()
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    places = ", ".join(f"`{name}`" for name in found.users.namespaces)
    table.add_row("Hub", Text(str(found.hub)))
    table.add_row("Users", Text(f"in {places}: {found.users.note}"))
    own = "none found" if found.partial else "none found; af-otel brings its own"
    for title, items, without in (
        ("Dask", found.dask, "none found"),
        ("Traces", found.trace_stores, own),
        ("Metrics", found.prometheuses, own),
        ("Grafana", found.grafanas, "none found"),
    ):
        what = "; ".join(item.what for item in items)
        table.add_row(title, Text(what or without, style="" if what else "yellow"))
    version = ".".join(map(str, found.version))
    screen.print(f"On {found.host}, Kubernetes {version}:", highlight=False)
    screen.print(table)
    for item in found.unread:
        screen.print(
            Text(f"Could not be read: {item.what}; {item.hint}", style="yellow"), soft_wrap=True
        )
    for to_do in page.to_do:
        screen.print(Text(f"Fill in {to_do}", style="yellow"), soft_wrap=True)
