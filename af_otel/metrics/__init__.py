"""Numbers of your own beside the facility's, from a notebook, a script or a Dask task.

    from af_otel import metrics

    metrics.counter("events").add(25_000, sample="ttbar")
    metrics.gauge("disk.left", unit="By").set(free)
    metrics.histogram("fit.chi2").record(chi2)
    with metrics.timer("fit"):
        ...
    with metrics.training("higgs") as run:
        run.log(epoch=1, loss=0.41, n_rmse=0.18)

In an instrumented kernel or process there is nothing to set up. Elsewhere it says once that nothing
listens. No call ever raises: what cannot be recorded is left out with a `MetricsWarning` that says
what and why. In Prometheus every name begins with `user_`, dots are underscores, the unit is spelt
out and a counter ends in `_total`: `user_events_total{sample="ttbar"}`.

The limits: 200 metrics a process, 200 combinations of labels a metric (further ones are summed
under `otel_metric_overflow="true"`), 10 labels, 128 characters a label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.metrics import _names, _registry
from af_otel.metrics._collectors import collector
from af_otel.metrics._instruments import DECADES, SECONDS, Counter, Gauge, Histogram, Timer
from af_otel.metrics._training import Training
from af_otel.metrics._warn import MetricsWarning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Counter",
    "Gauge",
    "Histogram",
    "MetricsWarning",
    "Timer",
    "Training",
    "collector",
    "counter",
    "gauge",
    "histogram",
    "timer",
    "training",
]


def counter(name: str, unit: str = "", description: str = "") -> Counter:
    """Return the counter of this name, the same one each time.

    Parameters
    ----------
    name
        A letter, then letters, digits and `_ . - /`; what tells cases apart belongs into labels.
    unit
        In UCUM, as OpenTelemetry has it: `s`, `By`, `{event}`. https://ucum.org/ucum
    description
        One sentence, for whoever meets it in Grafana.
    """
    return _registry.instrument(Counter, name, unit, description)


def gauge(name: str, unit: str = "", description: str = "") -> Gauge:
    """Return the gauge of this name; parameters as of `counter`."""
    return _registry.instrument(Gauge, name, unit, description)


def histogram(
    name: str, unit: str = "", description: str = "", buckets: Sequence[float] = DECADES
) -> Histogram:
    """Return the histogram of this name; `buckets` are upper bounds, rising, 50 at most."""
    return _registry.instrument(Histogram, name, unit, description, buckets)


def timer(name: str, *given: Mapping[str, Any], **labels: Any) -> Timer:
    """Return a timer, for `with` or as a decorator: a histogram of seconds, by `outcome`."""
    histogram = _registry.instrument(Histogram, name, "s", "", SECONDS)
    return Timer(histogram, _names.gathered(histogram.name, given, labels))


def training(name: str, *given: Mapping[str, Any], **labels: Any) -> Training:
    """Return a run of a training, whose every value is kept with the time it was made at.

    Parameters
    ----------
    name
        What is trained: the label `training` of all its metrics.
    *given, **labels
        What tells this run from others, such as `model="mlp"`; also as a mapping.
    """
    return Training(name, _names.gathered("training", given, labels))
