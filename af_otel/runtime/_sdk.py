"""The SDK's providers for this process: what the lazy providers put off."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from af_otel_semconv import services
from opentelemetry import baggage, propagate
from opentelemetry.sdk import metrics as sdk_metrics
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider, sampling
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.version import __version__

from af_otel.runtime import _chance, _clock, _privacy
from af_otel.runtime._budget import Budget
from af_otel.runtime._exporters import otlp
from af_otel.runtime._log import one_line_each, quieten_exporters, say
from af_otel.runtime._merging import Merging
from af_otel.runtime._packages import is_ours
from af_otel.runtime._reader import Reader, in_child
from af_otel.runtime._settings import Settings
from af_otel.runtime._spans import PendingSpans, SessionAttributes, SpanQueue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from af_otel.runtime._destination import Destination
    from af_otel.runtime._sender import Sender
    from af_otel.runtime._transport import StandardResult

# The module whose version is `service.version`, by role.
_HOSTS = {
    "hub": "jupyterhub",
    "server": "jupyter_server",
    "kernel": "ipykernel",
    "dask-gateway": "dask_gateway_server",
    "collect": "af_otel",
}


# Characters of an attribute's value, as the Collector cuts it, too.
LONGEST_VALUE = 4096


class Providers:
    """The providers of this process.

    Attributes
    ----------
    traces, meters
        What instrumentations make spans and measurements with.
    budget
        Of the users' spans in each trace.
    """

    def __init__(
        self,
        traces: TracerProvider,
        meters: sdk_metrics.MeterProvider,
        budget: Budget,
        sender: Sender,
        exporters: Sequence[_Otlp],
        flush_timeout: int,
    ) -> None:
        self.traces = traces
        self.meters = meters
        self.budget = budget
        self._sender = sender
        self._exporters = exporters
        self._flush_timeout = flush_timeout / 1000

    def shutdown(self) -> None:
        """Send what is queued, for as long as the settings allow, and stop."""
        for exporter in self._exporters:
            exporter.hurry(self._flush_timeout)
        self._sender.finish(self._flush_timeout)


def load(service: str, role: str, sender: Sender) -> Providers:
    """Make the providers and return them; they are not set as the global ones.

    Parameters
    ----------
    service
        `service.name` of this process, unless the environment sets one.
    role
        As the bootstrap has it.
    sender
        Exports what they record.
    """
    settings = Settings()
    quieten_exporters()
    _chance.use_our_own()
    _clock.use_our_own()
    resource = _resource(settings, service, role)
    exporters: list[_Otlp] = []
    budget = Budget(settings.max_spans)
    traces = _traces(settings, resource, role, sender, exporters, budget)
    meters = _meters(settings, resource, sender, exporters)
    return Providers(traces, meters, budget, sender, exporters, settings.flush_timeout)


def _resource(settings: Settings, service: str, role: str) -> Resource:
    """Return the resource: `OTEL_*` is overridden by `AF_OTEL_*`, and both by the instance's id."""
    # Not by `Resource.create`, which has detectors run on threads.
    found = Resource(
        {
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": __version__,
        }
    ).merge(OTELResourceDetector().detect())
    attributes = {"service.name": service, **found.attributes, **settings.resource}
    host = sys.modules.get(_HOSTS.get(role, "distributed"))
    if version := getattr(host, "__version__", None):
        attributes.setdefault("service.version", str(version))
    attributes["service.instance.id"] = str(uuid4())
    return Resource(attributes)


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
    settings: Settings,
    resource: Resource,
    role: str,
    sender: Sender,
    exporters: list[_Otlp],
    budget: Budget,
) -> TracerProvider:
    provider = TracerProvider(
        _sampler(settings), resource, shutdown_on_exit=False, span_limits=_limits()
    )
    provider.add_span_processor(SessionAttributes(_inherited(role)))
    provider.add_span_processor(budget)
    if settings.traces.exporter == "none":
        return provider
    exporter: Any = ConsoleSpanExporter()
    if settings.traces.exporter != "console":
        exporter = _Otlp(settings.traces)
        exporters.append(exporter)
        sender.on_pause(exporter.disconnect)
    queue = SpanQueue(
        sender,
        PrivateSpanExporter(exporter, texts=settings.exception_texts).export,
        delay=settings.schedule_delay / 1000,
        batch=settings.batch_size,
        limit=settings.queue_size,
    )
    pending = PendingSpans(sender, queue.on_end, after=settings.pending_after / 1000)
    # Markers go into the queue, so they are made before it is finished.
    for job in (pending, queue):
        provider.add_span_processor(job)
        sender.add(job)
    return provider


def _limits() -> SpanLimits:
    """Return the bounds of a span; the SDK's own do not cut a long value."""
    chosen = any(
        os.environ.get(f"OTEL_{kind}ATTRIBUTE_VALUE_LENGTH_LIMIT") for kind in ("", "SPAN_")
    )
    return SpanLimits() if chosen else SpanLimits(max_attribute_length=LONGEST_VALUE)


def _meters(
    settings: Settings, resource: Resource, sender: Sender, exporters: list[_Otlp]
) -> sdk_metrics.MeterProvider:
    if settings.metrics.exporter == "none":
        return sdk_metrics.MeterProvider((), resource=resource, shutdown_on_exit=False)
    exporter: Any = ConsoleMetricExporter()
    if settings.metrics.exporter != "console":
        exporter = _Otlp(settings.metrics)
        exporters.append(exporter)
        sender.on_pause(exporter.disconnect)
    reader = Reader(
        sender,
        Merging(exporter, resource),
        settings.metric_interval,
        settings.metric_timeout,
        # A nanny, which also is multiprocessing's parent, ends its worker in order.
        short=in_child() and resource.attributes["service.name"] != services.DASK_WORKER,
    )
    provider = sdk_metrics.MeterProvider((reader,), resource=resource, shutdown_on_exit=False)
    reader.watch(provider)
    sender.add(reader)
    return provider


def _inherited(role: str) -> dict[str, object]:
    """Return the baggage that this process was started with; a hub serves many sessions and has
    none.
    """
    if role == "hub":
        return {}
    carrier = {"baggage": os.environ.get("BAGGAGE", "")}
    return dict(baggage.get_all(propagate.extract(carrier)))


class _Otlp:
    """An OTLP exporter that tries once, and of which a forked child has its own.

    On the connection that it would share, each would read the answers to the other's requests.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        # A parent's is kept: to close it would wait for locks that its threads held.
        self._made = {os.getpid(): otlp(destination)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own(), name)

    def _own(self) -> Any:
        process = os.getpid()
        if process not in self._made:
            with one_line_each():
                self._made[process] = otlp(self._destination)
        return self._made[process]

    @property
    def last(self) -> StandardResult | None:
        """What the Collector answered last, if the transport knows."""
        return getattr(self._own()._client._transport, "last", None)  # noqa: SLF001

    def disconnect(self) -> None:
        """Close the connection; the next export opens another."""
        self._own()._client._transport.close()  # noqa: SLF001

    def hurry(self, timeout: float) -> None:
        """Wait at most `timeout` seconds from now on, as someone waits for this process to end."""
        client = self._own()._client  # noqa: SLF001
        client._timeout = min(client._timeout, timeout)  # noqa: SLF001


# Answers that may be about some of the spans only.
_OF_SOME = {400, 413}
# Requests of one batch that are split at most, to find the spans that are refused.
_MOST_REFUSALS = 16
_DAY = 86400 * 10**9


class PrivateSpanExporter(SpanExporter):
    """Takes secrets out of spans for an exporter, and says once when that gets nowhere."""

    def __init__(self, exporter: SpanExporter, *, texts: bool) -> None:
        self.exporter = exporter
        self.texts = texts

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export what may be exported; a failure is one that may pass."""
        spans = [span for span in spans if not _is_impossible(span)]
        if not spans:
            return SpanExportResult.SUCCESS
        return self._export(_privacy.scrub(spans, texts=self.texts), iter(range(_MOST_REFUSALS)))

    def _export(
        self, spans: Sequence[ReadableSpan], refusals: Iterator[object]
    ) -> SpanExportResult:
        """Export spans; those that the Collector refuses are searched for and left out."""
        result = self.exporter.export(spans)
        last = getattr(self.exporter, "last", None)
        if last is not None and last.partial_success:
            say(f"the Collector has not taken all spans ({last.partial_success})")
        if result is SpanExportResult.SUCCESS:
            return result
        if last is None or not last.is_refusal:
            say(
                "the Collector does not take telemetry; spans are kept until it does, and the "
                "oldest dropped when there are too many. "
                "Check AF_OTEL_ENDPOINT and that the Collector runs"
            )
            return result
        if last.status_code in _OF_SOME and len(spans) > 1 and next(refusals, None) is not None:
            half = len(spans) // 2
            for part in (spans[:half], spans[half:]):
                self._export(part, refusals)
        else:
            said = last.text()[:200]
            say(f"the Collector refuses spans, which are left out: {last.status_code} {said}")
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Stop the exporter."""
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
    if not is_ours(span.instrumentation_scope):
        return False
    now = _clock.time_ns()
    return start < now - 366 * _DAY or end > now + _DAY
