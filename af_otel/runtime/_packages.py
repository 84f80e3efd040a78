"""The names of packages where they are imported from: in a payload, private ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import af_otel_instrumentation
import opentelemetry

if TYPE_CHECKING:
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

OPENTELEMETRY = opentelemetry.__name__
INSTRUMENTATIONS = af_otel_instrumentation.__name__

# The beginning of our scopes' names, wherever our packages are.
_SCOPES = "af_otel_instrumentation."


def is_ours(scope: InstrumentationScope | None) -> bool:
    """Return whether a span of this scope was made by an instrumentation of ours."""
    return scope is not None and scope.name.startswith(_SCOPES)
