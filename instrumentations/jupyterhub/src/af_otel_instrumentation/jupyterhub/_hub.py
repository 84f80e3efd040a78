"""Put the parts together on the hub's classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel_semconv import carriers

from ._patch import Patches, quiet
from .environment import Environments
from .proxy import Routes
from .session import Sessions
from .spawn import Spawns

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


def install(
    tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
) -> Patches:
    """Wrap the hub's methods and return what takes them off again."""
    from jupyterhub.app import JupyterHub

    patches = Patches()
    sessions = Sessions(meter_provider)
    spawns = Spawns(sessions, tracer_provider, meter_provider)
    routes = Routes(sessions, tracer_provider)
    for part in (sessions, spawns, routes, Environments(sessions)):
        part.install(patches)

    @quiet
    def prepare() -> None:
        for part in (sessions, spawns, routes):
            part.prepare()

    @quiet
    def tell(app: Any) -> None:
        # Read by the instrumentation of HTTP, if there is one.
        app.tornado_application.settings[carriers.TORNADO_SESSION] = sessions.attributes_of

    def init_tornado_application(original: Any, *args: Any, **kwargs: Any) -> Any:
        # Here a hub is about to serve: `jupyterhub token` and its like never come this far, and an
        # SDK that loads in the background is there before the first spawn.
        prepare()
        result = original(*args, **kwargs)
        tell(*args)
        return result

    patches.wrap(JupyterHub, "init_tornado_application", init_tornado_application)
    return patches
