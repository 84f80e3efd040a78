"""Chance for telemetry that is not the user's: a seeded `random` goes on as it would without us."""

from __future__ import annotations

import os
import random

from opentelemetry.exporter.otlp.common import http
from opentelemetry.sdk.metrics._internal.exemplar import exemplar_reservoir
from opentelemetry.sdk.trace import id_generator

_own = random.Random()  # noqa: S311 - no secrets are made of it
os.register_at_fork(after_in_child=_own.seed)


def use_our_own() -> None:
    """Have OpenTelemetry's ids, exemplars and waiting times drawn from a generator of ours.

    It draws them from the module's, also on threads of its own: between a user's seed and the
    numbers that are to follow from it.
    """
    for module, name, drawn in (
        (id_generator, "random", _own),
        (exemplar_reservoir, "randrange", _own.randrange),
        (http, "random", _own),
    ):
        setattr(module, name, drawn)
