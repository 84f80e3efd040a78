"""A directory that others see whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX = ".unfinished-"


@contextlib.contextmanager
def unfinished(directory: Path) -> Iterator[Path]:
    """Build beside `directory` and rename at the end; the caller holds the lock for it.

    As only the lock's holder builds, other unfinished ones there are of processes that were killed.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    for leftover in directory.parent.glob(f"{PREFIX}{directory.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    building = directory.parent / f"{PREFIX}{directory.name}-{os.getpid()}"
    building.mkdir()
    try:
        yield building
        building.rename(directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
