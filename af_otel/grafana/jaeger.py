"""Queries of Grafana's Jaeger data source, which the SDK for Grafana 11 has no model of.

A search in Jaeger needs a service and returns whole traces. Tags are compared for equality only, so
a variable in them must not stand for "all".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from af_otel_semconv import attributes, services, spans
from grafana_foundation_sdk.cog import builder, runtime, variants
from grafana_foundation_sdk.models.dashboard import DataSourceRef

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

    from af_otel.grafana.search import Spans

# Variables of a dashboard that hold the service to search.
SERVICE, SCHEDULER = "service", "scheduler"
# The service that emits the spans with a name.
_SERVICES = {
    spans.SPAWN_SERVER: services.JUPYTERHUB,
    spans.START_KERNEL: services.JUPYTER_SERVER,
    spans.RUN_CELL: services.JUPYTER_KERNEL,
    spans.COMPUTE_GRAPH: f"${SCHEDULER}",
}
_LIMIT = 50  # traces
_JSON = {
    "ref_id": "refId",
    "datasource": "datasource",
    "query_type": "queryType",
    "query": "query",
    "service": "service",
    "operation": "operation",
    "tags": "tags",
    "min_duration": "minDuration",
    "max_duration": "maxDuration",
    "limit": "limit",
}


@dataclass
class JaegerQuery(variants.Dataquery):  # type: ignore[misc]  # the SDK is untyped to mypy
    """A query, like those that the SDK has models of."""

    ref_id: str = ""
    datasource: DataSourceRef | None = None
    query_type: str | None = None
    """`search`; None for a lookup by trace id."""
    query: str | None = None
    """The id of the trace to look up."""
    service: str | None = None
    operation: str | None = None
    """A span name."""
    tags: str | None = None
    """Attributes of the span or its resource, in logfmt."""
    min_duration: str | None = None
    max_duration: str | None = None
    limit: int | None = None
    """How many traces are returned at most."""

    def to_json(self) -> dict[str, object]:
        """Return the query as it is in the JSON of a dashboard."""
        values = {key: getattr(self, name) for name, key in _JSON.items()}
        return {key: value for key, value in values.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the query that is in the JSON of a dashboard."""
        fields = {name: data[key] for name, key in _JSON.items() if key in data}
        if "datasource" in fields:
            fields["datasource"] = DataSourceRef.from_json(fields["datasource"])
        return cls(**fields)


@dataclass(frozen=True)
class JaegerQueryBuilder(builder.Builder[JaegerQuery]):  # type: ignore[misc]  # as above
    """A finished query as a builder, which is what the SDK's panels accept."""

    query: JaegerQuery

    def build(self) -> JaegerQuery:
        """Return the query."""
        return self.query


def variant_config() -> runtime.DataqueryConfig:
    """Return what the SDK needs to read such queries from JSON."""
    return runtime.DataqueryConfig(identifier="jaeger", from_json_hook=JaegerQuery.from_json)


def query(search: Spans, source: DataSourceRef) -> JaegerQueryBuilder:
    """Return the query that finds the newest traces with such spans."""
    tags = {"service.namespace": "$facility"}
    if search.of_session:
        tags[attributes.SESSION_ID] = "$session"
    if search.failed:
        tags["error"] = "true"
    return JaegerQueryBuilder(
        JaegerQuery(
            ref_id="A",
            datasource=source,
            query_type="search",
            service=_SERVICES.get(search.name, f"${SERVICE}"),
            operation=search.name or None,
            tags=" ".join(f'{key}="{value}"' for key, value in tags.items()),
            min_duration=search.slower or None,
            limit=_LIMIT,
        )
    )


def limitations(search: Spans, columns: Sequence[str]) -> str:
    """Return what to tell a panel's reader about a search in Jaeger."""
    names = ", ".join(f"`{column}`" for column in columns)
    sentences = [f"Jaeger lists whole traces: open one to see {names}."]
    if not search.name:
        sentences.append("Only the service chosen above is searched.")
    if search.of_session:
        sentences.append("Empty until a session is chosen.")
    if search.slower:
        # Badger's index of durations has neither services nor names.
        sentences.append(
            "With Badger, any slow span of the trace counts; Cassandra rejects the search."
        )
    return " ".join(sentences)
