"""The sections `destinations` and `backends` of the facility.yaml that `init` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from af_otel.facility.discovery.found import Found
    from af_otel.facility.discovery.page import Page
    from af_otel.facility.discovery.trace_store import TraceStore

_QUERIES = {
    "jaeger": "http://jaeger-query.monitoring:16686",
    "tempo": "http://tempo.monitoring:3200",
}
_TRACES = {
    "jaeger": {
        "endpoint": "http://jaeger-collector.monitoring:4318",
        "query": _QUERIES["jaeger"],
    }
}
_METRICS = {
    "remote_write": {"endpoint": "http://prometheus.monitoring:9090/api/v1/write"},
    "query": "http://prometheus.monitoring:9090",
}


def write_destinations(page: Page, found: Found) -> None:
    """Write where telemetry goes; for what was not found, an example and a backend of ours."""
    examples: dict[str, Any] = {}
    if found.trace_store is None:
        examples["traces"] = _TRACES
    if not found.prometheuses:
        examples["metrics"] = _METRICS
    if found.trace_store is None and not found.prometheuses:
        page.lines.append("")
        _unusable(page, found)
        page.example(_missing(found), {"destinations": examples})
    else:
        page.section("destinations")
        if found.trace_store is None:
            _unusable(page, found, indent=2)
        else:
            _traces(page, found.trace_store, found.trace_stores)
        if found.prometheuses:
            _metrics(page, found)
        if examples:
            page.example(_missing(found), examples, indent=2)
    _backends(page, found)


def also(others: Sequence[Any]) -> str:
    """Return the end of a comment: what else was found."""
    if not others:
        return "."
    return f". Not taken: {'; '.join(item.what for item in others)}."


def _missing(found: Found) -> str:
    """Return the comment above the example of what was not found."""
    names = [] if found.prometheuses else ["Prometheus"]
    if found.trace_store is None:
        # There may be some that cannot be taken.
        names.append("trace store with an OTLP port" if found.trace_stores else "Tempo or Jaeger")
    text = f"No {' and no '.join(names)} was found"
    if found.partial:
        text += ", but not all could be seen. Fill in, or `af-otel install --with-backends`"
    else:
        own = " and ".join(name.capitalize() for name in _own(found))
        text += f", so af-otel brings its own {own} (`backends`). If you have one elsewhere"
    return text + (":" if found.trace_store else " (for traces `jaeger`, `tempo` or `otlp`):")


def _own(found: Found) -> list[str]:
    """Return the backends of ours that stand in for what was not found."""
    own = [] if found.trace_store else ["jaeger"]
    return own + ([] if found.prometheuses else ["prometheus"])


def _backends(page: Page, found: Found) -> None:
    own = _own(found)
    if own and found.partial:
        names = {"jaeger": "trace store", "prometheus": "Prometheus"}
        yours = " and ".join(names[name] for name in own)
        page.to_do.append(f"`destinations`: the addresses of your {yours}")
    elif own:
        page.section("backends", "Servers that af-otel deploys: one replica each, for a start.")
        for name in own:
            page.field(name, True, indent=2)


def _unusable(page: Page, found: Found, indent: int = 0) -> None:
    """Write which trace stores cannot be taken, and what is missing."""
    for store in found.trace_stores:
        notes = "; ".join(store.notes)
        page.comment(f"{store.what}: {notes}.", indent)
        page.to_do.append(f"`destinations.traces.{store.kind}`: {store.what}: {notes}")


def _traces(page: Page, store: TraceStore, stores: Sequence[TraceStore]) -> None:
    page.comment(store.what + also([item for item in stores if item is not store]), indent=2)
    for note in store.notes:
        page.comment(f"Note: {note}.", indent=2)
    page.lines += ["  traces:", f"    {store.kind}:"]
    page.field("endpoint", store.endpoint, indent=6)
    if store.protocol != "http":
        page.field("protocol", store.protocol, "its Service has no port 4318", indent=6)
    if store.query:
        page.field("query", store.query, indent=6)
        return
    purpose = "for `trace`, `verify` and Grafana"
    page.field("query", _QUERIES[store.kind], purpose, indent=6, off=True)
    api = "Tempo's HTTP API" if store.kind == "tempo" else "Jaeger's query service"
    page.to_do.append(f"`destinations.traces.{store.kind}.query`: {api}, {purpose}")


def _metrics(page: Page, found: Found) -> None:
    server, *others = found.prometheuses
    page.comment(server.what + also(others), indent=2)
    for note in server.notes:
        page.comment(f"Note: {note}.", indent=2)
        if not server.remote_write:
            page.to_do.append(f"`destinations.metrics`: {server.what}: {note}")
    page.lines.append("  metrics:")
    if server.remote_write:
        page.field("remote_write", {"endpoint": server.remote_write}, indent=4)
    else:
        page.field("scrape", server.scrape, indent=4)
        monitor: dict[str, Any] = {}
        if server.labels:
            monitor["labels"] = server.labels
        if server.monitor_namespace:
            monitor["namespace"] = server.monitor_namespace
        if monitor:
            page.field("monitor", monitor, "what that Prometheus selects by", indent=4)
    page.field("query", server.query, indent=4)
