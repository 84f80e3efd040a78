"""What the commands for a cluster share: their options, the facility's file, the connection."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster

FileOption = Annotated[
    Path | None,
    typer.Option(
        "--facility",
        "-f",
        metavar="FILE",
        help="The facility's file. (default: facility.yaml)",
        show_default=False,
    ),
]
KubeconfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="Which cluster, and as whom. (default: $KUBECONFIG, else ~/.kube/config)",
        show_default=False,
    ),
]
ContextOption = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", help="A context of the kubeconfig."),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
TimeoutOption = Annotated[
    float,
    typer.Option(metavar="SECONDS", min=1, help="How long to wait for what runs or ends."),
]

INTERRUPTED = 130
FILE = "facility.yaml"  # its reader takes a fifth of a second to load, too long for every command
BACKENDS = ("jaeger", "prometheus", "grafana")
_HINT = "`af-otel init` writes one from what it finds in the cluster"


def facility_file(path: Path | None) -> Path:
    """The facility's file: the one named, or that of the working directory.

    Raises
    ------
    AfOtelError
        It is not there.
    """
    found = path or Path(FILE)
    if not found.is_file():
        raise AfOtelError(f"There is no `{found}`", where=str(Path.cwd()), hint=_HINT)
    return found


def is_cluster(facility: Path | None, state: Path | None) -> bool:
    """Whether a command means a facility on a cluster, or the one on this machine.

    Raises
    ------
    typer.BadParameter
        It says both.
    """
    if facility is not None and state is not None:
        raise typer.BadParameter("a facility is on a cluster or on this machine: name one")
    return facility is not None or (state is None and Path(FILE).is_file())


def open_cluster(kubeconfig: Path | None, context: str | None) -> Cluster:
    """Connect; late, as not every command needs the packages for it."""
    from af_otel.kubernetes.client import Cluster

    return Cluster.connect(kubeconfig, context)


def open_facility(cluster: Cluster, path: Path | None, *, with_backends: bool = False) -> Facility:
    """The facility of a file, with the backends that it was installed with.

    Whoever has said `--with-backends` once need not remember it: without it, what they hold would
    be deleted. A file that names a backend has the last word on it.
    """
    from af_otel.facility import read

    file = facility_file(path)
    if with_backends:
        return read(file, with_backends=True)
    try:
        return _with_its_backends(cluster, read(file), file)
    except AfOtelError as error:
        # A file without destinations is whole with the backends that are there in their place.
        try:
            wide = read(file, with_backends=True)
        except AfOtelError:
            raise error from None
        described = _with_its_backends(cluster, wide, file)
        if described is wide:
            raise
        return described


def _with_its_backends(cluster: Cluster, facility: Facility, file: Path) -> Facility:
    from af_otel.facility import parse_text
    from af_otel.facility._yaml import parse
    from af_otel.kubernetes import inventory
    from af_otel.kubernetes.errors import Forbidden

    try:
        installed = inventory.read(cluster, facility.namespace)
    except Forbidden:
        return facility  # the checks say which rights lack, all of them
    current = installed.current.facility if installed and installed.current else {}
    if current.get("name") != facility.name:
        return facility
    document = parse(file.read_text(encoding="utf-8-sig")).data
    had, named = current.get("backends") or {}, document.get("backends") or {}
    kept = {name: True for name in BACKENDS if had.get(name) and name not in named}
    if not kept:
        return facility
    written = yaml.safe_dump(document | {"backends": named | kept}, sort_keys=False)
    return parse_text(written, str(file))


def confirm(question: str, *, yes: bool) -> None:
    """Ask, and end the command if the answer is no.

    Raises
    ------
    AfOtelError
        There is nobody to ask.
    """
    if yes:
        return
    if not _somebody_there():
        raise AfOtelError(
            "Nobody is there to confirm it, and nothing was changed",
            where="standard input is no terminal",
            hint="`--yes` goes ahead without asking; `--dry-run` only shows the plan",
        )
    if not typer.confirm(question, err=True):
        typer.echo("Nothing was changed", err=True)
        raise typer.Exit(1)


def _somebody_there() -> bool:
    import sys

    return sys.stdin is not None and sys.stdin.isatty()


def options_of(facility: Path | None, kubeconfig: Path | None, context: str | None) -> str:
    """The same cluster and file for another command."""
    given = {"-f": facility, "--kubeconfig": kubeconfig, "--context": context}
    return "".join(f" {name} {value}" for name, value in given.items() if value)


def end_like_ctrl_c() -> None:
    """Have a cancelled job say what it leaves, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
