"""Results of earlier checks, cached per user."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from af_otel.local import servers


def directory() -> Path:
    """Return the cache directory, which `make clean-cache` removes."""
    path = servers.cache().parent / "licenses"
    path.mkdir(parents=True, exist_ok=True)
    return path


def read(name: str) -> Any:
    """Return the value stored under a name, or None if there is none."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return json.loads((directory() / f"{name}.json").read_text(encoding="utf-8"))
    return None


def write(name: str, value: Any) -> None:
    """Store a value atomically, so that concurrent readers get the old or the new one."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=directory(), prefix=".unfinished-", delete=False
    ) as file:
        json.dump(value, file, indent=0)
    Path(file.name).replace(directory() / f"{name}.json")
