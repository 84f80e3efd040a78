"""Go's caches when Go itself is ours: used by all builds, then 7 GB that nobody needs."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from typing import TYPE_CHECKING

from af_otel.local import servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from building.progress import Progress


def directory() -> Path:
    """Where a Go that is ours keeps modules and compiled packages."""
    return servers.cache().parent / "go"


@contextlib.contextmanager
def kept_while_building(progress: Progress) -> Iterator[None]:
    """Keep them for a build that goes on later; remove them after one that succeeded.

    Builds share a lock on them; who can have it alone is the last one.
    """
    directory().parent.mkdir(parents=True, exist_ok=True)
    with (directory().parent / ".go.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
        if not directory().exists():
            return
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            progress.phase("removing what only the build needed")
            shutil.rmtree(directory())
