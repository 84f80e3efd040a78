"""Every query of every panel, asked of the real Prometheus and Tempo after people worked."""

from __future__ import annotations

import pytest
from facility import af_otel
from test_user_metrics import run_example

from af_otel.grafana.dashboards import NAMES, dashboards
from af_otel.grafana.queries import queries
from af_otel.verify.kernel import Kernel
from af_otel.verify.user import User
from servers import ROOT, wait_for

pytestmark = pytest.mark.facility

# What a reader has not touched yet; times are shorter, as the work here is.
VALUES = {"slower": "1ms", "__range": "900s"}
# Filled by a cluster only; tests/cluster/test_dashboards.py asks for these.
ON_A_CLUSTER = {
    *((f"kubernetes: {panel}") for panel in ("CPU", "Memory", "Disk")),
    "kubernetes: CPU of the ten busiest pods",
    "kubernetes: Memory of the ten largest pods",
    "kubernetes: Pods",
    "kubernetes: Containers that started anew",
    "kubernetes: CPU by namespace",
    "kubernetes: The fullest volumes",
    "kubernetes: What volumes hold",
    "telemetry: Traces decided on per second",
}
# What is pushed appears here, at the latest, after an export, a scrape, and Tempo's indexing.
WITHIN = 90

# Results go from one worker to the other, tasks fail, and a worker of a cluster in the kernel dies.
DASK = """
import os, signal
import numpy as np
from af_otel import metrics
from distributed import Client, LocalCluster, wait

def part(number):
    return np.ones(400_000)
def total(parts):
    return float(sum(part.sum() for part in parts))
def boom(number):
    raise ValueError(number)
with Client() as client:
    first, second = list(client.scheduler_info(n_workers=-1)["workers"])[:2]
    parts = client.map(part, range(20), workers=[first], pure=False)
    assert client.submit(total, parts, workers=[second], pure=False).result() == 8_000_000
    wait(client.map(boom, range(3), pure=False))
metrics.counter("looks").add(1)
"""
LOST = """
with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
    with Client(cluster) as client:
        pid = client.submit(os.getpid).result()
        gone = list(cluster.scheduler.workers)
        os.kill(pid, signal.SIGKILL)
        while gone[0] in cluster.scheduler.workers:
            client.sync(__import__("asyncio").sleep, 0.1)
        import time; time.sleep(6)  # the kernel's next export
"""
DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture(scope="module")
def worked(facility):
    """A facility in which somebody ran the examples, made mistakes, and left."""
    with User(facility.hub["url"], "looking", facility.hub["password"]) as user:
        user.log_in()
        user.spawn(90)
        kernel = Kernel(user, "examples/looking.ipynb")
        for name in ("dimuon.ipynb", "train.ipynb", "coffea.ipynb"):
            run_example(kernel, name)
        for code in (DASK, LOST):
            outcome = kernel.run(code, 120)
            assert outcome.status == "ok", outcome.error
        assert kernel.run("1 / 0", 60).status == "error"
        kernel.shut_down()
        ends = Kernel(user, "examples/ends.ipynb")
        ends.run(DIES, 60)
        collected = af_otel(
            "collect",
            "--once",
            str(ROOT / "examples" / "collectors" / "home_directories.py"),
            env={
                "OTEL_EXPORTER_OTLP_ENDPOINT": facility.urls["collector_otlp"],
                "OTEL_RESOURCE_ATTRIBUTES": f"service.namespace={facility.info['name']}",
                "AF_OTEL_HOMES": str(facility.state),
            },
        )
        assert collected.returncode == 0, collected.stderr
        user.stop_server()
    return facility


def test_every_panel_has_data(worked):
    """A query that is refused, or finds nothing, is named with its panel."""
    left = {
        (name, query.panel, query.text): query
        for name, board in dashboards().items()
        for query in queries(board)
        if f"{name}: {query.panel}" not in ON_A_CLUSTER
    }
    assert {name for name, _, _ in left} == set(NAMES) - {"kubernetes"}

    def answered():
        for key, query in list(left.items()):
            if has_data(worked.urls, query, values(worked, key[0])):
                del left[key]
        return not left

    try:
        wait_for(answered, "data in every panel", WITHIN)
    except AssertionError:
        empty = [f"{name}: {panel}: {text}" for name, panel, text in left]
        pytest.fail("Panels without data:\n" + "\n".join(empty))
