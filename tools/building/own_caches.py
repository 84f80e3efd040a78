"""Go's caches when Go itself is ours: used by all builds, then 7 GB that nobody needs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from typing import TYPE_CHECKING

from af_otel.local import servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from building.progress import Progress

REMOVED = ".removed-"


def directory() -> Path:
    """Where a Go that is ours keeps modules and compiled packages."""
    return servers.cache().parent / "go"


@contextlib.contextmanager
def kept_while_building(progress: Progress) -> Iterator[None]:
    """Keep them for a build that goes on later; remove them after one that succeeded.

    Builds share a lock on them; who can have it alone is the last one.
    """
    root = directory().parent
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".go.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if directory().exists():
                directory().rename(root / f"{REMOVED}{os.getpid()}")
                progress.say("removing what Go needed only to build (7 GB), in the background")
            # Also what a removal left that was itself cut short.
            removed = [str(path) for path in root.glob(f"{REMOVED}*")]
            if removed:
                # It takes minutes on a slow disk, and nobody need wait for it.
                subprocess.Popen(
                    ["rm", "-rf", *removed],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
