"""What af-otel does on a facility, and what it leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from af_otel.facility._part import Mistake, Part
from af_otel.facility.destinations import SecretKey  # noqa: TC001 - pydantic reads the annotations
from af_otel.facility.values import (
    Between,
    Bytes,
    Duration,
    Every,
    Image,
    ImagePattern,
    Labels,
    Name,
    Url,
    VariableName,
    Volume,
    amount,
    is_secret,
    seconds,
    wrong,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Variables of traced pods that the injection itself sets.
_INJECTED = {"PYTHONPATH"}


class Injection(Part):
    """How af-otel gets into the pods."""

    route: Literal["auto", "policy", "helm", "env"] = "auto"
    """`policy`: a MutatingAdmissionPolicy (Kubernetes 1.36 or newer). `helm`: values for your
    charts. `env`: a piece of pod template. `auto`: the first that the cluster allows.
    """
    exclude_images: list[ImagePattern] = Field(
        default_factory=list, examples=[["ghcr.io/my-org/no-python:*"]]
    )
    """Images whose pods are left alone; `*` stands for any text."""
    env: dict[VariableName, str] = Field(
        default_factory=dict, examples=[{"AF_OTEL_PENDING_AFTER": "5000"}]
    )
    """More variables for the pods, such as our other settings (`AF_OTEL_*`, docs/settings.md); what
    a pod sets itself wins. Other tools in users' pods obey `OTEL_*`, too.
    """

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        """What cannot be as it is written, though each field of it could."""
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


class BackendImages(Part):
    """Images of our backends; a mirror's name will do."""

    prometheus: Image = "prom/prometheus:v3.16.0"
    """Prometheus."""
    jaeger: Image = "jaegertracing/jaeger:2.13.0"
    """Jaeger."""
    grafana: Image | None = Field(default=None, examples=["registry.example.org/grafana:12.4.0"])
    """Grafana. There is no default: Grafana is under the AGPL, so af-otel deploys it only from an
    image that you name.
    """


class Backends(Part):
    """Single-node servers deployed by af-otel, for a facility that has none. Not meant for large
    or long-lived data.
    """

    prometheus: bool = False
    """Prometheus in the facility's `namespace`."""
    jaeger: bool = False
    """Jaeger in the facility's `namespace`."""
    grafana: bool = False
    """Grafana in the facility's `namespace`; needs `images.grafana`."""
    size: Volume = "10Gi"
    """Size of each volume of Prometheus and Jaeger; its class is that of `collector.storage`."""
    retention: Annotated[Duration, AfterValidator(Between(seconds, "1h", "8760h"))] = "720h"
    """How long Jaeger keeps traces."""
    images: BackendImages = Field(default_factory=BackendImages)
    """Their images; pulled, and put on nodes, as `collector` says."""

    @classmethod
    def completed(cls, written: dict[str, Any]) -> dict[str, Any]:
        """Leave out what `contradictions` reports under its new name."""
        return {name: value for name, value in written.items() if name != "tempo"}

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        """Yield what is wrong with the section as a whole."""
        if "tempo" in written:
            yield (
                ("tempo",),
                wrong(
                    "af-otel no longer deploys Tempo, which is under the AGPL; it deploys Jaeger",
                    write="jaeger: true" if written["tempo"] else "jaeger: false",
                ),
            )
        images = written.get("images")
        if written.get("grafana") is True and not (
            isinstance(images, dict) and images.get("grafana")
        ):
            yield (
                ("grafana",),
                wrong(
                    "Grafana is deployed only from an image that you name",
                    write="images: {grafana: registry.example.org/grafana:12.4.0}",
                ),
            )


class Privacy(Part):
    """What telemetry says about people. By default: a pseudonym, and no word that they wrote."""

    exception_texts: bool = False
    """Keep messages and stack traces of exceptions, which may hold data and paths."""
    guard: bool = True
    """Have a ValidatingAdmissionPolicy (Kubernetes 1.30 or newer) keep pods from claiming to be the
    hub's or another user's. Without it no telemetry has `user.hash`.
    """


class Sampling(Part):
    """Which traces are stored. Metrics count all of them in any case; every spawn is stored."""

    share: float = Field(default=0.1, ge=0, le=1)
    """Share of the traces that nothing else keeps."""
    slow: Annotated[Duration, AfterValidator(Between(seconds, "1ms", "24h"))] = "5s"
    """Traces that took longer are kept."""
    keep_errors: bool = True
    """Traces with an error in them are kept."""
    wait: Annotated[Duration, AfterValidator(Between(seconds, "1s", "1h"))] = "15s"
    """How long a trace is awaited before it is decided on."""


class Limits(Part):
    """Bounds, so that telemetry never costs more than it should."""

    traces: int = Field(default=50_000, ge=100, le=1_000_000)
    """Traces that the Collector holds in memory while they are decided on."""
    series: int = Field(default=2_000, ge=100, le=100_000)
    """Series of each metric that is made from spans; what is beyond becomes one,
    `otel.metric.overflow`.
    """
    request: Annotated[Bytes, AfterValidator(Between(amount, "1Mi", "2Gi"))] = "2Mi"
    """Largest request that the Collector takes."""


class Grafana(Part):
    """Data sources and dashboards, as ConfigMaps that Grafana's sidecar finds by their labels."""

    data_sources: bool = True
    """Make the data sources for Prometheus and the trace store, linked with each other."""
    dashboards: bool = True
    """Make the dashboards."""
    labels: Labels = Field(default={"grafana_dashboard": "1"})
    """Labels by which the sidecar finds dashboards."""
    data_source_labels: Labels = Field(default={"grafana_datasource": "1"})
    """Labels by which the sidecar finds data sources."""
    namespace: Name | None = None
    """Where the ConfigMaps are made: where the sidecar looks; the facility's `namespace` by
    default.
    """
    url: Url | None = Field(default=None, examples=["https://grafana.example.org"])
    """Where people look at it; `af-otel dashboards open` goes there."""


class Scrape(Part):
    """What the Collector asks for metrics that are there already."""

    hub: bool = True
    """JupyterHub's own metrics."""
    hub_token: SecretKey | None = Field(
        default=None, examples=[{"secret": "hub-metrics", "key": "token"}]
    )
    """API token with the scope `read:metrics`; not needed where the hub sets
    `authenticate_prometheus = False`.
    """
    dask: bool = True
    """Dask schedulers' and workers' own metrics."""
    nodes: bool = True
    """Processor, memory and disk of nodes and pods, from the kubelets."""
    interval: Every = "30s"
    """How often; as often pods send the metrics that they make themselves."""
