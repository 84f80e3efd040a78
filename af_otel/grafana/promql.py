"""Prometheus' questions, as all dashboards ask them.

Our own counters and histograms are pushed by short-lived processes, each a series of its own that
never goes back. `rate` sees a series' changes and not the value it is born with, which for a kernel
that ran one cell is all there is; so what such counters grew by is asked with `grown`. What is
scraped lives as long as its server and starts anew with it: that is what `rate` is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.grafana.names import prometheus_name

if TYPE_CHECKING:
    from af_otel_semconv.metrics import Instrument

# Long enough for two exports of a minute, and what Prometheus itself looks back for a value.
WINDOW = "5m"
SECONDS = 300
# A number that was not told for as long is a new one; else a break in telemetry would count again
# all that went before it.
GAP = "1h"
# What Grafana's time picker shows.
RANGE = "$__range"
# `job` is "facility/service" whatever the way that a number came.
FACILITY = 'job=~"$facility/.+"'
# Each run of the Collector has its own, so these never go back either.
SPANS = "traces_span_metrics"
_MEAN = ("sum", "count")


def series(metric: str | Instrument, *where: str) -> str:
    """The facility's series of a metric, by its Prometheus name or as a constant of ours."""
    name = metric if isinstance(metric, str) else prometheus_name(metric)
    return f"{name}{{{', '.join((FACILITY, *where))}}}"


def spelled(metric: str, *where: str) -> str:
    """The same, with `_total` or without: that depends on who scraped it."""
    return series("", f'__name__=~"{metric}(_total)?"', *where)


def total(metric: str | Instrument, *where: str, by: str = "") -> str:
    """The sum of a gauge."""
    return f"sum{_by(by)} ({series(metric, *where)})"


def most(metric: str, *where: str, by: str = "") -> str:
    """The largest of a gauge."""
    return f"max{_by(by)} ({series(metric, *where)})"


def grown(metric: str, *where: str, by: str = "", over: str = WINDOW) -> str:
    """What a pushed counter grew by, births counted."""
    picked = series(metric, *where)
    newest = picked if over == WINDOW else f"max_over_time({picked}[{over}])"
    before = f"last_over_time({picked}[{GAP}] offset {over})"
    return f"sum{_by(by)} ({newest} - ({before} or {newest} * 0))"


def per_second(metric: str, *where: str, by: str = "") -> str:
    """How fast a pushed counter grows."""
    return f"{grown(metric, *where, by=by)} / {SECONDS}"


def rate(picked: str, by: str = "") -> str:
    """How fast a scraped counter grows; `picked` is its series."""
    return f"sum{_by(by)} (rate({picked}[{WINDOW}]))"


def rare(picked: str) -> str:
    """The same for one that begins with what it counts, as the Collector's failures do."""
    born = f"({picked} unless last_over_time({picked}[{GAP}] offset {WINDOW}))"
    return f"({born} / {SECONDS} or rate({picked}[{WINDOW}]))"


def mean(metric: str, *where: str, by: str = "") -> str:
    """The mean of what a scraped histogram was given."""
    summed, counted = (series(f"{metric}_{part}", *where) for part in _MEAN)
    return f"{rate(summed, by)} / ({rate(counted, by)} > 0)"


def span_mean(*where: str, by: str) -> str:
    """The mean duration of spans, from what the Collector made of all of them."""
    summed, counted = (grown(f"{SPANS}_duration_seconds_{part}", *where, by=by) for part in _MEAN)
    return f"{summed} / ({counted} > 0)"


def count(instrument: Instrument, *where: str, by: str = "", over: str = WINDOW) -> str:
    """How many values a histogram of ours was given."""
    return grown(f"{prometheus_name(instrument)}_count", *where, by=by, over=over)


def share(instrument: Instrument, good: str, *where: str, over: str = WINDOW) -> str:
    """Of a histogram's values those that fit `good`; nothing where there was none at all."""
    name = f"{prometheus_name(instrument)}_count"
    whole = grown(name, *where, over=over)
    # Where none is good, no series of a good one may be there.
    return f"({grown(name, good, *where, over=over)} or {whole} * 0) / ({whole} > 0)"


def quantile(q: float, instrument: Instrument, *where: str, by: str = "") -> str:
    """A true quantile of a histogram of ours; nothing where nothing happened."""
    grouped = f"le, {by}" if by else "le"
    buckets = grown(f"{prometheus_name(instrument)}_bucket", *where, by=grouped)
    return f"histogram_quantile({q:g}, {buckets})"


def quantiles(instrument: Instrument, *where: str) -> dict[str, str]:
    """The three lines that tell most of a distribution, by their legend."""
    legends = {"half are faster": 0.5, "95 % are faster": 0.95, "99 % are faster": 0.99}
    return {legend: quantile(q, instrument, *where) for legend, q in legends.items()}


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
