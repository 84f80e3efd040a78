"""A script that leaves its cluster open ends as without telemetry, and its graphs have ends."""

from __future__ import annotations

import re
from itertools import product

import pytest
from comparing import Comparison
from environments import receiving
from otlp import read_spans

# Handlers of `atexit` are called last first: this one after those of `distributed`.
SCRIPT = """
import atexit
opened = []
atexit.register(lambda: print(*[one.status for one in opened]))
import time
from distributed import Client, LocalCluster
def task(x):
    return x + 1
if __name__ == "__main__":
    record()
    options = dict(n_workers=1, threads_per_worker=1, dashboard_address=":0")
"""
CLUSTERS = {
    "processes": "client = Client(LocalCluster(processes=True, **options))",
    "threads": "client = Client(LocalCluster(processes=False, **options))",
    "client": "client = Client(**options)",
}
WORK = """
    opened.append(client.cluster)
    done = client.submit(task, 1, key="done")
    print(done.result())
"""
ENDS = {
    "end": "",
    "exception": "1 / 0",
    "exit": "raise SystemExit(3)",
    # Not before the worker has it: an executor that gets work at the end of the process logs that.
    "running": """running = client.submit(time.sleep, 3600, key="running")
    while not any("running" in tasks for tasks in client.processing().values()):
        time.sleep(0.01)""",
}


def lines(stderr):
    """What was logged, without times, addresses and ids of this run."""
    return sorted(
        re.sub(r"^\S+ \S+ - |(tcp|inproc)://[^']*|-[\d.]+'", "", line)
        for line in stderr.splitlines()
    )


CASES = [("processes", "end"), ("processes", "running"), ("client", "end")]


@pytest.mark.parametrize(("cluster", "end"), [*product(["threads"], ENDS), *CASES])
def test_a_script_that_does_not_close_its_cluster(hosts, payload, tmp_path, cluster, end):
    """It prints, logs and returns the same, and every graph has ended with its outcome.

    What is sent is sent after `distributed` has closed the cluster.
    """
    script = f"{SCRIPT}    {CLUSTERS[cluster]}{WORK}    {ENDS[end]}\n"
    with receiving() as (endpoint, requests):
        injection = {
            "PYTHONPATH": str(payload),
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "INJECTED": "1",
        }
        plain, injected = Comparison(hosts, injection, tmp_path).outcomes(script)
    assert injected == plain
    assert lines(injected.stderr) == lines(plain.stderr)
    assert plain.stdout.splitlines()[-1] == "Status.closed"
    sent = tmp_path / "spans.jsonl"
    sent.write_bytes(b"\n".join(one.body for one in requests if one.path == "/v1/traces"))
    graphs = [span for span in read_spans(sent) if span["name"] == "compute graph"]
    markers = [span for span in graphs if "af_otel.pending" in span["attributes"]]
    ended = {span["span_id"]: span for span in graphs if span not in markers}
    assert {span["attributes"]["af_otel.pending.span_id"] for span in markers} <= ended.keys()
    outcomes = [span["attributes"]["dask.graph.outcome"] for span in ended.values()]
    assert sorted(outcomes) == (["cancelled", "ok"] if end == "running" else ["ok"])
