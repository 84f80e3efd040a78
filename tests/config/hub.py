"""A facility's hub with hooks and a spawner of its own, traced by a plain OpenTelemetry SDK."""

import asyncio
import json
import os
import sys
from pathlib import Path

from af_otel_instrumentation import http, jupyterhub
from jupyterhub import spawner as spawners
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.proxy import ConfigurableHTTPProxy
from jupyterhub.spawner import SimpleLocalProcessSpawner
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.json.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

settings = json.loads(Path(os.environ["HUB_SETTINGS"]).read_text())
resource = Resource({"service.name": "jupyterhub", "service.instance.id": settings["url"]})
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=100))
meters = MeterProvider(
    [PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=300)], resource
)
trace.set_tracer_provider(tracers)
metrics.set_meter_provider(meters)


class Broken:
    """A provider of which everything fails."""

    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")


if os.environ.get("HUB_BROKEN"):
    jupyterhub.instrument(tracer_provider=Broken(), meter_provider=Broken())
jupyterhub.instrument()
jupyterhub.instrument()
tracer = trace.get_tracer("facility")

# What an instrumentation of Tornado does: a span of the request is current when its work begins.
spawn_single_user = BaseHandler.spawn_single_user


async def in_a_request(self, *args, **kwargs):
    with tracer.start_as_current_span("request", record_exception=False):
        return await spawn_single_user(self, *args, **kwargs)


if os.environ.get("HUB_HTTP"):
    http.instrument()
else:
    BaseHandler.spawn_single_user = in_a_request


class FacilitySpawner(SimpleLocalProcessSpawner):
    """Fails in the ways that profiles ask for; its polls are spans; it seems to have an image."""

    image = "registry.example:5000/lab/cc:2026.8@sha256:" + 64 * "0"

    async def start(self):
        profile = self.user_options.get("profile")
        if profile in {"hangs", "waits"}:
            await asyncio.sleep(600)
        if profile == "raises":
            raise RuntimeError(f"no room for {self.user.name}")
        if profile == "refused":
            raise spawners.SpawnException(f"not {self.user.name}", reason="quota")
        if profile == "exits":
            self.cmd = [sys.executable, "-c", "raise SystemExit(1)"]
            self.http_timeout = 2
        if profile == "silent":
            self.cmd = [sys.executable, "-c", "import time; time.sleep(600)"]
            self.http_timeout = 2
        return await super().start()

    async def poll(self):
        with tracer.start_as_current_span("poll"):
            return await super().poll()


class FacilityProxy(ConfigurableHTTPProxy):
    """Has no room for one user."""

    async def add_route(self, routespec, *args, **kwargs):
        if "lost" in routespec:
            raise LookupError(routespec)
        await super().add_route(routespec, *args, **kwargs)


def pre_spawn_hook(spawner):
    if spawner.user_options.get("profile") == "hangs":
        spawner.start_timeout = 1
    current = trace.get_current_span().get_span_context()
    with Path("hooks.log").open("a") as log:
        print(spawner.user.name, f"{current.span_id:016x}", file=log)


def post_stop_hook(spawner):
    with Path("hooks.log").open("a") as log:
        print(spawner.user.name, "stopped", file=log)


c = get_config()  # noqa: F821 - JupyterHub puts it there
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = FacilitySpawner
c.JupyterHub.bind_url = settings["url"]
c.JupyterHub.hub_bind_url = settings["hub_url"]
c.JupyterHub.proxy_class = FacilityProxy
c.ConfigurableHTTPProxy.api_url = settings["proxy_api_url"]
c.ConfigurableHTTPProxy.command = settings["proxy"]
c.JupyterHub.allow_named_servers = True
# Requests answer at once; what happens to servers is read from the API.
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0, "slow_stop_timeout": 10}
c.JupyterHub.cleanup_servers = settings["cleanup_servers"]
c.JupyterHub.services = [
    {"name": "admin", "api_token": settings["token"]},
    {
        "name": "idle-culler",
        "api_token": settings["culler_token"],
        # The hub spawns it as it does users' servers.
        "command": [sys.executable, "-c", "import time; time.sleep(6000)"],
    },
]
c.JupyterHub.load_roles = [
    {
        "name": "everything",
        "scopes": ["admin:users", "admin:servers", "admin:server_state"],
        "services": ["admin", "idle-culler"],
    },
    {"name": "user", "scopes": ["self", "admin:server_state!user"]},
]
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]  # containers run tests as root
c.Spawner.poll_interval = 1
c.Spawner.http_timeout = 120
# What the hub was started with is not what its servers belong to.
c.Spawner.env_keep = ["PATH", "LANG", "TRACEPARENT", "TRACESTATE", "BAGGAGE"]
c.Spawner.environment = {
    "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp",
    "JUPYTER_NO_CONFIG": "1",  # starts in half the time without JupyterLab
}
c.Spawner.pre_spawn_hook = pre_spawn_hook
c.Spawner.post_stop_hook = post_stop_hook
