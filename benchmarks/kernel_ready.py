"""What a kernel has used when it is ready, and what its first cell costs: plain, and under af-otel.

CPU time (user + system) of the kernel's process at its first kernel_info_reply and after its first
cell, from /proc; interleaved in one run. Nothing listens where the telemetry goes.

    python benchmarks/kernel_ready.py [--rounds 15] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

from jupyter_client.manager import KernelManager

from af_otel import payload


def cpu_ms(pid: int) -> float:
    """CPU milliseconds that a process has used, with all its threads."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6  # of ns


def one(env: dict[str, str]) -> tuple[float, float, float]:
    """CPU ms at ready, of the first cell a second later, and of the second cell."""
    manager = KernelManager()
    manager.start_kernel(env=env, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        pid = manager.provisioner.process.pid
        ready = cpu_ms(pid)
        time.sleep(1)
        cells = []
        for _ in range(2):
            before = cpu_ms(pid)
            client.execute("1", store_history=True)
            client.get_shell_msg(timeout=60)
            cells.append(cpu_ms(pid) - before)
        return ready, *cells
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plain = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    traced = plain | payload.environment(payload.cached(), plain)
    traced["AF_OTEL_ENDPOINT"] = "http://127.0.0.1:9"
    variants = {"plain": plain, "plain again": plain, "af-otel": traced}
    samples: dict[str, list[tuple[float, float, float]]] = {name: [] for name in variants}
    for env in variants.values():
        one(env)
    for _ in range(options.rounds):
        for name, env in variants.items():
            samples[name].append(one(env))
    rows = {
        name: [round(statistics.median(column), 1) for column in zip(*values, strict=True)]
        for name, values in samples.items()
    }
    if options.json:
        print(json.dumps({"rounds": options.rounds, "cpu_ms": rows}, indent=2))
        return
    print(f"CPU ms of a kernel, {options.rounds} interleaved rounds, medians\n")
    print(f"{'':14}{'at ready':>10}{'first cell':>12}{'second cell':>13}{'ready ratio':>13}")
    for name, (ready, first, second) in rows.items():
        ratio = ready / rows["plain"][0]
        print(f"{name:14}{ready:10.1f}{first:12.1f}{second:13.1f}{ratio:13.3f}")


if __name__ == "__main__":
    main()
