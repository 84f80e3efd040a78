"""Which facility a command is about that may mean the one on this machine, or one on a cluster."""

from __future__ import annotations

import shlex
from pathlib import Path

from af_otel.facility import FILE


def is_cluster(facility: Path | None, state: Path | None) -> bool:
    """Whether a facility's file is named, or lies here while no state directory is named."""
    return facility is not None or (state is None and Path(FILE).is_file())


def options_of(facility: Path | None, kubeconfig: Path | None, context: str | None) -> str:
    """What another command needs to find the same cluster and file, with a space before it."""
    given = {"-f": facility, "--kubeconfig": kubeconfig, "--context": context}
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in given.items() if value)
