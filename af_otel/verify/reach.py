"""The facility's trace store and Prometheus from here: by address, or through the cluster's API."""

from __future__ import annotations

import base64
import contextlib
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from af_otel.backends.connect import connect
from af_otel.backends.http import Access
from af_otel.backends.prometheus import Prometheus
from af_otel.errors import AfOtelError
from af_otel.kubernetes.client import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.backends.store import TraceStore
    from af_otel.facility import Facility
    from af_otel.facility.destinations import Endpoint, Tls
    from af_otel.kubernetes.client import Cluster

_HTTPS = "https"
_QUERIED = {
    "destinations.traces.tempo": "Tempo's HTTP API, such as http://tempo.monitoring:3200",
    "destinations.traces.jaeger": "Jaeger's query service, such as "
    "http://jaeger-query.monitoring:16686",
    "destinations.traces.otlp": "a query API that answers like Jaeger's or Tempo's, if it has one",
    "destinations.metrics": "Prometheus, such as http://prometheus.monitoring:9090",
}


class NotQueryable(AfOtelError):
    """The facility's file does not say where a signal can be looked up."""


@contextlib.contextmanager
def trace_store(cluster: Cluster, facility: Facility) -> Iterator[TraceStore]:
    """Connect to the facility's trace store, for as long as the context lasts.

    Raises
    ------
    NotQueryable
        The facility's file does not say where traces are looked up.
    """
    traces = facility.destinations.traces
    with _reach(cluster, facility, traces.field, traces.store.query, traces.store) as (url, access):
        yield connect(traces.kind, url, access)


@contextlib.contextmanager
def prometheus(cluster: Cluster, facility: Facility) -> Iterator[Prometheus]:
    """Connect to the facility's Prometheus, for as long as the context lasts.

    Raises
    ------
    NotQueryable
        The facility's file does not say where metrics are looked up.
    """
    metrics = facility.destinations.metrics
    field, endpoint = "destinations.metrics", metrics.remote_write
    with _reach(cluster, facility, field, metrics.query, endpoint) as (url, access):
        yield Prometheus(url, access)


@contextlib.contextmanager
def _reach(
    cluster: Cluster, facility: Facility, field: str, query: str | None, endpoint: Endpoint | None
) -> Iterator[tuple[str, Access]]:
    if query is None:
        signal = field.split(".")[1]
        raise NotQueryable(
            f"The facility's file does not say where {signal} can be looked up",
            where=f"`{field}.query` is not set",
            hint=f"set it to the address of {_QUERIED[field]}",
        )
    secrets = _Secrets(cluster, facility.namespace)
    parts = urlsplit(query)
    host = parts.hostname or ""
    inside = _service(cluster, facility, host)
    if endpoint is None:
        headers, tls, server_name = {}, None, ""
    else:
        headers = secrets.headers(endpoint)
        tls = secrets.context(endpoint.tls) if endpoint.tls else None
        server_name = (endpoint.tls.server_name if endpoint.tls else "") or ""
    if inside is None:
        yield query, Access(headers, tls, server_name, query)
        return
    namespace, name = inside
    port = parts.port or (443 if parts.scheme == _HTTPS else 80)
    with cluster.forward(namespace, f"service/{name}", port) as local:
        url = f"{parts.scheme}://{urlsplit(local).netloc}{parts.path.rstrip('/')}"
        if parts.scheme == _HTTPS:
            server_name = server_name or host
        yield url, Access(headers, tls, server_name, query)


def _service(cluster: Cluster, facility: Facility, host: str) -> tuple[str, str] | None:
    """Namespace and name of the Service that a host is in the cluster, if it is one with pods."""
    name, *rest = host.split(".")
    # As pods may write it: NAME, NAME.NAMESPACE, and with `svc` and the cluster's domain.
    if rest[1:] and rest[1] != "svc":
        return None
    namespace = rest[0] if rest else facility.namespace
    found = cluster.get(Ref("v1", "Service", name, namespace))
    return (namespace, name) if found and found["spec"].get("selector") else None


class _Secrets:
    """What Secrets and ConfigMaps of the facility's namespace hold."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    def headers(self, endpoint: Endpoint) -> dict[str, str]:
        """What a request to the destination, and so to its API, must have."""
        made = {
            name: value if isinstance(value, str) else self._read("Secret", value.secret, value.key)
            for name, value in endpoint.headers.items()
        }
        return made | self._authorization(endpoint)

    def _authorization(self, endpoint: Endpoint) -> dict[str, str]:
        auth = endpoint.auth
        if auth is not None and auth.basic is not None:
            basic = auth.basic
            pair = ":".join(
                self._read("Secret", basic.secret, key) for key in (basic.username, basic.password)
            )
            return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        if auth is not None and auth.bearer is not None:
            token = self._read("Secret", auth.bearer.secret, auth.bearer.key)
            return {"Authorization": f"Bearer {token}"}
        return {}

    def context(self, tls: Tls) -> ssl.SSLContext:
        """How the destination's certificate is checked, and ours shown."""
        authority = None
        if tls.ca is not None:
            kind, name = (
                ("Secret", tls.ca.secret) if tls.ca.secret else ("ConfigMap", tls.ca.config_map)
            )
            authority = self._read(kind, name or "", tls.ca.key)
        context = ssl.create_default_context(cadata=authority)
        if tls.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert is not None and tls.key is not None:
            with tempfile.TemporaryDirectory() as directory:
                cert, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
                cert.write_text(self._read("Secret", tls.cert.secret, tls.cert.key), "utf-8")
                key.touch(mode=0o600)
                key.write_text(self._read("Secret", tls.key.secret, tls.key.key), "utf-8")
                context.load_cert_chain(cert, key)
        return context

    def _read(self, kind: str, name: str, key: str) -> str:
        found = self._cluster.get(Ref("v1", kind, name, self._namespace))
        value = (found or {}).get("data", {}).get(key)
        if value is None:
            raise AfOtelError(
                f"There is no key `{key}` in the {kind} `{name}`"
                if found
                else f"There is no {kind} `{name}`",
                where=f"namespace `{self._namespace}`; the facility's `destinations` name it",
            )
        return base64.b64decode(value).decode().strip() if kind == "Secret" else str(value)
