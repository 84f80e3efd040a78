"""Dask under the instrumentation, in this process, with the SDK's exporters in memory."""

from __future__ import annotations

import asyncio
import contextlib

from af_otel_instrumentation import dask
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Telemetry:
    """What was exported, and a tracer for what users would trace."""

    def __init__(self):
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.traces = TracerProvider()
        self.traces.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])
        self.tracer = self.traces.get_tracer("tests")

    def spans(self, name=None):
        """Ended spans, by the whole name or its beginning."""
        ended = self._exporter.get_finished_spans()
        return [span for span in ended if name is None or span.name.startswith(name)]

    async def wait(self, name, count=1, seconds=30):
        """Wait until there are as many such spans, and return them."""
        await until(lambda: len(self.spans(name)) >= count, seconds)
        found = self.spans(name)
        assert len(found) == count, [span.name for span in self.spans()]
        return found

    def points(self, name):
        """Data points of a metric as they are now: attributes' values and the point."""
        data = self._reader.get_metrics_data()
        return [
            (tuple(point.attributes.values()), point)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def counts(self, name):
        """Of a histogram: how many measurements by attributes' values."""
        return {values: point.count for values, point in self.points(name)}

    def values(self, name):
        """Of a counter or gauge: the value by attributes' values."""
        return {values: point.value for values, point in self.points(name)}


@contextlib.contextmanager
def instrumented():
    """Instrument Dask for the time of a test."""
    telemetry = Telemetry()
    dask.instrument(tracer_provider=telemetry.traces, meter_provider=telemetry.meters)
    try:
        yield telemetry
    finally:
        dask.uninstrument()


async def until(condition, seconds=30):
    """Let the event loop go on until the condition holds."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    assert condition()


def is_child(child, parent):
    """Whether one span is the other's child, in the same trace."""
    return (
        child.parent is not None
        and child.parent.span_id == parent.context.span_id
        and child.context.trace_id == parent.context.trace_id
    )
