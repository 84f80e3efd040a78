"""Export the SDK's metrics, and with them those that are made outside of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from opentelemetry.sdk.metrics.export import (
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from af_otel.runtime._log import say
from af_otel.runtime._producers import Producer, known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_AWAY = (
    "the Collector does not take metrics; they are kept as long as this process runs. "
    "Check AF_OTEL_ENDPOINT and that the Collector runs"
)


# Points of one request. Each takes a few hundred bytes, and a Collector of ours takes 2 MiB.
_POINTS = 4000


def _requests(parts: Sequence[ResourceMetrics]) -> Iterator[list[ResourceMetrics]]:
    """Divide metrics into requests; a metric stays whole."""
    request: list[ResourceMetrics] = []
    points = 0
    for part in parts:
        for scope in part.scope_metrics:
            for metric in scope.metrics:
                size = len(metric.data.data_points)
                if request and points + size > _POINTS:
                    yield request
                    request, points = [], 0
                points += size
                _add(request, part, scope, metric)
    if request:
        yield request


def _add(
    request: list[ResourceMetrics], part: ResourceMetrics, scope: ScopeMetrics, metric: Metric
) -> None:
    """Add a metric to a request, beside those of the same resource and scope."""
    if not request or request[-1].resource is not part.resource:
        request.append(ResourceMetrics(part.resource, [], part.schema_url))
    scopes: Any = request[-1].scope_metrics
    if not scopes or scopes[-1].scope is not scope.scope:
        scopes.append(ScopeMetrics(scope.scope, [], scope.schema_url))
    scopes[-1].metrics.append(metric)


class Merging(MetricExporter):
    """Exports the SDK's metrics and the producers' together, in as few requests as they fit in."""

    def __init__(self, exporter: MetricExporter, resource: Resource) -> None:
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,  # noqa: SLF001
            preferred_aggregation=exporter._preferred_aggregation,  # noqa: SLF001
        )
        self._exporter = exporter
        self._resource = resource
        self._owner = self._process = os.getpid()
        self._users_wait = False

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        made = [(producer, self._made_by(producer)) for producer in known]
        scopes = [
            ScopeMetrics(InstrumentationScope(producer.scope), metrics, "")
            for producer, metrics in made
            if metrics
        ]
        # A forked child has the SDK's as its parent had them, who sends them.
        parts = [] if os.getpid() != self._owner else list(metrics_data.resource_metrics)
        if scopes:
            parts.append(ResourceMetrics(self._own(), scopes, ""))
        result = MetricExportResult.SUCCESS
        if not parts:
            return result
        self._users_wait = bool(scopes)
        for request in _requests(parts):
            result = self._exporter.export(
                MetricsData(request), timeout_millis=timeout_millis, **kwargs
            )
            if result is not MetricExportResult.SUCCESS:
                break
        if result is MetricExportResult.SUCCESS:
            for producer, metrics in made:
                if metrics:
                    producer.sent()
        else:
            say(_AWAY)
        self._users_wait = False
        return result

    @staticmethod
    def _made_by(producer: Producer) -> Sequence[Metric]:
        try:
            return producer.produce()
        except Exception as error:
            say(f"metrics of {producer.scope} are not sent: {type(error).__name__}: {error}")
            return ()

    def _own(self) -> Resource:
        """Return the resource: a forked child is another instance than its parent."""
        if os.getpid() != self._process:
            self._process = os.getpid()
            self._resource = self._resource.merge(Resource({"service.instance.id": str(uuid4())}))
        return self._resource

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        # A short process ends while the exporter still tries.
        if self._users_wait:
            say(_AWAY)
        self._exporter.shutdown(timeout_millis=timeout_millis, **kwargs)
