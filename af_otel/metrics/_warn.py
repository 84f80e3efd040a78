"""Warn a user once of each thing, in the cell where it happened, and never raise."""

from __future__ import annotations

import sys
import warnings

_US = "af_otel.metrics"
_MOST = 200  # kinds of warnings, for names made in a loop
_warned: set[tuple[str, str]] = set()


class MetricsWarning(UserWarning):
    """A number, label or name was not taken as it was given; the text says what became of it."""


def warn(about: str, text: str) -> None:
    """Warn, unless the same was said `about` this before."""
    if (about, text) in _warned or len(_warned) >= _MOST:
        return
    _warned.add((about, text))
    try:
        warnings.warn(f"af_otel.metrics: {about}: {text}", MetricsWarning, _depth())
    # `-W error` makes it one, and a `showwarning` of the user's may fail.
    except Exception:
        pass


def _depth() -> int:
    """Return how far up the user's own line is."""
    depth, frame = 1, sys._getframe(1)  # noqa: SLF001
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_US):
        depth, frame = depth + 1, frame.f_back
    return depth
