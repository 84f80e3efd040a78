"""How context crosses processes: W3C Trace Context and Baggage, under these keys."""

from __future__ import annotations

import hashlib
from typing import Final

# OpenTelemetry's environment variable carriers:
# https://opentelemetry.io/docs/specs/otel/context/env-carriers/
ENV_TRACEPARENT: Final = "TRACEPARENT"
ENV_TRACESTATE: Final = "TRACESTATE"
ENV_BAGGAGE: Final = "BAGGAGE"

# One Dask annotation per graph, a dict of the two W3C headers. `distributed.span` is no carrier: a
# task group keeps the first span it sees.
DASK_ANNOTATION: Final = "af_otel"
# Beside them where the trace has no room for workers' shares.
DASK_NO_SHARE: Final = "no-share"

# A setting of a hub's Tornado application: a function that takes a session's id and returns the
# session's attributes, none for an unknown id.
TORNADO_SESSION: Final = "af_otel_session"

# Annotations of a user's pod: what the Collector stores the pod's telemetry under. Only the hub may
# set them.
POD_SESSION_ID: Final = "af-otel.io/session-id"
POD_USER_HASH: Final = "af-otel.io/user-hash"


def stored_session_id(session_id: str) -> str:
    """Return what a Collector on Kubernetes stores in place of a session's id.

    A session's processes carry the id. Everybody else sees this hash of it, in stores and in
    annotations, and cannot send telemetry that would be stored under it.
    """
    return hashlib.sha256(session_id.encode()).hexdigest()[:32]
