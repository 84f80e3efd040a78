"""What a call of `af_otel.metrics` costs, beside prometheus_client and the plain OTel API.

    python benchmarks/user_metrics.py

CPU time of one thread per call, the least of several rounds, all in one process; within a span and
without. The OTel API is the SDK's, with a reader that nothing reads.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import Counter, Gauge, Histogram

from af_otel import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 20_000
ROUNDS = 7


def main() -> None:
    """Print a table of microseconds."""
    warnings.simplefilter("ignore")  # that nothing listens here
    meter = MeterProvider([InMemoryMetricReader()]).get_meter("benchmark")
    otel = meter.create_counter("c"), meter.create_gauge("g"), meter.create_histogram("h")
    prom = (
        Counter("c", "c", ["sample"]),
        Gauge("g", "g", ["sample"]),
        Histogram("h", "h", ["sample"]),
    )
    ours = metrics.counter("c"), metrics.gauge("g"), metrics.histogram("h")
    run = metrics.training("t")
    timer = metrics.timer("t")

    def timed() -> None:
        with timer:
            pass

    rows: list[tuple[str, list[Callable[[], object]]]] = [
        (
            "counter",
            [
                lambda: ours[0].add(1, sample="ttbar"),
                lambda: otel[0].add(1, {"sample": "ttbar"}),
                lambda: prom[0].labels("ttbar").inc(),
            ],
        ),
        (
            "gauge",
            [
                lambda: ours[1].set(1.5, sample="ttbar"),
                lambda: otel[1].set(1.5, {"sample": "ttbar"}),
                lambda: prom[1].labels("ttbar").set(1.5),
            ],
        ),
        (
            "histogram",
            [
                lambda: ours[2].record(1.5, sample="ttbar"),
                lambda: otel[2].record(1.5, {"sample": "ttbar"}),
                lambda: prom[2].labels("ttbar").observe(1.5),
            ],
        ),
        ("by name", [lambda: metrics.counter("c").add(1, sample="ttbar")]),
        ("timer", [timed]),
        ("training.log, 2 values", [lambda: run.log(epoch=1, loss=0.5)]),
    ]
    print(f"{'us per call':24}{'af_otel':>10}{'OTel SDK':>10}{'prometheus_client':>19}")
    for where in ("", ", in a span"):
        tracer = TracerProvider().get_tracer("benchmark")
        with tracer.start_as_current_span("run cell") if where else contextlib.nullcontext():
            for name, calls in rows:
                figures = [
                    f"{least(call):{10 if n < 2 else 19}.2f}" for n, call in enumerate(calls)
                ]
                print(f"{name + where:24}{''.join(figures)}")


def least(call: Callable[[], object]) -> float:
    """Microseconds of CPU per call in the round that was disturbed least."""
    call()
    took = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        for _ in range(CALLS):
            call()
        took.append(time.thread_time() - began)
    return min(took) / CALLS * 1e6


if __name__ == "__main__":
    main()
