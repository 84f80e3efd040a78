"""coffea's `Runner.run`: a span of it, and its metrics also where nobody asked for them."""

from __future__ import annotations

import copy
import functools
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from af_otel_semconv import attributes as names
from af_otel_semconv import metrics as instruments
from af_otel_semconv import spans
from opentelemetry import metrics, trace
from opentelemetry.trace import Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

_log = logging.getLogger(__name__)
# Not the function itself, which freezegun replaces in every module that has it.
_perf_counter = functools.partial(time.perf_counter)

# A key of coffea's report, its metric, and the span's attribute.
_REPORT = (
    ("bytesread", instruments.COFFEA_BYTESREAD, names.COFFEA_BYTESREAD),
    ("entries", instruments.COFFEA_ENTRIES, names.COFFEA_ENTRIES),
    ("processtime", instruments.COFFEA_PROCESSTIME, names.COFFEA_PROCESSTIME),
    ("chunks", instruments.COFFEA_CHUNKS, names.COFFEA_CHUNKS),
)

# Asked for their report, these hand it back in the place of the processor's output.
_NO_REPORT = frozenset({"2025.10.0", "2025.10.1"})

_wrapped: Callable[..., Any] | None = None


class _Telemetry:
    def __init__(self, tracers: TracerProvider | None, meters: MeterProvider | None) -> None:
        self.tracer = trace.get_tracer(
            "af_otel_instrumentation.coffea.runner", tracer_provider=tracers
        )
        meter = metrics.get_meter("af_otel_instrumentation.coffea.runner", meter_provider=meters)
        self.counters = {
            key: meter.create_counter(**instrument.plain) for key, instrument, _ in _REPORT
        }
        self.duration = meter.create_histogram(**instruments.COFFEA_RUN_DURATION.histogram)
        self._processors: set[str] = set()

    def processor(self, instance: Any) -> str:
        """Return the class of a processor; later ones of very many are `other`."""
        kind = instance if hasattr(instance, "__name__") else type(instance)
        name = str(kind.__name__)
        if name not in self._processors:
            if len(self._processors) >= instruments.MAX_PROCESSORS:
                return "other"
            self._processors.add(name)
        return name

    def end(self, run: _Run, report: Any, error: BaseException | None) -> None:
        """Record what coffea reported, and how the run ended."""
        labels: dict[str, str] = {names.COFFEA_PROCESSOR: run.processor}
        for key, _, attribute in _REPORT:
            value = report.get(key) if isinstance(report, dict) else None
            if isinstance(value, (int, float)):
                self.counters[key].add(value, labels)
                run.span.set_attribute(attribute, value)
        if error is not None:
            kind = type(_cause(error)).__name__
            run.span.set_attribute(names.ERROR_TYPE, kind)
            run.span.set_status(Status(StatusCode.ERROR))
            labels[names.ERROR_TYPE] = kind
        self.duration.record(_perf_counter() - run.began, labels)


def _cause(error: BaseException) -> BaseException:
    """Return what went wrong: coffea wraps a processor's failure in a bare `Exception`."""
    cause = error.__cause__ if type(error) is Exception else None
    return error if cause is None else cause


class _Run(NamedTuple):
    span: Span
    processor: str
    began: float


def instrument(tracers: TracerProvider | None, meters: MeterProvider | None) -> None:
    """Wrap `Runner.run`; a second call changes nothing."""
    global _wrapped  # noqa: PLW0603
    if _wrapped is not None:
        return
    import coffea
    from coffea.processor.executor import Runner

    _wrapped = Runner.run
    reports = coffea.__version__ not in _NO_REPORT
    Runner.run = _traced(_wrapped, _Telemetry(tracers, meters), reports=reports)


def uninstrument() -> None:
    """Put `Runner.run` back."""
    global _wrapped
    if _wrapped is not None:
        from coffea.processor.executor import Runner

        Runner.run, _wrapped = _wrapped, None


def _traced(run: Callable[..., Any], telemetry: _Telemetry, *, reports: bool) -> Callable[..., Any]:
    @functools.wraps(run)
    def traced(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            measured = copy.copy(self)
            # Their report costs coffea nothing but a set of names. A checkpoint would keep it.
            if reports and getattr(self, "checkpointer", None) is None:
                measured.savemetrics = True
            instance = kwargs.get("processor_instance", args[1] if len(args) > 1 else None)
            name = telemetry.processor(instance)
            span = telemetry.tracer.start_span(
                spans.RUN_PROCESSOR, attributes={names.COFFEA_PROCESSOR: name}
            )
        except Exception:
            _log.exception("a run of coffea goes untraced")
            return run(self, *args, **kwargs)
        noted = _Run(span, name, _perf_counter())
        report, failure = None, None
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                result = run(measured, *args, **kwargs)
            report, failure = _report(result, asked=bool(self.savemetrics))
        except BaseException as error:
            failure = error
            raise
        finally:
            with suppress(Exception):
                # What a subclass noted on the way is its own.
                vars(self).update(vars(measured), savemetrics=self.savemetrics)
            try:
                telemetry.end(noted, report, failure)
                span.end()
            except Exception:
                _log.exception("a run of coffea goes untold")
        return result

    return traced


def _report(result: Any, *, asked: bool) -> tuple[Any, BaseException | None]:
    """Return coffea's report and a failure that it hands back; unasked, the report is taken out."""
    # From 2026 on a result may be an Ok or an Err around it (`use_result_type`).
    holder = getattr(result, "value", result)
    error = getattr(result, "exception", None)
    if isinstance(holder, dict) and "metrics" in holder:
        report = holder["metrics"] if asked else holder.pop("metrics")
        failed = error or holder.get("exception")
        return report, failed if isinstance(failed, BaseException) else None
    return None, error if isinstance(error, BaseException) else None
