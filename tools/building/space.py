"""Is there room? Said before a build, with all that is missing, rather than in its middle."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GB = 1_000_000_000


def require(needs: Mapping[Path, float], purpose: str) -> None:
    """Fail if a file system has less room than its directories need; `needs` is in GB.

    Parameters
    ----------
    needs
        Directories (which may not exist yet) and what will be written below each.
    purpose
        What the room is for, as in "to build `jaeger`".
    """
    by_device: dict[int, tuple[Path, float]] = {}
    for directory, gigabytes in needs.items():
        there = next(path for path in (directory, *directory.parents) if path.exists())
        device = there.stat().st_dev
        first, sum_so_far = by_device.get(device, (directory, 0.0))
        by_device[device] = (first, sum_so_far + gigabytes)
    for directory, gigabytes in by_device.values():
        there = next(path for path in (directory, *directory.parents) if path.exists())
        free = shutil.disk_usage(there).free / GB
        if free < gigabytes:
            raise AfOtelError(
                f"No room {purpose}: {gigabytes:.1f} GB are needed, {free:.1f} GB are free",
                where=f"`{directory}`",
                hint="make room there, or set `XDG_CACHE_HOME` (and `GOCACHE`, `GOMODCACHE` if the "
                "machine has Go) to directories on a larger disk",
            )
