"""The names of packages where they are imported from: in a payload, private ones."""

from __future__ import annotations

import af_otel_instrumentation
import opentelemetry

OPENTELEMETRY = opentelemetry.__name__
INSTRUMENTATIONS = af_otel_instrumentation.__name__
