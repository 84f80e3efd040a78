"""The room that a service's data takes on the disk."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

BLOCK = 512  # bytes; the unit of `st_blocks`, whatever the file system's own


def used(directory: Path) -> int:
    """Return the bytes that the files below a directory take.

    Not their lengths: a database's files may have holes. What cannot be read does not count.
    """
    total = 0
    for parent, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(OSError):  # it may be deleted at this moment
                total += os.lstat(Path(parent, name)).st_blocks * BLOCK
    return total


def empty(directory: Path) -> None:
    """Delete all that is in a directory, as far as that is possible."""
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
