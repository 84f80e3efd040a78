"""Turn what was recorded into the SDK's data points, on the exporter's thread."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData

try:  # not among the SDK's public names
    from opentelemetry.sdk.metrics._internal.exemplar import Exemplar
except ImportError:  # pragma: no cover
    Exemplar = None  # type: ignore[assignment, misc]

from af_otel.metrics._instruments import LARGEST, Counter, Histogram, Instrument, Series
from af_otel.runtime import _clock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from af_otel.metrics._points import Point

_CUMULATIVE = AggregationTemporality.CUMULATIVE


def metrics(instruments: Mapping[str, Instrument], points: Sequence[Point]) -> list[Metric]:
    """Return what each instrument has come to, and the points."""
    now = _clock.time_ns()
    made = [
        metric
        for instrument in list(instruments.values())
        if (metric := _metric(instrument, now)) is not None
    ]
    by_name: dict[str, list[NumberDataPoint]] = {}
    for point in points:
        data = NumberDataPoint(dict(point.labels), point.time, point.time, point.value)
        by_name.setdefault(point.name, []).append(data)
    return made + [Metric(name, "", "", Gauge(data)) for name, data in by_name.items()]


def _metric(instrument: Instrument, now: int) -> Metric | None:
    with instrument.lock:
        known = list(instrument.series())
        if not known:
            return None
        if isinstance(instrument, Histogram):
            bounds = instrument.boundaries
            data: Sum | Gauge | HistogramData = HistogramData(
                [_spread(series, bounds, now) for series in known], _CUMULATIVE
            )
        elif isinstance(instrument, Counter):
            data = Sum([_number(series, now) for series in known], _CUMULATIVE, is_monotonic=True)
        else:
            data = Gauge([_number(series, now) for series in known])
    return Metric(instrument.name, instrument.description, instrument.unit, data)


def _number(series: Series, now: int) -> NumberDataPoint:
    value = _carried(series.value)
    return NumberDataPoint(series.labels, series.began, now, value, _exemplars(series))


def _spread(series: Series, bounds: Sequence[float], now: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=series.labels,
        start_time_unix_nano=series.began,
        time_unix_nano=now,
        count=series.count,
        sum=_carried(float(series.value)),
        bucket_counts=list(series.counts),
        explicit_bounds=bounds,
        min=series.low,
        max=series.high,
        exemplars=_exemplars(series),
    )


def _carried(value: float) -> float:
    """Return a sum as OTLP can carry it: the Collector refuses all of what comes with another."""
    if isinstance(value, int) and -LARGEST <= value <= LARGEST:
        return value
    return max(-sys.float_info.max, min(float(value), sys.float_info.max))


def _exemplars(series: Series) -> list[Exemplar]:
    if series.exemplar is None or Exemplar is None:
        return []
    value, at, trace_id, span_id = series.exemplar
    return [Exemplar({}, value, at, span_id, trace_id)]
