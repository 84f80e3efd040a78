"""facility.yaml: one analysis facility, as its operator describes it to af-otel.

`name`, `hub.namespace` and `destinations` (or `backends`) are all that a file needs. Docstrings
here are the reference: docs/facility.md and the JSON schema for editors are made of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from af_otel.facility._part import Mistake, Part
from af_otel.facility.collector import Collector
from af_otel.facility.destinations import (
    Destinations,  # noqa: TC001 - pydantic reads the annotations
)
from af_otel.facility.options import (
    Backends,
    Grafana,
    Injection,
    Limits,
    Privacy,
    Sampling,
    Scrape,
)
from af_otel.facility.values import Name, Port, Selector, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE = "af-otel"
# What the backends of ours are called: their Services in the facility's namespace.
JAEGER, PROMETHEUS = "af-otel-jaeger", "af-otel-prometheus"


class Hub(Part):
    """JupyterHub."""

    namespace: Name = Field(examples=["jhub"])
    """Where the hub's pod runs."""
    selector: Selector = Field(default={"component": "hub"})
    """Labels that the hub's pod has, and no other pod there."""
    service: Name = "hub"
    """Service of the hub's API and metrics."""
    port: Port = 8081
    """Port of that Service."""
    proxy: Name = "proxy-public"
    """Service of the proxy: the front door, by which `verify` comes in."""
    base_url: str = Field(default="/", pattern=r"^/([\w.~%@+-]+/)*$")
    """`c.JupyterHub.base_url`."""


class Users(Part):
    """Users' servers."""

    namespaces: list[Name] = Field(default_factory=list, examples=[["jhub"]])
    """Where users' pods run; the hub's namespace by default."""
    selector: Selector = Field(default={"component": "singleuser-server"})
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


class Facility(Part):
    """An analysis facility."""

    name: Name = Field(examples=["my-facility"])
    """Name of the facility: `service.namespace` of all its telemetry, and in the names of our
    cluster-wide objects.
    """
    namespace: Name = NAMESPACE
    """Where the Collector runs; made by `install` if it is not there. Secrets named in this
    file are looked for here.
    """
    hub: Hub = Field(examples=[{"namespace": "jhub"}])
    """JupyterHub."""
    users: Users = Field(default_factory=Users)
    """Users' servers."""
    dask: list[Dask] = Field(default_factory=list)
    """Dask in pods of its own, an entry for each way there is. Dask inside users' pods needs
    none.
    """
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
        """Namespaces that are left out are the hub's; destinations that are left out are our
        backends.
        """
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
        """What cannot be as it is written, though each field of it could."""
        backends, destinations = _mapping(written, "backends"), _mapping(written, "destinations")
        for signal, backend in (("traces", "jaeger"), ("metrics", "prometheus")):
            if destinations.get(signal) and backends.get(backend) is True:
                yield (
                    ("backends", backend),
                    wrong(
                        f"`destinations.{signal}` names another server: this one would stay empty",
                        write=f"backends: {{{backend}: false}}",
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
    # `backends.tempo` is of earlier versions; it is reported where it stands, and only there.
    own = backends.get("jaeger") is True or backends.get("tempo") is True
    if own and not made.get("traces"):
        server = f"http://{JAEGER}.{namespace}"
        made["traces"] = {"jaeger": {"endpoint": f"{server}:4318", "query": f"{server}:16686"}}
    if backends.get("prometheus") is True and not made.get("metrics"):
        server = f"http://{PROMETHEUS}.{namespace}:9090"
        made["metrics"] = {
            "remote_write": {"endpoint": f"{server}/api/v1/write", "version": 2},
            "query": server,
        }
    return made
