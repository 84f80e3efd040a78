"""What a cell that makes 100,000 spans costs: with OpenTelemetry's API alone, and under af-otel.

CPU time of the kernel's process over the cell, interleaved in one run. Nothing listens where the
telemetry goes.

    python benchmarks/many_spans.py [--rounds 5] [--spans 100000] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess

from jupyter_client.manager import KernelManager

from af_otel import payload

CELL = """
import time
from opentelemetry import trace
tracer = trace.get_tracer("user")
def loop(spans):
    for _ in range(spans):
        with tracer.start_as_current_span("work"):
            pass
loop(10)
begun = time.process_time()
loop({spans})
print(time.process_time() - begun)
"""


def one(env: dict[str, str], spans: int) -> float:
    """Return the CPU seconds of a cell."""
    manager = KernelManager()
    manager.start_kernel(env=env, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        printed: list[str] = []
        client.execute_interactive(
            CELL.format(spans=spans),
            timeout=300,
            output_hook=lambda message: printed.append(message["content"].get("text", "")),
        )
        return float("".join(printed))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plain = {key: value for key, value in os.environ.items() if "OTEL" not in key}
    traced = plain | payload.environment(payload.cached(), plain)
    traced["AF_OTEL_ENDPOINT"] = "http://127.0.0.1:9"
    variants = {
        "API alone": plain,
        "af-otel": traced,
        "without a bound": traced | {"AF_OTEL_MAX_SPANS_PER_TRACE": "1000000"},
    }
    samples: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(options.rounds):
        for name, env in variants.items():
            samples[name].append(one(env, options.spans))
    medians = {name: round(statistics.median(values), 3) for name, values in samples.items()}
    if options.json:
        print(json.dumps({"spans": options.spans, "cpu_s": medians}, indent=2))
        return
    print(f"CPU s of a cell with {options.spans} spans, {options.rounds} rounds, medians\n")
    for name, seconds in medians.items():
        print(f"{name:18}{seconds:8.3f}{seconds / medians['API alone']:8.2f}")


if __name__ == "__main__":
    main()
