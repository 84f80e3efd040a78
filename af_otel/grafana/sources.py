"""Data sources for Prometheus and the trace store, linked to each other."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

TraceStore: TypeAlias = Literal["tempo", "jaeger"]
# What people call each kind of data source.
TITLES = {"prometheus": "Prometheus", "tempo": "Tempo", "jaeger": "Jaeger"}
# Grafana's own limits.
UID_LENGTH = 40
UID = re.compile(rf"[a-zA-Z0-9_-]{{1,{UID_LENGTH}}}")
# The span attributes that select a span's metrics, by label. Jaeger keeps `service.name` apart from
# the attributes; `name` is Grafana's own, the span's name.
_LABELS = {
    "tempo": {"service.name": "service_name", "service.namespace": "service_namespace"},
    "jaeger": {"service.namespace": "service_namespace", "name": "span_name"},
}


def uid(name: str, facility: str = "") -> str:
    """Return the uid of a data source or dashboard, distinct for each facility of a Grafana."""
    full = f"{name}-{facility}" if facility else name
    if UID.fullmatch(full):
        return full
    plain = re.sub(r"[^a-zA-Z0-9_-]", "-", full)
    return f"{plain[: UID_LENGTH - 9]}-{hashlib.sha256(full.encode()).hexdigest()[:8]}"


def titled(title: str, facility: str = "") -> str:
    """Return a title that is distinct for each facility: Grafana rejects duplicates."""
    return f"{title} ({facility})" if facility else title


def trace_store(urls: Mapping[str, str]) -> TraceStore | None:
    """Return which trace store has a URL, or None."""
    if "tempo" in urls:
        return "tempo"
    return "jaeger" if "jaeger" in urls else None


def complete(urls: Mapping[str, str], store: TraceStore | None) -> bool:
    """Return whether every data source of dashboards that search `store` has a URL."""
    return "prometheus" in urls and (store is None or store in urls)


def sources(
    urls: Mapping[str, str], facility: str = "", tls: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return the data sources for the servers that have a URL.

    Parameters
    ----------
    urls
        The query APIs, by kind: `prometheus`, and one of `tempo` and `jaeger`.
    facility
        Distinguishes the data sources in a Grafana that has others. None of them is the default
        there: Grafana does not start with two defaults.
    tls
        `tlsCACert`, `tlsClientCert` and `tlsClientKey` of servers that require a certificate.
    """
    result = []
    store = trace_store(urls)
    if "prometheus" in urls:
        result.append(_source("prometheus", urls, facility, default=not facility))
    if store:
        result.append(_source(store, urls, facility))
    if store and len(result) > 1:
        prometheus, traces = result
        prometheus["jsonData"] = _to_traces(traces["uid"])
        traces["jsonData"] |= _to_metrics(store, prometheus["uid"])
    for source in result if tls else ():
        source["jsonData"] |= {"tlsAuth": True, "tlsAuthWithCACert": True}
        source["secureJsonData"] = dict(tls or {})
    return result


def _source(
    kind: str, urls: Mapping[str, str], facility: str, *, default: bool = False
) -> dict[str, Any]:
    return {
        "name": titled(TITLES[kind], facility),
        "type": kind,
        "uid": uid(kind, facility),
        "access": "proxy",
        "url": urls[kind],
        "isDefault": default,
        # No `traceIdTimeParams` for Jaeger: Grafana 11 sends the dashboard's time range with every
        # lookup as soon as the key exists, and Grafana 12 sends milliseconds for microseconds.
        "jsonData": {} if kind == "prometheus" else {"nodeGraph": {"enabled": True}},
    }


def _to_traces(traces: str) -> dict[str, Any]:
    return {"exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": traces}]}


def _to_metrics(store: TraceStore, prometheus: str) -> dict[str, Any]:
    rate = "sum by (span_name) (rate(traces_span_metrics_calls_total{$__tags}[1m]))"
    links: dict[str, Any] = {
        "tracesToMetrics": {
            "datasourceUid": prometheus,
            "spanStartTimeShift": "-5m",
            "spanEndTimeShift": "5m",
            "tags": [{"key": key, "value": label} for key, label in _LABELS[store].items()],
            "queries": [{"name": "Such spans per second", "query": rate}],
        }
    }
    if store == "tempo":
        links["serviceMap"] = {"datasourceUid": prometheus}
    return links
