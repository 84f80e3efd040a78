"""How long closing an in-process cluster keeps its event loop busy: plain, and under af-otel.

Callbacks of the loop are timed from the call of `close` to its return: their wall time, in which
nothing else runs on the loop, and the loop's own CPU time. Rounds are interleaved. Nothing listens
where the telemetry goes.

    python benchmarks/dask_close.py [--rounds 15] [--graphs 20] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

from af_otel import payload

CLUSTER = """
import asyncio, json, sys, time
from distributed import Client, LocalCluster, wait
def inc(x):
    return x + 1
spent, run = [], asyncio.Handle._run
def timed(handle):
    wall, cpu = time.perf_counter(), time.thread_time()
    run(handle)
    spent.append((time.perf_counter() - wall, time.thread_time() - cpu))
cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0")
client = Client(cluster)
futures = [client.map(inc, range(50), key=f"inc-{n}") for n in range(int(sys.argv[1]))]
wait(futures)
asyncio.Handle._run = timed
client.close()
cluster.close()
asyncio.Handle._run = run
walls, cpus = zip(*spent)
print(json.dumps([1000 * one for one in (sum(walls), max(walls), sum(cpus))]))
"""
MEASURED = ("busy", "longest", "CPU")


def close(env: dict[str, str], graphs: int) -> list[float]:
    """Return milliseconds: of all callbacks, of the longest one, and the CPU time of all."""
    measured: list[float] = json.loads(
        subprocess.run(
            [sys.executable, "-c", CLUSTER, str(graphs)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        ).stdout
    )
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--graphs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plain = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    traced = plain | payload.environment(payload.cached(), plain)
    traced["AF_OTEL_ENDPOINT"] = "http://127.0.0.1:9"
    variants = {"plain": plain, "plain again": plain, "af-otel": traced}
    samples: dict[str, list[list[float]]] = {name: [] for name in variants}
    for _ in range(options.rounds):
        for name, env in variants.items():
            samples[name].append(close(env, options.graphs))
    rows = {
        name: [round(statistics.median(column), 1) for column in zip(*values, strict=True)]
        for name, values in samples.items()
    }
    if options.json:
        print(json.dumps({"rounds": options.rounds, "graphs": options.graphs, "ms": rows}))
        return
    print(f"ms of the event loop while {options.graphs} graphs' cluster closes, medians\n")
    print(f"{'':14}" + "".join(f"{name:>10}" for name in MEASURED) + f"{'CPU ratio':>12}")
    for name, (busy, longest, cpu) in rows.items():
        ratio = cpu / rows["plain"][2]
        print(f"{name:14}{busy:10.1f}{longest:10.1f}{cpu:10.1f}{ratio:12.2f}")


if __name__ == "__main__":
    main()
