"""HTTP of a facility's services: metrics of every request, spans of those that matter.

Tornado serves the hub and users' servers, aiohttp the Dask Gateway. What they ask of each other is
measured where it is sent, by the role of the peer.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from af_otel_instrumentation.http._hooks import Hooks
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

SUPPORTS = ("tornado>=6.4",)

_installed: list[Hooks] = []


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Measure what this process serves and requests; a second call changes nothing."""
    if _installed:
        return
    from af_otel_instrumentation.http._hooks import Hooks

    hooks = Hooks()
    if "dask_gateway_server.app" in sys.modules:
        from af_otel_instrumentation.http.gateway import Gateway

        Gateway(tracer_provider, meter_provider).install(hooks)
    else:
        from af_otel_instrumentation.http.client import Client
        from af_otel_instrumentation.http.server import Server

        client = Client(meter_provider)
        client.install(hooks)
        Server(tracer_provider, meter_provider, client.follow_hub).install(hooks)
    _installed.append(hooks)


def uninstrument() -> None:
    """Leave the hosts' classes as `instrument` found them."""
    while _installed:
        _installed.pop().unwrap()
