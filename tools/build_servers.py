#!/usr/bin/env python3
"""Build the real servers that the local facility and the tests run, once per pinned version.

A server that a setting names, or that is on PATH and fits, is used as it is.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from af_otel.errors import AfOtelError
from af_otel.local import servers
from building import recipes
from building.lock import exclusive
from building.own_caches import kept_while_building
from building.progress import Progress
from building.unfinished import unfinished

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; errors that a person can mend are printed as such."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        wanted = options.servers or _buildable(options.used_by)
        kinds = [servers.known(name) for name in wanted]
        if options.list:
            _list()
        else:
            missing = [kind for kind in kinds if not _is_there(kind)]
            if missing:
                _build(missing)
        if options.json:
            found = [servers.find(kind.name) for kind in kinds]
            print(json.dumps({s.name: _as_json(s) for s in found}, indent=2))
    except AfOtelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was compiled so far is kept for the next time", file=sys.stderr)
        return INTERRUPTED
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "servers",
        nargs="*",
        metavar="SERVER",
        help=f"for `af-otel up`, {', '.join(_buildable('up'))}"
        f"; for a cluster, {', '.join(_buildable('cluster'))}"
        f"; for the tests, {', '.join(_buildable('tests'))}; default: all that --for says",
    )
    parser.add_argument(
        "--for",
        dest="used_by",
        choices=("up", "cluster", "tests"),
        default="up",
        help="what `af-otel up` runs (default), a Kubernetes of one node, or the tests alone",
    )
    parser.add_argument("--list", action="store_true", help="say where each is; build nothing")
    parser.add_argument("--json", action="store_true", help="where each is, as JSON on stdout")
    return parser.parse_args(arguments)


def _buildable(used_by: str) -> list[str]:
    return [k.name for k in servers.KNOWN.values() if k.pins and k.used_by == used_by]


def _is_there(kind: servers.Kind) -> bool:
    try:
        servers.find(kind.name)
    except servers.ServerNotFound:
        if not kind.pins:
            raise
        for other in servers.unfit_on_path(kind):
            print(f"note: {other}; needed is {kind.fits}, so our own is built", file=sys.stderr)
        return False
    return True


def _build(kinds: list[servers.Kind]) -> None:
    with Progress(len(kinds)) as progress, kept_while_building(progress):
        for kind in kinds:
            progress.server(kind.name)
            directory = servers.target(kind)
            with exclusive(directory.parent / ".lock", progress.say):
                if directory.is_dir():
                    progress.say(f"{kind.name}: another process has built it")
                    continue
                log = directory.parent / "build.log"
                log.write_text("", encoding="utf-8")
                with unfinished(directory) as building:
                    recipes.build(kind, building, log, progress)
                progress.finished()


def _list() -> None:
    for name in servers.KNOWN:
        print(f"{name:24} {_where(name)}")


def _where(name: str) -> str:
    try:
        found = servers.find(name)
    except AfOtelError as error:
        return f"{'-':10} {error.what}"
    return f"{found.version:10} {found.path} ({found.source})"


def _as_json(server: servers.Server) -> dict[str, str]:
    return {"path": str(server.path), "version": server.version, "source": server.source}


def _terminated(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
