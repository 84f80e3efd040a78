"""Counters, gauges and histograms that cost a few microseconds a call and bounded memory.

The SDK's own take 7 to 10 us with a label or two. Here a call is a look-up and an addition; what
the sums are is read on the exporter's thread (`_producer`).
"""

from __future__ import annotations

import functools
import inspect
import math
import threading
from bisect import bisect_left
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from opentelemetry import trace

from af_otel.metrics import _names
from af_otel.metrics._warn import warn
from af_otel.runtime import _clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    Function = TypeVar("Function", bound=Callable[..., Any])

# Combinations of label values per metric and process; further ones are summed into one.
MOST_SERIES = 200
OVERFLOW = {"otel.metric.overflow": "true"}
# Ways in which the same labels were written (in another order, as 1 or "1").
_MOST_SPELLINGS = 4 * MOST_SERIES
LARGEST = 2**63 - 1  # OTLP's integers

# From a loop's step to a fit that runs over night, in seconds.
SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 7200, 28800)
# For what has no unit that tells more.
DECADES = (0.001, 0.01, 0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e9)


class Series:
    """What was recorded under one combination of labels."""

    __slots__ = ("began", "count", "counts", "exemplar", "high", "labels", "low", "time", "value")

    def __init__(self, labels: dict[str, str], buckets: int) -> None:
        self.labels = labels
        self.began = _clock.time_ns()
        self.time = self.began
        self.value: float = 0
        self.count = 0
        self.counts = [0] * buckets
        self.low, self.high = math.inf, -math.inf
        # Value, time, trace and span of one call since the last export.
        self.exemplar: tuple[float, int, int, int] | None = None


class Instrument:
    """What all kinds share: the labels' look-up and its limits.

    Attributes
    ----------
    name
        As it is sent, below `user.`.
    families
        What Prometheus stores it under.
    """

    kind: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ("",)

    def __init__(
        self, name: str, unit: str, description: str, boundaries: Sequence[float] = ()
    ) -> None:
        self.name = name
        self.unit = unit
        self.description = description
        self.boundaries = tuple(boundaries)
        self.families = {_names.prometheus(name, unit, suffix) for suffix in self.suffixes}
        # Reentrant, as a label's text, a finalizer or a signal's handler may count, too.
        self.lock = threading.RLock()
        self._forget()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to a Dask worker by name: there it is that process' own."""
        from af_otel.metrics import _registry

        kept = (type(self), self.name, self.unit, self.description, self.boundaries)
        return _registry.instrument, kept

    def _forget(self) -> None:
        self._known: dict[tuple[tuple[str, Any], ...], Series] = {}
        self._series: dict[tuple[tuple[str, str], ...], Series] = {}

    def series(self) -> Iterable[Series]:
        """What was recorded so far."""
        return list(self._series.values())

    def after_fork(self) -> None:
        """A child starts from nothing: what was counted so far is its parent's."""
        self.lock = threading.RLock()
        self._forget()

    def _find(self, labels: dict[str, Any]) -> Series:
        """Return the series of labels that were not met in this spelling before."""
        taken = _names.labels(self.name, labels)
        key = tuple(sorted(taken.items()))
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= MOST_SERIES:
                warn(
                    self.name,
                    f"has more than {MOST_SERIES} combinations of labels; further ones are summed "
                    'under `otel_metric_overflow="true"`',
                )
                taken, key = OVERFLOW, tuple(OVERFLOW.items())
                series = self._series.get(key)
            if series is None:
                series = self._series[key] = Series(taken, len(self.boundaries) + 1)
        if len(self._known) < _MOST_SPELLINGS:
            try:
                self._known[tuple(labels.items())] = series
            except Exception:  # a label that cannot be hashed
                pass
        return series

    def _at(self, labels: dict[str, Any]) -> Series:
        try:
            return self._known[tuple(labels.items())]
        except Exception:  # not met before, or one that cannot be hashed or compared
            return self._find(labels)

    def _number(self, value: Any) -> float | None:
        return finite(self.name, value)

    def _note(self, series: Series, value: float) -> None:
        """Remember which span the first call after an export was made in."""
        context = trace.get_current_span().get_span_context()
        if context.trace_flags.sampled and context.is_valid:
            series.exemplar = (value, _clock.time_ns(), context.trace_id, context.span_id)


def finite(name: str, value: Any) -> float | None:
    """Return a finite number that OTLP can carry, None (with a warning) for anything else."""
    if type(value) is not int and type(value) is not float:
        try:
            # NumPy's, PyTorch's and others' scalars.
            value = value.item() if hasattr(value, "item") else value
            value = value if type(value) is int else float(value)
        except Exception:
            kind = type(value).__name__
            warn(name, f"a {kind} is no number, so it is not recorded")
            return None
    if type(value) is int:
        return value if -LARGEST <= value <= LARGEST else finite(name, _as_float(value))
    if not math.isfinite(value):
        warn(name, f"{value} is no finite number, so it is not recorded")
        return None
    return float(value)


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


class Counter(Instrument):
    """Counts what happened: it only grows. In Prometheus its name ends in `_total`."""

    kind = "counter"
    suffixes = ("total",)

    def add(self, value: float = 1, *given: Mapping[str, Any], **labels: Any) -> None:
        """Count `value` more; never raises.

        Parameters
        ----------
        value
            A finite number, not negative.
        *given, **labels
            What it is counted by: a few words each, such as `sample="ttbar"`; also as a mapping.
        """
        self._add(value, _names.gathered(self.name, given, labels) if given else labels)

    def _add(self, value: float, labels: dict[str, Any]) -> None:
        number = self._number(value)
        if number is None:
            return
        if number < 0:
            warn(self.name, f"{number} would make a counter fall; use a gauge")
            return
        with self.lock:
            series = self._at(labels)
            series.value += number
            if series.exemplar is None:
                self._note(series, number)


class Gauge(Instrument):
    """A value that goes up and down, of which the last one counts."""

    kind = "gauge"

    def set(self, value: float, *given: Mapping[str, Any], **labels: Any) -> None:
        """Set it to a finite number; never raises."""
        if given:
            labels = _names.gathered(self.name, given, labels)
        number = self._number(value)
        if number is None:
            return
        with self.lock:
            series = self._at(labels)
            series.value = number
            series.time = _clock.time_ns()


class Histogram(Instrument):
    """How values are spread: quantiles and sums over any time and many processes."""

    kind = "histogram"
    suffixes = ("bucket", "count", "sum")

    def record(self, value: float, *given: Mapping[str, Any], **labels: Any) -> None:
        """Record a finite number; never raises."""
        self._record(value, _names.gathered(self.name, given, labels) if given else labels)

    def _record(self, value: float, labels: dict[str, Any]) -> None:
        number = self._number(value)
        if number is None:
            return
        with self.lock:
            series = self._at(labels)
            series.counts[bisect_left(self.boundaries, number)] += 1
            series.count += 1
            series.value += number
            series.low = min(series.low, number)
            series.high = max(series.high, number)
            if series.exemplar is None:
                self._note(series, number)


# The timers that run, and since when. One may time several threads and asyncio tasks at once, and
# itself inside.
_running: ContextVar[tuple[tuple[Timer, float], ...]] = ContextVar("af_otel_timers", default=())


class Timer:
    """Times a block or each call of a function into a histogram of seconds.

    The label `outcome` is `ok`, or `error` where it ended by an exception.
    """

    def __init__(self, histogram: Histogram, labels: dict[str, Any]) -> None:
        self._histogram = histogram
        self._labels = labels

    def __enter__(self) -> Self:
        _running.set((*_running.get(), (self, _clock.perf_counter())))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ended = _clock.perf_counter()
        running = _running.get()
        for place in reversed(range(len(running))):
            timer, began = running[place]
            if timer is self:
                _running.set(running[:place] + running[place + 1 :])
                labels = {"outcome": "ok" if kind is None else "error", **self._labels}
                self._histogram._record(ended - began, labels)  # noqa: SLF001
                return
        warn(self._histogram.name, "a timer ends that was not begun here; nothing is recorded")

    def __call__(self, function: Function) -> Function:
        """Return the function, timed."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def timed_async(*args: Any, **kwargs: Any) -> Any:
                with Timer(self._histogram, self._labels):
                    return await function(*args, **kwargs)

            return timed_async  # type: ignore[return-value]

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return timed  # type: ignore[return-value]

    def __reduce__(self) -> tuple[Any, ...]:
        return Timer, (self._histogram, self._labels)
