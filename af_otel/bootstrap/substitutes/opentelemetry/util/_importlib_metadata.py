"""Entry points of the private copy of OpenTelemetry: none.

Those of the environment belong to the environment's own OpenTelemetry.
"""

from __future__ import annotations

from typing import Any


class EntryPoints(tuple[Any, ...]):
    """An empty result of `importlib.metadata.entry_points`."""

    __slots__ = ()
    names: frozenset[str] = frozenset()


def entry_points(**_selection: str) -> EntryPoints:
    """Return no entry point."""
    return EntryPoints()
