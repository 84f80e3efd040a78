"""The entries of a lock: what is installed, and the hashes of its files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_ENTRY = re.compile(r"^([\w.-]+)==(\S+)(?:.*\\\n)(?: +--hash=.*\n)+", re.MULTILINE)


def entries(lock: Path) -> dict[tuple[str, str], str]:
    """Return the lines of a lock by name and version.

    Names are normalized, such as `jupyter-server`. A name has several versions if a newer one does
    not support the oldest Python.
    """
    text = lock.read_text(encoding="utf-8")
    return {(match[1], match[2]): match[0] for match in _ENTRY.finditer(text)}


def names(lock: Path) -> frozenset[str]:
    """Return the normalized names of what a lock installs."""
    return frozenset(name for name, _ in entries(lock))


def only(lock: Path, chosen: Iterable[str]) -> str:
    """Return the lines of a lock for the chosen names."""
    chosen = set(chosen)
    return "".join(text for (name, _), text in entries(lock).items() if name in chosen)
