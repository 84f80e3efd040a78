"""How context crosses processes: W3C Trace Context and Baggage, under these keys."""

from __future__ import annotations

from typing import Final

# OpenTelemetry's environment variable carriers:
# https://opentelemetry.io/docs/specs/otel/context/env-carriers/
ENV_TRACEPARENT: Final = "TRACEPARENT"
ENV_TRACESTATE: Final = "TRACESTATE"
ENV_BAGGAGE: Final = "BAGGAGE"

# One Dask annotation per graph, a dict of the two W3C headers. `distributed.span` is no carrier: a
# task group keeps the first span it sees.
DASK_ANNOTATION: Final = "af_otel"

# Annotations of a user's pod, set by the hub: what the Collector stores a pod's telemetry under.
POD_SESSION_ID: Final = "af-otel.io/session-id"
POD_USER_HASH: Final = "af-otel.io/user-hash"
