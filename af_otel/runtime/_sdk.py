"""The SDK's providers for this process: what the lazy providers put off."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from af_otel_semconv import services
from opentelemetry import baggage, metrics, propagate, trace
from opentelemetry.sdk import metrics as sdk_metrics
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider, sampling
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)

from af_otel.runtime import _chance, _clock, _privacy
from af_otel.runtime._exporters import otlp
from af_otel.runtime._log import one_line_each, quieten_exporters, say
from af_otel.runtime._merging import Merging
from af_otel.runtime._reader import Reader, in_child
from af_otel.runtime._settings import Settings
from af_otel.runtime._spans import PendingSpans, SessionAttributes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.metrics import MeterProvider as MeterProviderAPI

    from af_otel.runtime._destination import Destination

# The distribution whose version is `service.version`, by role.
_VERSIONS = {
    "hub": "jupyterhub",
    "server": "jupyter-server",
    "kernel": "ipykernel",
    "dask-gateway": "dask-gateway-server",
    "collect": "af-otel",
}


class Providers:
    """The providers of this process, ours or those that were there before.

    Attributes
    ----------
    traces, meters
        What instrumentations make spans and measurements with.
    flush_timeout
        Milliseconds that `shutdown` takes at most.
    """

    def __init__(
        self,
        traces: trace.TracerProvider,
        meters: MeterProviderAPI,
        ends: Sequence[Callable[..., object]] = (),
        flush_timeout: int = 0,
    ) -> None:
        self.traces = traces
        self.meters = meters
        self._ends = ends
        self.flush_timeout = flush_timeout

    def shutdown(self) -> None:
        """Send what is queued, for as long as the settings allow, and stop.

        The parts export on threads of their own: from 3.12 on, none can be started any more here.
        """
        until = _clock.monotonic() + self.flush_timeout / 1000
        ends, self._ends = self._ends, ()
        for end in ends:
            with suppress(Exception):
                end(timeout_millis=max(0.0, until - _clock.monotonic()) * 1000)


def load(service: str, role: str, present: trace.TracerProvider | None = None) -> Providers:
    """Make the providers, set them as the global ones, and return them.

    Parameters
    ----------
    service
        `service.name` of this process, unless the environment sets one.
    role
        As the bootstrap has it.
    present
        The tracer provider that the process has already, which is used as it is; as is a meter
        provider that is there.
    """
    settings = Settings()
    quieten_exporters()
    _chance.use_our_own()
    _clock.use_our_own()
    resource = _resource(settings, service, role)
    ends: list[Callable[..., object]] = []

    traces = present
    if traces is None:
        traces, ends = _traces(settings, resource, role)
        trace._TRACER_PROVIDER = traces  # noqa: SLF001
    meters = metrics._internal._METER_PROVIDER  # noqa: SLF001 - asking may load one by a setting
    if meters is None:
        meters, more = _meters(settings, resource)
        ends += more
        metrics._internal._METER_PROVIDER = meters  # noqa: SLF001
        metrics._internal._PROXY_METER_PROVIDER.on_set_meter_provider(meters)  # noqa: SLF001
    return Providers(traces, meters, ends, settings.flush_timeout)


def _resource(settings: Settings, service: str, role: str) -> Resource:
    """Return the resource: `OTEL_*` is overridden by `AF_OTEL_*`, and both by the instance's id."""
    given = Resource.create(settings.resource).attributes
    attributes: dict[str, str] = {**settings.resource, "service.instance.id": str(uuid4())}
    if str(given.get("service.name", "unknown_service")).startswith("unknown_service"):
        attributes["service.name"] = service
    if "service.version" not in given:
        with suppress(metadata.PackageNotFoundError):
            attributes["service.version"] = metadata.version(_VERSIONS.get(role, "distributed"))
    return Resource.create(attributes)


def _sampler(settings: Settings) -> sampling.Sampler | None:
    """Return the sampler that `AF_OTEL_TRACES_SAMPLER` names; without one, the SDK chooses."""
    if settings.sampler is None:
        return None
    name, ratio = settings.sampler
    roots = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": sampling.TraceIdRatioBased(ratio),
    }
    root = roots[name.removeprefix("parentbased_")]
    return sampling.ParentBased(root) if name.startswith("parentbased_") else root


def _traces(
    settings: Settings, resource: Resource, role: str
) -> tuple[TracerProvider, list[Callable[..., object]]]:
    provider = TracerProvider(_sampler(settings), resource, shutdown_on_exit=False)
    provider.add_span_processor(SessionAttributes(_inherited(role)))
    if settings.traces.exporter == "none":
        return provider, []
    console = settings.traces.exporter == "console"
    exporter: Any = ConsoleSpanExporter() if console else _Otlp(settings.traces)
    hurry = [] if console else [exporter.hurry]
    batches = BatchSpanProcessor(
        PrivateSpanExporter(exporter, texts=settings.exception_texts),
        max_queue_size=settings.queue_size,
        schedule_delay_millis=settings.schedule_delay,
        max_export_batch_size=min(settings.batch_size, settings.queue_size),
    )
    pending = PendingSpans(batches.on_end, after=settings.pending_after / 1000)
    provider.add_span_processor(pending)
    provider.add_span_processor(batches)
    return provider, [*hurry, _Spans(pending, batches).shutdown]


class _Spans:
    """The end of the traces: first the markers of what is open, then the queue."""

    def __init__(self, pending: PendingSpans, batches: BatchSpanProcessor) -> None:
        self.pending = pending
        self.batches = batches

    def shutdown(self, timeout_millis: float) -> None:
        self.pending.shutdown()
        self.batches._batch_processor.shutdown(int(timeout_millis))  # noqa: SLF001


def _meters(
    settings: Settings, resource: Resource
) -> tuple[sdk_metrics.MeterProvider, list[Callable[..., object]]]:
    readers: list[MetricReader] = []
    hurry: list[Callable[..., object]] = []
    if settings.metrics.exporter != "none":
        console = settings.metrics.exporter == "console"
        exporter: Any = ConsoleMetricExporter() if console else _Otlp(settings.metrics)
        hurry = [] if console else [exporter.hurry]
        readers.append(
            Reader(
                Merging(exporter, resource),
                settings.metric_interval,
                settings.metric_timeout,
                # A nanny, which also is multiprocessing's parent, ends its worker in order.
                short=in_child() and resource.attributes["service.name"] != services.DASK_WORKER,
            )
        )
    provider = sdk_metrics.MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    return provider, [*hurry, provider.shutdown]


def _inherited(role: str) -> dict[str, object]:
    """Return the baggage that this process was started with; a hub serves many sessions and has
    none.
    """
    if role == "hub":
        return {}
    carrier = {"baggage": os.environ.get("BAGGAGE", "")}
    return dict(baggage.get_all(propagate.extract(carrier)))


class _Otlp:
    """An OTLP exporter, of which a forked child has its own.

    On the connection that it would share, each would read the answers to the other's requests.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        # A parent's is kept: to close it would wait for locks that its threads held.
        self._made = {os.getpid(): otlp(destination)}
        self._hurried = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own(), name)

    def _own(self) -> Any:
        process = os.getpid()
        if process not in self._made:
            with one_line_each():
                self._made[process] = otlp(self._destination)
        return self._made[process]

    def export(self, batch: Any, **kwargs: Any) -> Any:
        """Export; what waits to try again when the process ends has a last try then."""
        hurried = self._hurried
        result = self._own().export(batch, **kwargs)
        if result.name != "SUCCESS" and self._hurried and not hurried:
            result = self._own().export(batch, **kwargs)
        return result

    def hurry(self, timeout_millis: float) -> None:  # noqa: ARG002 - as all that end
        """Try once from now on: where nobody listens, somebody would wait for the end of this
        process.
        """
        self._hurried = True
        # An image's own exporter may be of another make, which goes on as it does.
        with suppress(AttributeError):
            self._own()._client._shutdown_event.set()  # noqa: SLF001


_OURS = "af_otel_instrumentation."
_DAY = 86400 * 10**9


class PrivateSpanExporter(SpanExporter):
    """Takes secrets out of spans for an exporter, and says once when that gets nowhere."""

    def __init__(self, exporter: SpanExporter, *, texts: bool) -> None:
        self.exporter = exporter
        self.texts = texts

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export what may be exported."""
        spans = [span for span in spans if not _is_impossible(span)]
        if not spans:
            return SpanExportResult.SUCCESS
        result = self.exporter.export(_privacy.scrub(spans, texts=self.texts))
        if result is not SpanExportResult.SUCCESS:
            say(
                "the Collector does not take telemetry; it is dropped until it does again. "
                "Check AF_OTEL_ENDPOINT and that the Collector runs"
            )
        return result

    def shutdown(self) -> None:
        """Stop the exporter, also one that waits to try again."""
        self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Do nothing: what is exported is sent."""
        return self.exporter.force_flush(timeout_millis)


def _is_impossible(span: ReadableSpan) -> bool:
    """Return whether the span's times were read from clocks that the user had replaced.

    Dask dates tasks by the process' clocks, so a span of ours may still be years off.
    """
    start, end = span.start_time, span.end_time
    if not start or not end:
        return False
    if end < start:
        return True
    scope = span.instrumentation_scope
    if scope is None or not scope.name.startswith(_OURS):
        return False
    now = _clock.time_ns()
    return start < now - 366 * _DAY or end > now + _DAY
