"""Chance for telemetry that is not the user's: a seeded `random` goes on as it would without us."""

from __future__ import annotations

import importlib
import os
import random
from contextlib import suppress

from af_otel.runtime._packages import OPENTELEMETRY

_own = random.Random()  # noqa: S311 - no secrets are made of it
os.register_at_fork(after_in_child=_own.seed)

# Where OpenTelemetry draws, by which name it has that in its module, and what it gets instead.
_DRAWERS = (
    ("sdk.trace.id_generator", "random", _own),
    (
        "sdk.metrics._internal.exemplar.exemplar_reservoir",
        "randrange",
        _own.randrange,
    ),
    ("exporter.otlp.common.http", "random", _own),
)


def use_our_own() -> None:
    """Have OpenTelemetry's ids, exemplars and waiting times drawn from a generator of ours.

    It draws them from the module's, also on threads of its own: between a user's seed and the
    numbers that are to follow from it.
    """
    for module, name, drawn in _DRAWERS:
        # Not public names: a later SDK of the environment may have others, and then draws as ever.
        with suppress(ImportError):
            place = importlib.import_module(f"{OPENTELEMETRY}.{module}")
            if hasattr(place, name):
                setattr(place, name, drawn)
