"""What the hook adds to the start of a Python that is not traced, and to one that is.

Prints CPU time (user + system, by wait4) of `python -c pass`: plain, under af-otel, and under
`opentelemetry-instrument`; interleaved in one run, so that the ratios hold on a noisy machine.

    python benchmarks/bootstrap.py [--rounds 40] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from af_otel import payload

CODE = ["-c", "pass"]


def cpu_ms(command: list[str], env: dict[str, str]) -> float:
    """CPU milliseconds of one run of a command and all its children."""
    pid = os.posix_spawn(command[0], command, env)
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed with {os.waitstatus_to_exitcode(status)}")
    return (usage.ru_utime + usage.ru_stime) * 1000


IN_HOOK = """
import sys, time, statistics
sys.path.insert(0, sys.argv[1])
import af_otel_boot
took = []
for _ in range(300):
    af_otel_boot.role = None  # as in a process that just began
    begun = time.perf_counter_ns()
    af_otel_boot.start()
    took.append(time.perf_counter_ns() - begun)
    del sys.meta_path[0]
print(statistics.median(took) / 1000)
"""


def in_hook_us(directory: Path) -> float:
    """Microseconds that our own code takes in a process that it does not trace."""
    command = [sys.executable, "-c", IN_HOOK, str(directory)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    keep = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    # In the peer's favour: no exporter, and none of the instrumentations that lie in this
    # environment.
    quiet = {
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "jupyterhub,jupyter_server,ipykernel,dask,coffea,"
        "af_otel_http,tornado",
    }
    ours = keep | payload.environment(payload.cached(), {})
    peer = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    variants = {
        "plain": ([sys.executable, *CODE], keep),
        "plain again": ([sys.executable, *CODE], keep),
        "af-otel": ([sys.executable, *CODE], ours),
        "opentelemetry-instrument": ([peer, sys.executable, *CODE], keep | quiet),
    }
    samples: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(3):  # byte code and page cache
        for command, env in variants.values():
            cpu_ms(command, env)
    for _ in range(options.rounds):
        for name, (command, env) in variants.items():
            samples[name].append(cpu_ms(command, env))
    hook = in_hook_us(payload.cached())

    plain = statistics.median(samples["plain"])
    rows = {
        name: {
            "median_ms": round(statistics.median(values), 2),
            "min_ms": round(min(values), 2),
            "added_ms": round(statistics.median(values) - plain, 2),
        }
        for name, values in samples.items()
    }
    result = {"rounds": options.rounds, "cpu": rows, "in_hook_us": round(hook, 1)}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"CPU ms of `python -c pass`, {options.rounds} interleaved rounds\n")
    print(f"{'':26}{'median':>9}{'min':>9}{'added':>9}")
    for name, row in rows.items():
        print(f"{name:26}{row['median_ms']:9.2f}{row['min_ms']:9.2f}{row['added_ms']:+9.2f}")
    print(f"\nrole test and finder, in the process: {hook:.1f} us")


if __name__ == "__main__":
    main()
