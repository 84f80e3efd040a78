"""Instrument a library that was just imported, with providers that load behind it."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from af_otel_semconv import carriers

from af_otel.runtime import _packages
from af_otel.runtime._lazy import LazyMeterProvider, LazyTracerProvider, Loader
from af_otel.runtime._log import keep_from_the_users_handlers, say

# The anchors of the bootstrap, and the instrumentations of what they belong to.
INSTRUMENTATIONS = {
    "jupyterhub.app": ("jupyterhub", "http"),
    "jupyter_server.serverapp": ("jupyter_server", "http"),
    "dask_gateway_server.app": ("http",),
    "ipykernel.kernelapp": ("ipykernel",),
    "distributed": ("dask",),
    "coffea.processor.executor": ("coffea",),
}

# A script that loads it may be a kernel, whose cells have contexts of their own.
_KERNEL = "ipykernel.kernelapp"

# Hub, servers, kernels and Dask have contexts of their own for what they do. A script is one thing
# that somebody did: it goes on in the context that it was started with.
_SCRIPTS = {"python", "multiprocessing"}
_CARRIERS = (carriers.ENV_TRACEPARENT, carriers.ENV_TRACESTATE, carriers.ENV_BAGGAGE)

# One per process: all its instrumentations share it, and nothing is loaded until one asks for it.
_loader: Loader | None = None


def activate(role: str, anchor: str) -> None:
    """Instrument the library whose module `anchor` was imported in a process of this role.

    Parameters
    ----------
    role
        As the bootstrap recognised it: `hub`, `server`, `kernel`, `dask-scheduler`, `dask-worker`,
        `dask-gateway`, `multiprocessing` or `python`.
    anchor
        A key of `INSTRUMENTATIONS`.

    Raises
    ------
    ImportError
        The instrumentation does not fit the library's version; the bootstrap says so and goes on.
    """
    for library in INSTRUMENTATIONS[anchor]:
        name = f"af_otel_instrumentation.{library}"
        if _packages.INSTRUMENTATIONS != "af_otel_instrumentation" and name in sys.modules:
            say(f"{anchor} is left to the environment's own `{name}`")
            continue
        loader = _load_for(role, go_on=role in _SCRIPTS and anchor != _KERNEL)
        import_module(f"{_packages.INSTRUMENTATIONS}.{library}").instrument(
            tracer_provider=LazyTracerProvider(loader), meter_provider=LazyMeterProvider(loader)
        )


def join_users() -> None:
    """Export what the environment's own OpenTelemetry records while the user has set no provider.

    Called whenever a part of its API was imported.
    """
    if _loader is None:
        return
    from af_otel.runtime import _bridge

    try:
        _bridge.join(LazyTracerProvider(_loader), LazyMeterProvider(_loader))
    except Exception as error:
        say(
            "spans and metrics of this environment's OpenTelemetry are not exported: "
            f"{type(error).__name__}: {error}"
        )


def meters(role: str) -> LazyMeterProvider:
    """Return the meter provider of this process, for what comes without an instrumentation."""
    return LazyMeterProvider(_load_for(role, go_on=role in _SCRIPTS))


def _load_for(role: str, *, go_on: bool) -> Loader:
    global _loader  # noqa: PLW0603
    if _loader is None:
        keep_from_the_users_handlers()
        _loader = Loader(role)
        if go_on:
            _go_on()
        join_users()
    return _loader


def _go_on() -> None:
    from opentelemetry import context, propagate

    carrier = {name.lower(): os.environ[name] for name in _CARRIERS if name in os.environ}
    context.attach(propagate.extract(carrier))
