"""facility.yaml: one analysis facility, as its operator describes it to af-otel.

`name`, `hub.namespace` and `destinations` (or `backends`) are all that a file needs. Docstrings here are the
reference: docs/facility.md and the JSON schema for editors are made of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from af_otel.facility._part import Mistake, Part
from af_otel.facility.collector import Collector
from af_otel.facility.destinations import Destinations, SecretKey
from af_otel.facility.values import (
    Duration,
    ImagePattern,
    Labels,
    Name,
    Port,
    Quantity,
    Selector,
    VariableName,
    is_secret,
    wrong,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE = "af-otel"
# What the backends of ours are called: their Services in the facility's namespace.
TEMPO, PROMETHEUS = "af-otel-tempo", "af-otel-prometheus"
# Variables of traced pods that the injection itself sets.
_INJECTED = {"PYTHONPATH"}


class Hub(Part):
    """JupyterHub."""

    namespace: Name = Field(examples=["jhub"])
    """Where the hub's pod runs."""
    selector: Selector = Field(default_factory=lambda: {"component": "hub"})
    """Labels that the hub's pod has, and no other pod there."""
    service: Name = "hub"
    """Service of the hub's API and metrics."""
    port: Port = 8081
    """Port of that Service."""
    proxy: Name = "proxy-public"
    """Service of the proxy: the front door, by which `verify` comes in."""
    base_url: str = Field(default="/", pattern="^/(.*/)?$")
    """`c.JupyterHub.base_url`."""


class Users(Part):
    """Users' servers."""

    namespaces: list[Name] = Field(default_factory=list, examples=[["jhub"]])
    """Where users' pods run; the hub's namespace by default."""
    selector: Selector = Field(default_factory=lambda: {"component": "singleuser-server"})
    """Labels that every user's pod has: what the spawner sets, not the chart."""


class Dask(Part):
    """Dask schedulers and workers that run in pods of their own."""

    namespaces: list[Name] = Field(default_factory=list, examples=[["jhub"]])
    """Where they run; the hub's namespace by default."""
    selector: Selector = Field(
        examples=[
            {
                "app.kubernetes.io/name": "dask-gateway",
                "app.kubernetes.io/component": ["dask-scheduler", "dask-worker"],
            }
        ]
    )
    """Labels that they have: a value, or a list of which any will do."""


class Injection(Part):
    """How af-otel gets into the pods."""

    route: Literal["auto", "policy", "helm", "env"] = "auto"
    """`policy`: a MutatingAdmissionPolicy (Kubernetes 1.36 or newer). `helm`: values for your charts. `env`: a piece of pod template. `auto`: the first that the cluster allows."""
    exclude_images: list[ImagePattern] = Field(
        default_factory=list, examples=[["ghcr.io/my-org/no-python:*"]]
    )
    """Images whose pods are left alone; `*` stands for any text."""
    env: dict[VariableName, str] = Field(
        default_factory=dict, examples=[{"AF_OTEL_PENDING_AFTER": "5000"}]
    )
    """More variables for the pods, such as OpenTelemetry's; what a pod sets itself wins."""

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        env = written.get("env")
        for name, value in env.items() if isinstance(env, dict) else ():
            if isinstance(value, str) and is_secret(str(name), value):
                yield (
                    ("env", name),
                    wrong(
                        "Looks like a secret, and users can read every variable of their pods. "
                        "Only the Collector needs credentials: they belong to `destinations`"
                    ),
                )
            elif name in _INJECTED:
                yield (
                    ("env", name),
                    wrong(f"`{name}` is what the injection sets: it keeps a pod's own"),
                )


class Backends(Part):
    """Single-node servers of our own, for a facility that has none. Not for big or long-lived data."""

    prometheus: bool = False
    """Prometheus in the facility's `namespace`."""
    tempo: bool = False
    """Tempo in the facility's `namespace`."""
    grafana: bool = False
    """Grafana in the facility's `namespace`."""


class Privacy(Part):
    """What telemetry says about people. By default: a pseudonym, and no word that they wrote."""

    user_names: bool = False
    """Keep user names beside the pseudonym (`user.hash`)."""
    exception_texts: bool = False
    """Keep messages and stack traces of exceptions, which may hold data and paths."""


class Sampling(Part):
    """Which traces are stored. Metrics count all of them in any case; every spawn is stored."""

    share: float = Field(default=0.1, ge=0, le=1)
    """Share of the traces that nothing else keeps, 0 to 1."""
    slow: Duration = "5s"
    """Traces that took longer are kept."""
    keep_errors: bool = True
    """Traces with an error in them are kept."""
    wait: Duration = "30s"
    """How long a trace is awaited before it is decided on."""


class Limits(Part):
    """Bounds, so that telemetry never costs more than it should."""

    traces: int = Field(default=50_000, ge=100)
    """Traces that the Collector holds in memory while they are decided on."""
    series: int = Field(default=2_000, ge=100)
    """Series of each metric that is made from spans; what is beyond becomes one, `otel.metric.overflow`."""
    request: Quantity = "20Mi"
    """Largest request that the Collector takes."""


class Grafana(Part):
    """Data sources and dashboards, as ConfigMaps that Grafana's sidecar finds by their labels."""

    data_sources: bool = True
    """Make the data sources for Tempo and Prometheus, linked with each other."""
    dashboards: bool = True
    """Make the dashboards."""
    labels: Labels = Field(default_factory=lambda: {"grafana_dashboard": "1"})
    """Labels by which the sidecar finds dashboards."""
    data_source_labels: Labels = Field(default_factory=lambda: {"grafana_datasource": "1"})
    """Labels by which the sidecar finds data sources."""
    namespace: Name | None = None
    """Where the ConfigMaps are made: where the sidecar looks; the facility's `namespace` by default."""


class Scrape(Part):
    """What the Collector asks for metrics that are there already."""

    hub: bool = True
    """JupyterHub's own metrics."""
    hub_token: SecretKey | None = Field(
        default=None, examples=[{"secret": "hub-metrics", "key": "token"}]
    )
    """API token with the scope `read:metrics`; not needed where the hub sets `authenticate_prometheus = False`."""
    dask: bool = True
    """Dask schedulers' and workers' own metrics."""
    nodes: bool = True
    """Processor, memory and disk of nodes and pods, from the kubelets."""
    interval: Duration = "30s"
    """How often."""


class Facility(Part):
    """An analysis facility."""

    name: Name = Field(examples=["my-facility"])
    """Name of the facility: `service.namespace` of all its telemetry, and in the names of our cluster-wide objects."""
    namespace: Name = NAMESPACE
    """Where the Collector runs; made by `install` if it is not there. Secrets named in this file are looked for here."""
    hub: Hub = Field(examples=[{"namespace": "jhub"}])
    """JupyterHub."""
    users: Users = Field(default_factory=Users)
    """Users' servers."""
    dask: list[Dask] = Field(default_factory=list)
    """Dask in pods of its own, an entry for each way there is. Dask inside users' pods needs none."""
    injection: Injection = Field(default_factory=Injection)
    """How af-otel gets into the pods."""
    destinations: Destinations
    """Where telemetry goes."""
    backends: Backends = Field(default_factory=Backends)
    """Single-node servers of our own."""
    collector: Collector = Field(default_factory=Collector)
    """The OpenTelemetry Collector."""
    privacy: Privacy = Field(default_factory=Privacy)
    """What telemetry says about people."""
    sampling: Sampling = Field(default_factory=Sampling)
    """Which traces are stored."""
    limits: Limits = Field(default_factory=Limits)
    """Bounds."""
    grafana: Grafana = Field(default_factory=Grafana)
    """What Grafana gets."""
    scrape: Scrape = Field(default_factory=Scrape)
    """What the Collector asks for metrics."""

    @property
    def injected_namespaces(self) -> list[str]:
        """Every namespace with pods that are injected, the hub's first."""
        places = [self.hub.namespace, *self.users.namespaces]
        places += [name for dask in self.dask for name in dask.namespaces]
        return list(dict.fromkeys(places))

    @classmethod
    def completed(cls, written: dict[str, Any]) -> dict[str, Any]:
        """Namespaces that are left out are the hub's; destinations that are left out are our backends."""
        made = dict(written)
        hub = _mapping(written, "hub").get("namespace")
        users = _mapping(made, "users")
        if isinstance(hub, str) and made.get("users", {}) == users and not users.get("namespaces"):
            made["users"] = users | {"namespaces": [hub]}
        if isinstance(hub, str) and isinstance(made.get("dask"), list):
            made["dask"] = [
                item | {"namespaces": [hub]}
                if isinstance(item, dict) and not item.get("namespaces")
                else item
                for item in made["dask"]
            ]
        made["destinations"] = _own_destinations(made)
        return made

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        backends, destinations = _mapping(written, "backends"), _mapping(written, "destinations")
        for signal, backend in (("traces", "tempo"), ("metrics", "prometheus")):
            if destinations.get(signal) and backends.get(backend) is True:
                yield (
                    ("backends", backend),
                    wrong(
                        f"`destinations.{signal}` names another server, so that this one would stay empty",
                        write=f"{backend}: false",
                    ),
                )


def _mapping(written: dict[str, Any], name: str) -> dict[str, Any]:
    value = written.get(name)
    return value if isinstance(value, dict) else {}


def _own_destinations(written: dict[str, Any]) -> Any:
    given = written.get("destinations")
    if given is not None and not isinstance(given, dict):
        return given
    made = dict(given or {})
    namespace, backends = written.get("namespace", NAMESPACE), _mapping(written, "backends")
    if backends.get("tempo") is True and not made.get("traces"):
        server = f"http://{TEMPO}.{namespace}"
        made["traces"] = {"endpoint": f"{server}:4318", "query": f"{server}:3200"}
    if backends.get("prometheus") is True and not made.get("metrics"):
        server = f"http://{PROMETHEUS}.{namespace}:9090"
        made["metrics"] = {
            "remote_write": {"endpoint": f"{server}/api/v1/write"},
            "query": server,
        }
    return made
