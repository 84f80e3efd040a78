"""Warn a user once of each thing, in the cell where it happened, and never raise."""

from __future__ import annotations

import warnings

_MOST = 200  # kinds of warnings, for names made in a loop
_warned: set[tuple[str, str]] = set()


class MetricsWarning(UserWarning):
    """A number, label or name was not taken as it was given; the text says what became of it."""


def warn(about: str, text: str, stacklevel: int = 4) -> None:
    """Warn, unless the same was said `about` this before."""
    if (about, text) in _warned or len(_warned) >= _MOST:
        return
    _warned.add((about, text))
    try:
        warnings.warn(f"af_otel.metrics: {about}: {text}", MetricsWarning, stacklevel=stacklevel)
    except Warning:  # `-W error` makes it one; a metric is no reason to stop an analysis
        pass
