"""What a span costs the Collector: all of kubernetes.yaml against base.yaml, in one run.

CPU time (user and system) of the Collector's own process from the first request until all that
follows from them is done, less what it takes when nothing comes; medians over rounds. Requests are
as a kernel sends them: OTLP JSON over HTTP, a trace of 20 spans each. With kubernetes.yaml that
includes knowing the pod, span metrics and service graph, the journal on disk and back, sampling (a
tenth is kept), and the queue on disk to a store, which is another process.

    python benchmarks/collector.py [--rounds 3] [--requests 1000] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from gateways import kubernetes_pods, running_gateway, running_store
from otlp import new_span, resource_spans

from servers import ROOT, running_collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servers import Collector

SPANS = 20
IDLE = 4  # seconds
PATIENCE = 120  # seconds; the journal keeps a span for 14 s here
BASE = ROOT / "collector-config" / "base.yaml"
RESOURCE = {
    "service.name": "jupyter-kernel",
    "service.namespace": "benchmark",
    "service.instance.id": "kernel-1",
    "service.version": "7.4.0",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.version": "1.45.1",
}
ATTRIBUTES = {
    "session.id": "a" * 32,
    "user.hash": "0123456789abcdef",
    "jupyter.kernel.id": "b" * 36,
    "jupyter.kernel.name": "python3",
    "jupyter.cell.status": "ok",
    "jupyter.cell.execution_count": 7,
}


def requests(count: int) -> list[bytes]:
    """Bodies, each with a trace of its own."""
    made = []
    for _ in range(count):
        root = new_span("execute cell", kind=2, attributes=ATTRIBUTES)
        parts = [
            new_span(
                "run cell",
                trace_id=root["traceId"],
                parent_id=root["spanId"],
                attributes=ATTRIBUTES,
            )
            for _ in range(SPANS - 1)
        ]
        body = {"resourceSpans": [resource_spans([root, *parts], RESOURCE)]}
        made.append(json.dumps(body).encode())
    return made


def cost(collector: Collector, bodies: Sequence[bytes]) -> float:
    """Microseconds of CPU for each span."""
    assert collector.process is not None
    process = psutil.Process(collector.process.pid)
    begun = spent(process)
    time.sleep(IDLE)
    idle = (spent(process) - begun) / IDLE
    begun, started = spent(process), time.monotonic()
    for body in bodies:
        request = urllib.request.Request(
            f"{collector.endpoint}/v1/traces", body, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()
    ends = time.monotonic() + PATIENCE
    # Seldom: an answer costs as much as some hundred spans.
    while queued(collector) and time.monotonic() < ends:
        time.sleep(2)
    time.sleep(2)
    took = spent(process) - begun - idle * (time.monotonic() - started)
    if queued(collector):
        raise SystemExit(f"not done within {PATIENCE} s")
    return took / len(bodies) / SPANS * 1e6


def spent(process: psutil.Process) -> float:
    """Seconds of CPU so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def queued(collector: Collector) -> float:
    """What is on disk and not done with."""
    with urllib.request.urlopen(collector.metrics_url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("otelcol_exporter_queue_size") and 'data_type="traces"' in line
    )


@contextlib.contextmanager
def base(directory: Path) -> Iterator[Collector]:
    """base.yaml alone, which ends in its log."""
    with running_collector(directory, (BASE,)) as running:
        yield running


@contextlib.contextmanager
def kubernetes(directory: Path) -> Iterator[Collector]:
    """With kubernetes.yaml, and a pod that it knows the sender by."""
    overlay = directory / "nothing-to-scrape.yaml"
    directory.mkdir()
    overlay.write_text(
        "service: {pipelines: {metrics/scraped: {receivers: [prometheus/self]}}}", encoding="utf-8"
    )
    with kubernetes_pods(directory / "api") as pods, running_store(directory / "store") as store:
        own = {"af-otel.io/session-id": "c" * 32, "af-otel.io/user-hash": "fedcba9876543210"}
        pods.add("jhub", "jupyter-alice", "127.0.0.1", {"component": "singleuser-server"}, own)
        env = {
            **pods.env,
            "AF_OTEL_TRACES_OTLP": store.endpoint,
            "AF_OTEL_SHARE_PERCENT": "10",
            "AF_OTEL_SCRAPE_INTERVAL": "30s",
            "AF_OTEL_SPAN_METRICS_INTERVAL": "15s",
        }
        with running_gateway(directory / "gateway", env, [overlay]) as running:
            yield running


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    took: dict[str, list[float]] = {"base.yaml": [], "base.yaml and kubernetes.yaml": []}
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(options.rounds):
            for name, run in zip(took, (base, kubernetes), strict=True):
                with run(Path(temporary) / f"{run.__name__}-{number}") as collector:
                    for body in requests(50):  # warm
                        urllib.request.urlopen(
                            urllib.request.Request(
                                f"{collector.endpoint}/v1/traces",
                                body,
                                {"Content-Type": "application/json"},
                            )
                        ).close()
                    took[name].append(cost(collector, requests(options.requests)))

    medians = {name: statistics.median(times) for name, times in took.items()}
    if options.json:
        print(json.dumps({"us": medians}))
        return
    plain = medians["base.yaml"]
    for name, median in medians.items():
        least = min(took[name])
        print(f"{name:<30} {median:6.1f} µs a span  (min {least:5.1f})  {median / plain:4.2f} x")


if __name__ == "__main__":
    main()
