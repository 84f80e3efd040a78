"""Instrument a library that was just imported, with providers that load behind it."""

from __future__ import annotations

from importlib import import_module

from af_otel.runtime._lazy import LazyMeterProvider, LazyTracerProvider, Loader

# The anchors of the bootstrap, and whose sign they are.
INSTRUMENTATIONS = {
    "jupyterhub.app": "jupyterhub",
    "jupyter_server.serverapp": "jupyter_server",
    "ipykernel.kernelapp": "ipykernel",
    "distributed": "dask",
}

# One per process: all its instrumentations share it, and nothing is loaded until one asks for it.
_loader: Loader | None = None


def activate(role: str, anchor: str) -> None:
    """Instrument the library whose module `anchor` was imported in a process of this role.

    Parameters
    ----------
    role
        As the bootstrap recognised it: `hub`, `server`, `kernel`, `dask-scheduler`, `dask-worker`,
        `multiprocessing` or `python`.
    anchor
        A key of `INSTRUMENTATIONS`.

    Raises
    ------
    ImportError
        The instrumentation does not fit the library's version; the bootstrap says so and goes on.
    """
    global _loader  # noqa: PLW0603
    if _loader is None:
        _loader = Loader(role)
    import_module(f"af_otel_instrumentation.{INSTRUMENTATIONS[anchor]}").instrument(
        tracer_provider=LazyTracerProvider(_loader), meter_provider=LazyMeterProvider(_loader)
    )
