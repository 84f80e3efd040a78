"""Where a facility's telemetry goes, and how it is allowed in there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from af_otel.facility._part import Mistake, Part
from af_otel.facility.values import (
    Every,
    HeaderName,
    HeaderText,
    Key,
    Labels,
    Name,
    ObjectName,
    Url,
    is_secret,
    wrong,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class SecretKey(Part):
    """One key of a Secret in the facility's `namespace`."""

    secret: ObjectName
    """Name of the Secret."""
    key: Key
    """Key in the Secret."""


class Certificate(Part):
    """A PEM file out of a Secret or a ConfigMap in the facility's `namespace`."""

    secret: ObjectName | None = None
    """Name of the Secret that has it; this or `config_map`."""
    config_map: ObjectName | None = None
    """Name of the ConfigMap that has it, which will do for what is public."""
    key: Key = "ca.crt"
    """Key in the Secret or ConfigMap."""

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        """What cannot be as it is written, though each field of it could."""
        if bool(written.get("secret")) == bool(written.get("config_map")):
            yield (
                (),
                wrong("One of `secret` and `config_map` says where it is", write="secret: my-ca"),
            )


class Tls(Part):
    """How a connection is encrypted, where the defaults (the system's authorities) will not do."""

    ca: Certificate | None = Field(default=None, examples=[{"secret": "my-ca", "key": "ca.crt"}])
    """Authority that signed the server's certificate."""
    cert: SecretKey | None = Field(
        default=None, examples=[{"secret": "my-client", "key": "tls.crt"}]
    )
    """Certificate that the Collector shows; together with `key`."""
    key: SecretKey | None = Field(
        default=None, examples=[{"secret": "my-client", "key": "tls.key"}]
    )
    """Private key of `cert`."""
    server_name: str | None = None
    """Name in the server's certificate, if it is not the address' host."""
    insecure_skip_verify: bool = False
    """Believe any certificate. For a trial only: who sits in between can read everything."""

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        """What cannot be as it is written, though each field of it could."""
        have, lack = ("cert", "key") if written.get("cert") else ("key", "cert")
        file = {"cert": "tls.crt", "key": "tls.key"}[lack]
        if written.get(have) and not written.get(lack):
            yield (
                (have,),
                wrong(
                    f"`{have}` is nothing without `{lack}`",
                    write=f"{lack}: {{secret: my-client, key: {file}}}",
                ),
            )


class Basic(Part):
    """User name and password."""

    secret: ObjectName
    """Name of the Secret, such as one of type `kubernetes.io/basic-auth`."""
    username: Key = "username"
    """Key in the Secret that has the user name."""
    password: Key = "password"  # noqa: S105 - a key's name
    """Key in the Secret that has the password."""


class Bearer(Part):
    """A token."""

    secret: ObjectName
    """Name of the Secret."""
    key: Key = "token"
    """Key in the Secret that has the token."""


class Auth(Part):
    """Who the Collector is to the destination: `basic` or `bearer`."""

    basic: Basic | None = Field(default=None, examples=[{"secret": "my-login"}])
    """User name and password, as HTTP's basic authentication."""
    bearer: Bearer | None = Field(default=None, examples=[{"secret": "my-token", "key": "token"}])
    """A token, as `Authorization: Bearer …`."""

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        """What cannot be as it is written, though each field of it could."""
        if set(written) <= {"basic", "bearer"} and len([v for v in written.values() if v]) != 1:
            yield (
                (),
                wrong(
                    "One of `basic` and `bearer`, and not both", write="basic: {secret: my-login}"
                ),
            )


def _kind_of_header(value: Any) -> str:
    return "=secret" if isinstance(value, (dict, SecretKey)) else "=text"


HeaderValue = Annotated[
    Annotated[HeaderText, Tag("=text")] | Annotated[SecretKey, Tag("=secret")],
    Discriminator(_kind_of_header),
]


class Endpoint(Part):
    """A server that telemetry is sent to."""

    endpoint: Url = Field(examples=["http://tempo.monitoring:4318"])
    """Its address."""
    tls: Tls | None = Field(default=None, examples=[{"ca": {"secret": "my-ca"}}])
    """How the connection is encrypted; for `https://` only."""
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict, examples=[{"X-Scope-OrgID": "my-tenant"}]
    )
    """Headers of every request: a text, or `{secret: NAME, key: KEY}` for what is nobody else's."""
    auth: Auth | None = Field(default=None, examples=[{"basic": {"secret": "my-login"}}])
    """Who the Collector is to the destination."""

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        """What cannot be as it is written, though each field of it could."""
        address = written.get("endpoint")
        plain = isinstance(address, str) and address.startswith("http://")
        if plain and written.get("tls"):
            encrypted = str(address).replace("http://", "https://", 1)
            yield (
                ("tls",),
                wrong(
                    "Nothing is encrypted on the way to an `http://` address",
                    write="" if "@" in encrypted else f"endpoint: {encrypted}",
                ),
            )
        headers = written.get("headers")
        if not isinstance(headers, dict):
            return
        names = [str(name).lower() for name in headers]
        for number, (name, value) in enumerate(headers.items()):
            if names[number] in names[:number]:
                yield ("headers", name), wrong(f"`{name}` is there already: HTTP sees no case")
            if isinstance(value, str) and is_secret(str(name), value):
                yield ("headers", name), wrong("Holds a secret", kind="secret_in_header")
            if str(name).lower() == "authorization" and written.get("auth"):
                yield ("headers", name), wrong("`auth` sets this header, too: one of them")


class TraceStore(Endpoint):
    """A trace store: where the Collector sends traces, and where they are looked up."""

    protocol: Literal["http", "grpc"] = "http"
    """OTLP over HTTP (port 4318 of most servers) or over gRPC (4317)."""
    query: Url | None = None
    """HTTP API where `trace`, `verify` and Grafana look traces up, with the same headers and
    credentials.
    """

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        """Yield what is wrong with the section as a whole."""
        yield from super().contradictions(written)
        address = written.get("endpoint")
        if isinstance(address, str) and address.rstrip("/").endswith("/v1/traces"):
            base = address.rstrip("/").removesuffix("/v1/traces")
            yield (
                ("endpoint",),
                wrong(
                    "The Collector adds `/v1/traces` by itself",
                    write="" if "@" in base else f"endpoint: {base}",
                ),
            )


class Tempo(TraceStore):
    """Grafana Tempo."""

    query: Url | None = Field(default=None, examples=["http://tempo.monitoring:3200"])
    """Tempo's HTTP API, where `trace`, `verify` and Grafana look traces up, with the same headers
    and credentials.
    """


class Jaeger(TraceStore):
    """Jaeger 2.10 or newer, with any storage."""

    endpoint: Url = Field(examples=["http://jaeger-collector.monitoring:4318"])
    """Its address."""
    query: Url | None = Field(default=None, examples=["http://jaeger-query.monitoring:16686"])
    """Jaeger's query service (with its base path, if it has one), where `trace`, `verify` and
    Grafana look traces up, with the same headers and credentials.
    """


class Otlp(TraceStore):
    """Any other store that accepts OTLP."""

    endpoint: Url = Field(examples=["https://otlp.example.org"])
    """Its address."""
    query: Url | None = Field(default=None, examples=["https://traces.example.org"])
    """HTTP API of the store, if it answers like Tempo's or like Jaeger's; which one is detected.
    Without it, `trace` and `verify` cannot look traces up.
    """


StoreKind = Literal["tempo", "jaeger", "otlp"]


class Traces(Part):
    """The trace store: one of `tempo`, `jaeger` and `otlp`."""

    tempo: Tempo | None = Field(
        default=None,
        examples=[
            {"endpoint": "http://tempo.monitoring:4318", "query": "http://tempo.monitoring:3200"}
        ],
    )
    """Grafana Tempo."""
    jaeger: Jaeger | None = Field(
        default=None,
        examples=[
            {
                "endpoint": "http://jaeger-collector.monitoring:4318",
                "query": "http://jaeger-query.monitoring:16686",
            }
        ],
    )
    """Jaeger."""
    otlp: Otlp | None = Field(default=None, examples=[{"endpoint": "https://otlp.example.org"}])
    """Any other store that accepts OTLP."""

    @property
    def kind(self) -> StoreKind:
        """Which of the three it is."""
        return "tempo" if self.tempo else "jaeger" if self.jaeger else "otlp"

    @property
    def store(self) -> TraceStore:
        """The section of the store itself."""
        store = self.tempo or self.jaeger or self.otlp
        assert store is not None  # `contradictions` requires one
        return store

    @property
    def field(self) -> str:
        """The path of the store's section in facility.yaml."""
        return f"destinations.traces.{self.kind}"

    @classmethod
    def completed(cls, written: dict[str, Any]) -> dict[str, Any]:
        """Read the layout of earlier versions, in which `traces` itself was the Tempo."""
        old = {name: value for name, value in written.items() if name in TraceStore.model_fields}
        if not old or written.keys() & {"tempo", "jaeger", "otlp"}:
            return written
        rest = {name: value for name, value in written.items() if name not in old}
        return {**rest, "tempo": old}

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        """Yield what is wrong with the section as a whole."""
        kinds = [kind for kind in ("tempo", "jaeger", "otlp") if written.get(kind)]
        if len(kinds) > 1:
            yield (
                (kinds[1],),
                wrong(f"Traces go to one store: `{'` or `'.join(kinds)}`, and not both"),
            )
        if not kinds and not written.keys() & TraceStore.model_fields.keys():
            yield (
                (),
                wrong(
                    "Names no trace store: one of `tempo`, `jaeger` and `otlp`",
                    write="tempo: {endpoint: http://tempo.monitoring:4318}",
                ),
            )


class RemoteWrite(Endpoint):
    """A server that takes Prometheus' remote write."""

    endpoint: Url = Field(examples=["http://prometheus.monitoring:9090/api/v1/write"])
    """Its address, with the path: Prometheus' own is `/api/v1/write`, and needs
    `--web.enable-remote-write-receiver`.
    """
    version: Literal[1, 2] = 1
    """Version of the protocol. With 2, which Prometheus takes since its version 3, the valid points
    of a request are stored; with 1, one that is refused takes its process' other points with it.
    """


class Monitor(Part):
    """The ServiceMonitor or PodMonitor, so that the Prometheus operator's Prometheus chooses it."""

    labels: Labels = Field(default_factory=dict, examples=[{"release": "kube-prometheus-stack"}])
    """Labels that Prometheus' `serviceMonitorSelector` or `podMonitorSelector` asks for."""
    namespace: Name | None = None
    """Where it is made, if Prometheus looks in some namespaces only; the facility's `namespace`
    by default.
    """
    interval: Every = "30s"
    """How often Prometheus asks the Collector."""


class Metrics(Part):
    """Prometheus: the Collector writes to it (`remote_write`), or it asks the Collector
    (`scrape`).
    """

    remote_write: RemoteWrite | None = Field(
        default=None, examples=[{"endpoint": "http://prometheus.monitoring:9090/api/v1/write"}]
    )
    """Where the Collector writes metrics."""
    scrape: Literal["service_monitor", "pod_monitor", "annotations"] | None = None
    """How Prometheus finds the Collector: an object of the Prometheus operator, or
    `prometheus.io/…` annotations.
    """
    monitor: Monitor = Field(
        default_factory=Monitor, examples=[{"labels": {"release": "prometheus"}}]
    )
    """For `scrape: service_monitor` and `pod_monitor`."""
    query: Url | None = Field(default=None, examples=["http://prometheus.monitoring:9090"])
    """Prometheus' HTTP API, where `verify` and Grafana look metrics up; asked with the same
    headers and credentials.
    """

    @classmethod
    def contradictions(cls, written: dict[str, Any]) -> Iterator[Mistake]:
        """What cannot be as it is written, though each field of it could."""
        push, pull = written.get("remote_write"), written.get("scrape")
        if push and pull:
            yield (
                ("scrape",),
                wrong("Every metric would arrive twice: `remote_write` or `scrape`, not both"),
            )
        if not push and not pull:
            yield (
                (),
                wrong(
                    "Says neither where metrics are written (`remote_write`) "
                    "nor how they are fetched (`scrape`)",
                    write="remote_write: {endpoint: http://prometheus.monitoring:9090/api/v1/write}",
                ),
            )


class Destinations(Part):
    """Where telemetry goes. What is left out must be one of `backends`."""

    traces: Traces = Field(
        examples=[
            {
                "tempo": {
                    "endpoint": "http://tempo.monitoring:4318",
                    "query": "http://tempo.monitoring:3200",
                }
            }
        ]
    )
    """Where traces go; with `backends.jaeger` that one by default."""
    metrics: Metrics = Field(
        examples=[
            {
                "remote_write": {"endpoint": "http://prometheus.monitoring:9090/api/v1/write"},
                "query": "http://prometheus.monitoring:9090",
            }
        ]
    )
    """Where metrics go; with `backends.prometheus` that one by default."""
