"""Spans and metrics that users record with the OpenTelemetry of their environment.

Their API and ours are separate packages, as ours is private. Until the user sets a provider, the
API hands out proxies that do nothing. Here these proxies learn to record with our providers; their
types, pickles and the global state of the API stay as they are. A provider of the user's takes
over when it is set, as upstream has it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

SUPPORTS = ("opentelemetry-api>=1.20,<2",)

_joined: set[str] = set()


def join(traces: TracerProvider, meters: MeterProvider) -> None:
    """Record with these providers what users record with their own OpenTelemetry API.

    Parameters
    ----------
    traces, meters
        Ours.

    Raises
    ------
    AttributeError
        The API is not built like the versions in `SUPPORTS`.
    """
    for name in ("trace", "metrics"):
        api = sys.modules.get(f"opentelemetry.{name}")
        if api is None or name in _joined:
            continue
        _joined.add(name)
        if name == "trace":
            from af_otel.runtime._bridge import _traces

            _traces.join(api, traces)
        else:
            from af_otel.runtime._bridge import _metrics

            _metrics.join(api, meters)
