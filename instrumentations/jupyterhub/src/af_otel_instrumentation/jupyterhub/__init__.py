"""JupyterHub's spawns as traces, its users' sessions as metrics; read from the hub process.

`spawn server` is the root of a session: its context goes into the server's environment, whatever
the spawner, so that what the user does later hangs together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from ._patch import Patches

SUPPORTS = ("jupyterhub>=5.2.1",)

_installed: list[Patches] = []


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Trace this hub from its next spawn on; a second call changes nothing."""
    if _installed:
        return
    from ._hub import install

    _installed.append(install(tracer_provider, meter_provider))


def uninstrument() -> None:
    """Leave JupyterHub's classes as `instrument` found them."""
    while _installed:
        _installed.pop().remove()
