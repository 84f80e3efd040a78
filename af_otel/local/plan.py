"""A facility before its first process: its services, their ports and their environment."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel import payload
from af_otel.local.ports import HOST, Ports
from af_otel.local.processes import MARK

if TYPE_CHECKING:
    import ssl
    from collections.abc import Container, Mapping

    from af_otel.local.keys import Keys
    from af_otel.local.probes import Probe
    from af_otel.local.state import State

USER = "physicist"
KEYS = "AF_OTEL_KEYS"  # In the environment of Python processes: the directory of `local.keys`.
# The usual port of each, and its name for people; what nobody opens or connects to has none.
USUAL = {
    "hub": (8000, "JupyterHub"),
    "collector": (4318, "the Collector"),
    "collector-grpc": (4317, "the Collector (gRPC)"),
    "prometheus": (9090, "Prometheus"),
    "jaeger": (16686, "Jaeger"),
    "tempo": (3200, "Tempo"),
    "grafana": (3000, "Grafana"),
    "page": (8088, "the page of the sessions"),
    "dask-scheduler": (8786, "the Dask scheduler"),
    "dask-dashboard": (8787, "the Dask dashboard"),
    "dask-worker-1": (8791, ""),
    "dask-worker-2": (8792, ""),
    "dask-worker-1-metrics": (8793, ""),
    "dask-worker-2-metrics": (8794, ""),
    "hub-api": (8081, ""),
    "hub-proxy": (8001, ""),
    "collector-health": (13133, ""),
    "collector-self": (4319, ""),
    "jaeger-otlp": (4418, ""),
    "tempo-grpc": (9095, ""),
    "tempo-otlp": (4418, ""),
    "tempo-otlp-grpc": (4417, ""),
}
# Where telemetry goes and whose it is, which the facility decides. The shell's `AF_OTEL_*` may be
# another facility's; its `OTEL_*` would be obeyed by the servers as well.
OURS = (
    "OTEL_EXPORTER_",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SERVICE_NAME",
    "AF_OTEL_FACILITY",
    "AF_OTEL_RESOURCE_ATTRIBUTES",
    "AF_OTEL_SERVICE_NAME",
    *(
        f"AF_OTEL_{signal}{setting}"
        for signal in ("", "TRACES_", "METRICS_")
        for setting in (
            "ENDPOINT",
            "EXPORTER",
            "PROTOCOL",
            "HEADERS",
            "TIMEOUT",
            "COMPRESSION",
            "CERTIFICATE",
            "CLIENT_",
        )
    ),
)
# The hub's alone: whoever has it can tell which user is behind a pseudonym.
HASH_KEY = "AF_OTEL_USER_HASH_KEY"
# A shell inside a Jupyter server or a Dask job has these of another facility.
FOREIGN = ("JUPYTERHUB_", "JPY_", "DASK_", "TRACEPARENT", "TRACESTATE", "BAGGAGE", "CONFIGPROXY_")
# A person who looks wants to see things within seconds.
SOON = {"AF_OTEL_METRIC_EXPORT_INTERVAL": "5000", "AF_OTEL_SCHEDULE_DELAY": "1000"}


@dataclass(frozen=True)
class Service:
    """One process to supervise.

    It starts when all it `needs` are ready, and is stopped when all that need or feed it have
    ended: so nothing loses the last it had to say.

    Parameters
    ----------
    data, disk
        A directory of its own that may take so many bytes; with more, it is emptied.
    """

    name: str
    command: tuple[str, ...]
    url: str
    port: int
    ready: Probe
    env: Mapping[str, str]
    needs: tuple[str, ...] = ()
    feeds: tuple[str, ...] = ()
    patience: float = 5  # Seconds from SIGTERM to SIGKILL.
    data: Path | None = None
    disk: int = 0


@dataclass
class Plan:
    """What a supervisor is to run, and what it says of it."""

    state: State
    ports: Ports
    injected: Path
    keys: Keys
    services: list[Service] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)
    trace_store: str = ""  # the kind of store at `urls["traces"]`
    notes: list[str] = field(default_factory=list)

    def choose_ports(self, without: Container[str] = ()) -> None:
        """Find a port for everything, and note where people must look elsewhere than usual."""
        for name, (usual, title) in USUAL.items():
            if name in without:
                continue
            port = self.ports.choose(name, usual)
            if port != usual and title and name not in self.ports.wanted:
                self.notes.append(f"port {usual} is taken; {title} listens on {port}")

    def port(self, name: str) -> int:
        """The port chosen for `name`."""
        return self.ports.chosen[name]

    def address(self, name: str) -> str:
        """`host:port`, as servers want to be told where to listen."""
        return f"{HOST}:{self.port(name)}"

    def directory(self, name: str) -> Path:
        """A directory of a service's own, made if need be."""
        return self.state.part(name)

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """How the facility's own servers are reached."""
        return self.keys.certificates.client()

    @property
    def dask_config(self) -> Path:
        """The directory of configuration files for Dask."""
        return self.state.directory / "dask" / "config"

    @property
    def hub(self) -> dict[str, str]:
        """How a person gets in."""
        return {"url": self.urls["hub"], "user": USER, "password": self.state.password()}

    @property
    def login(self) -> dict[str, str]:
        """How a person gets into the page and Dask's dashboards."""
        return {"user": self.keys.gate.user, "password": self.keys.gate.password}

    def base_env(self) -> dict[str, str]:
        """What every process of the facility gets."""
        env = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith((*OURS, *FOREIGN, HASH_KEY))
        }
        env[MARK] = str(self.state.directory)
        # The services' own Python first, also for the `python` in a user's terminal.
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
        # A proxy is for the way out; all of this stays on the machine.
        for key in ("NO_PROXY", "no_proxy"):
            env[key] = ",".join(filter(None, (env.get(key), HOST, "localhost")))
        return env

    def python_env(self) -> dict[str, str]:
        """The same for a Python process, which is traced."""
        env = {**SOON, **self.base_env()}
        env["AF_OTEL_ENDPOINT"] = self.urls["collector_otlp"]
        env["AF_OTEL_CERTIFICATE"] = str(self.keys.certificates.authority)
        env["AF_OTEL_CLIENT_CERTIFICATE"] = str(self.keys.certificates.certificate)
        env["AF_OTEL_CLIENT_KEY"] = str(self.keys.certificates.key)
        env["AF_OTEL_FACILITY"] = self.state.name
        env[KEYS] = str(self.state.keys)
        env["DASK_CONFIG"] = str(self.dask_config)
        return {**env, **payload.environment(self.injected, env)}
