"""PromQL that dashboards share.

Short-lived processes push our counters and histograms, each as a separate series that never resets.
`rate` ignores the first value of a series, which is the only one of a kernel that ran one cell, so
the growth of such counters is computed by `grown`. Scraped counters live as long as their server
and reset with it: `rate` is for those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.grafana.names import prometheus_name

if TYPE_CHECKING:
    from af_otel_semconv.metrics import Instrument

# Long enough for two exports, one a minute; also how far back Prometheus looks for a value.
WINDOW = "5m"
SECONDS = 300
# A series that was absent for longer counts as new. A shorter break in telemetry must not count
# earlier values again.
GAP = "1h"
# The time range of the dashboard.
RANGE = "$__range"
# `job` is "facility/service", whether a metric was pushed or scraped.
FACILITY = 'job=~"$facility/.+"'
# Each run of the Collector has separate series, so these never reset either.
SPANS = "traces_span_metrics"
_MEAN = ("sum", "count")


def series(metric: str | Instrument, *where: str) -> str:
    """Return the facility's series of a metric, given by its Prometheus name or our constant."""
    name = metric if isinstance(metric, str) else prometheus_name(metric)
    return f"{name}{{{', '.join((FACILITY, *where))}}}"


def spelled(metric: str, *where: str) -> str:
    """Return the same with or without `_total`, which depends on the scraper."""
    return series("", f'__name__=~"{metric}(_total)?"', *where)


def total(metric: str | Instrument, *where: str, by: str = "") -> str:
    """Return the sum of a gauge."""
    return f"sum{_by(by)} ({series(metric, *where)})"


def most(metric: str, *where: str, by: str = "") -> str:
    """Return the maximum of a gauge."""
    return f"max{_by(by)} ({series(metric, *where)})"


def grown(metric: str, *where: str, by: str = "", over: str = WINDOW) -> str:
    """Return the growth of a pushed counter, including the first values of series."""
    picked = series(metric, *where)
    newest = picked if over == WINDOW else f"max_over_time({picked}[{over}])"
    before = f"last_over_time({picked}[{GAP}] offset {over})"
    return f"sum{_by(by)} ({newest} - ({before} or {newest} * 0))"


def per_second(metric: str, *where: str, by: str = "") -> str:
    """Return the growth of a pushed counter per second."""
    return f"{grown(metric, *where, by=by)} / {SECONDS}"


def rate(picked: str, by: str = "") -> str:
    """Return the growth per second of a scraped counter's series."""
    return f"sum{_by(by)} (rate({picked}[{WINDOW}]))"


def rare(picked: str) -> str:
    """Return the same for a counter whose first value counts, such as the Collector's failures."""
    born = f"({picked} unless last_over_time({picked}[{GAP}] offset {WINDOW}))"
    return f"({born} / {SECONDS} or rate({picked}[{WINDOW}]))"


def mean(metric: str, *where: str, by: str = "") -> str:
    """Return the mean of a scraped histogram's values."""
    summed, counted = (series(f"{metric}_{part}", *where) for part in _MEAN)
    return f"{rate(summed, by)} / ({rate(counted, by)} > 0)"


def span_mean(*where: str, by: str) -> str:
    """Return the mean duration of spans, from the Collector's span metrics."""
    summed, counted = (grown(f"{SPANS}_duration_seconds_{part}", *where, by=by) for part in _MEAN)
    return f"{summed} / ({counted} > 0)"


def count(instrument: Instrument, *where: str, by: str = "", over: str = WINDOW) -> str:
    """Return the number of values that a histogram of ours received."""
    return grown(f"{prometheus_name(instrument)}_count", *where, by=by, over=over)


def share(instrument: Instrument, good: str, *where: str, over: str = WINDOW) -> str:
    """Return the share of a histogram's values that match `good`; nothing without values."""
    name = f"{prometheus_name(instrument)}_count"
    whole = grown(name, *where, over=over)
    # Without any good value, the series of good ones may not exist.
    return f"({grown(name, good, *where, over=over)} or {whole} * 0) / ({whole} > 0)"


def quantile(q: float, instrument: Instrument, *where: str, by: str = "") -> str:
    """Return a quantile of a histogram of ours; nothing without values."""
    grouped = f"le, {by}" if by else "le"
    buckets = grown(f"{prometheus_name(instrument)}_bucket", *where, by=grouped)
    return f"histogram_quantile({q:g}, {buckets})"


def quantiles(instrument: Instrument, *where: str) -> dict[str, str]:
    """Return the median and two high quantiles, by legend."""
    legends = {"median": 0.5, "95th percentile": 0.95, "99th percentile": 0.99}
    return {legend: quantile(q, instrument, *where) for legend, q in legends.items()}


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
