"""What a facility asks of its Collector that no variable of kubernetes.yaml can say, as one more
overlay: destinations with their credentials, further namespaces, what is not wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from af_otel.collector import config, identity
from af_otel.collector.credentials import header_variable, mounts, path, secret_env
from af_otel.errors import AfOtelError
from af_otel.facility.destinations import SecretKey
from af_otel.facility.values import amount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from af_otel.facility import Facility
    from af_otel.facility.destinations import Endpoint, Tls, Traces

__all__ = ["mounts", "overlay", "secret_env"]

_MESSAGES = {1: "prometheus.WriteRequest", 2: "io.prometheus.write.v2.Request"}
METRICS_ENDPOINT = "0.0.0.0:8889"
_MIB = 1024**2
# As the OTLP specification has it; a gRPC target without one would be 443.
_GRPC_PORTS = {"http": 4317, "https": 443}


def overlay(facility: Facility) -> dict[str, Any]:
    """The configuration to lay over base.yaml and kubernetes.yaml."""
    made: dict[str, Any] = {}
    for part in (
        _bounds(facility),
        _traces(facility),
        _metrics(facility),
        identity.overlay(facility),
        _scraped(facility),
        _privacy(facility),
    ):
        config.merge(made, part)
    extensions = made.get("extensions", {})
    if extensions:
        made["service"]["extensions"] = [*config.parsed()["service"]["extensions"], *extensions]
    return made


def _bounds(facility: Facility) -> dict[str, Any]:
    request = int(amount(facility.limits.request))
    protocols = {
        "http": {"max_request_body_size": request},
        "grpc": {"max_recv_msg_size_mib": max(1, request // _MIB)},
    }
    series = {"aggregation_cardinality_limit": facility.limits.series}
    return {
        "receivers": {"otlp": {"protocols": protocols}},
        "connectors": {"span_metrics": series},
    }


def _traces(facility: Facility) -> dict[str, Any]:
    traces = facility.destinations.traces
    store = traces.store
    client, extensions = _client("traces", store)
    name = f"otlp_{store.protocol}/traces"
    if store.protocol == "grpc":
        client |= _grpc(traces, client.get("tls", {}))
        # As the plain file has it for HTTP: the queue on disk and endless retries.
        plain = config.parsed()["exporters"]["otlp_http/traces"]
        client |= {key: plain[key] for key in ("sending_queue", "retry_on_failure")}
    return {
        "exporters": {name: client},
        "extensions": extensions,
        "service": {"pipelines": {"traces/undecided": {"exporters": [name]}}},
    }


def _grpc(traces: Traces, tls: Mapping[str, Any]) -> dict[str, Any]:
    store = traces.store
    url = urlsplit(store.endpoint)
    if url.scheme == "http" and store.auth:
        raise AfOtelError(
            "gRPC sends no credentials over a connection that is not encrypted",
            where=f"`{traces.field}`: `auth` and `endpoint: {store.endpoint}`",
            hint="`endpoint: https://…`, or `protocol: http`",
        )
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return {
        "endpoint": f"{host}:{url.port or _GRPC_PORTS[url.scheme]}",
        "tls": {**tls, "insecure": url.scheme == "http"},
    }


def _metrics(facility: Facility) -> dict[str, Any]:
    wanted = facility.destinations.metrics.remote_write
    if wanted:
        client, extensions = _client("metrics", wanted)
        points = {"http": client, "protobuf_message": _MESSAGES[wanted.version]}
        return {
            "exporters": {
                "prometheus_remote_write": {"http": client},
                "prometheus_remote_write/points": points,
            },
            "extensions": extensions,
        }
    exporter = {
        "endpoint": METRICS_ENDPOINT,
        # Exemplars are in no other format.
        "enable_open_metrics": True,
        "resource_to_telemetry_conversion": {"enabled": False},
        "without_scope_info": True,
        # A process' last numbers are seen by each Prometheus once or twice, then they go.
        "metric_expiration": "5m",
    }
    return {
        "exporters": {"prometheus/metrics": exporter},
        "service": {
            "pipelines": {
                "metrics": {"exporters": ["prometheus/metrics"]},
                # Nothing is written anywhere, so nothing comes back from the disk.
                "metrics/histograms": {"exporters": ["debug"]},
                "metrics/points": {"exporters": ["debug"]},
            }
        },
    }


def _client(signal: str, wanted: Endpoint) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of an exporter's connection, and the extension that has its credentials."""
    made: dict[str, Any] = {"endpoint": _text(wanted.endpoint)}
    if wanted.tls:
        made["tls"] = _tls(signal, wanted.tls)
    if wanted.headers:
        made["headers"] = {
            name: f"${{env:{header_variable(signal, number)}}}"
            if isinstance(value, SecretKey)
            else _text(value)
            for number, (name, value) in enumerate(wanted.headers.items())
        }
    if not wanted.auth:
        return made, {}
    volume = f"{signal}-auth"
    if wanted.auth.basic:
        extension = f"basicauth/{signal}"
        login = {
            "username_file": path(volume, "username"),
            "password_file": path(volume, "password"),
        }
        content: dict[str, Any] = {"client_auth": login}
    else:
        extension = f"bearertokenauth/{signal}"
        content = {"filename": path(volume, "token")}
    made["auth"] = {"authenticator": extension}
    return made, {extension: content}


def _tls(signal: str, tls: Tls) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if tls.ca:
        made["ca_file"] = path(f"{signal}-ca", "ca.crt")
    if tls.cert:
        made["cert_file"] = path(f"{signal}-cert", "tls.cert")
        made["key_file"] = path(f"{signal}-key", "tls.key")
        made["reload_interval"] = "10m"
    if tls.server_name:
        made["server_name_override"] = tls.server_name
    if tls.insecure_skip_verify:
        made["insecure_skip_verify"] = True
    return made


def _text(value: str) -> str:
    # To the Collector, `$` begins a variable.
    return value.replace("$", "$$")


def _scraped(facility: Facility) -> dict[str, Any]:
    wanted = facility.scrape
    chosen = {
        "prometheus/hub": wanted.hub,
        "prometheus/dask": wanted.dask and bool(facility.dask),
        "prometheus/servers": True,
        "prometheus/nodes": wanted.nodes,
        "prometheus/self": True,
    }
    receivers = [name for name, yes in chosen.items() if yes]
    further: dict[str, Any] = {}
    for number, dask in enumerate(facility.dask[1:] if wanted.dask else (), start=2):
        plain = config.parsed()["receivers"]["prometheus/dask"]
        (scraped,) = plain["config"]["scrape_configs"]
        (pods,) = scraped["kubernetes_sd_configs"]
        scraped["job_name"] = f"dask-{number}"
        pods["namespaces"]["names"] = list(dask.namespaces)
        pods["selectors"][0]["label"] = identity.query(dask.selector)
        further[f"prometheus/dask-{number}"] = plain
    pipeline = {"receivers": [*receivers, *further]}
    return {
        "receivers": further,
        "service": {"pipelines": {"metrics/scraped": pipeline}},
    }


def _privacy(facility: Facility) -> dict[str, Any]:
    if not facility.privacy.exception_texts:
        return {}
    plain = config.parsed()["processors"]
    keys = plain["redaction/span_keys"]["blocked_key_patterns"]
    groups = plain["transform/scrub"]["trace_statements"]
    text = "span.status.message"
    return {
        "processors": {
            "redaction/span_keys": {"blocked_key_patterns": [_without_texts(key) for key in keys]},
            "transform/scrub": {
                "trace_statements": [
                    {**group, "statements": [one for one in group["statements"] if text not in one]}
                    for group in groups
                ]
            },
        }
    }


def _without_texts(pattern: str) -> str:
    """A pattern of keys that lets an exception's message and stack trace pass."""
    return pattern.replace(r"exception\.(message|stacktrace)|error\.message|", "")
