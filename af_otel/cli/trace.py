"""`af-otel trace`: the story of a session or a trace, as a tree."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from af_otel.cli._cluster import ContextOption, FileOption, KubeconfigOption
from af_otel.cli._local import JsonOption, StateOption
from af_otel.cli._local import console as screen
from af_otel.cli._where import is_cluster
from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from af_otel.backends.store import TraceStore
    from af_otel.backends.story import Story


def trace(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[TRACE|SESSION|last]", help="Id of a trace or a session; or what ran last."
        ),
    ] = "last",
    *,
    facility: FileOption = None,
    state: StateOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            "--tempo",
            metavar="URL",
            help="The query API of a Jaeger or Tempo, instead of the facility's.",
        ),
    ] = None,
    whole_session: Annotated[
        bool, typer.Option("--session", help="The whole session that the trace belongs to.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Every span: fold none of many alike.")
    ] = False,
    as_json: JsonOption = False,
    as_html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a page to look at in a browser, which needs nothing but itself.",
        ),
    ] = None,
) -> None:
    """Tell what a session, or one trace, did: each span under what set it off."""
    from af_otel.backends import find
    from af_otel.backends.connect import connect
    from af_otel.cli._page import page
    from af_otel.cli._story import Lines, heading

    with contextlib.ExitStack() as stack:
        if store is not None:
            server = connect("otlp", store)
        elif is_cluster(facility, state):
            server = stack.enter_context(_of_cluster(facility, kubeconfig, context))
        else:
            server = _of_facility(state)
        story = find.story(server, what, whole_session=whole_session)
    if as_html is not None:
        _write(story, as_html)
    if as_json:
        json.dump(story.as_json(), sys.stdout, indent=2)
        sys.stdout.write("\n")
    if as_json or as_html is not None:
        return
    console = page()
    for line in heading(story):
        console.print(line)
    console.print()
    console.print(Lines(story, console.width, everything=everything).table)


def _write(story: Story, path: Path) -> None:
    from af_otel.page.document import document

    try:
        # What a person did is not for everybody on this machine. In place: it may be a pipe.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(path.expanduser(), flags, 0o600), "w", encoding="utf-8") as file:
            file.write(document(story))
    except OSError as error:
        raise AfOtelError(
            f"The page cannot be written: {error.strerror or error}",
            where=f"`{path}`",
            hint="name a file in a directory that you may write to",
        ) from error
    screen().print(f"Open {path.expanduser().resolve().as_uri()}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _of_cluster(
    facility: Path | None, kubeconfig: Path | None, context: str | None
) -> Iterator[TraceStore]:
    from af_otel.cli._cluster import open_cluster, open_facility
    from af_otel.verify import reach

    cluster = open_cluster(kubeconfig, context)
    with reach.trace_store(cluster, open_facility(cluster, facility)) as store:
        yield store


def _of_facility(state: Path | None) -> TraceStore:
    from af_otel.backends.connect import connect
    from af_otel.local import control
    from af_otel.local.state import State

    found = control.require(State.at(state))
    return connect(found.trace_store, found.urls["traces"], found.access())
