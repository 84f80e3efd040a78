"""Every query of every panel, sent to the real Prometheus and trace store after people worked."""

from __future__ import annotations

import importlib.util
import time

import pytest
from af_otel_semconv import services, spans
from facility import af_otel
from panels import BACK, ON_A_CLUSTER, ON_A_DISK, WITH_CRICK, empty, has_data, options, resolved
from rendered import needs_dashboards
from test_user_metrics import run_example

from af_otel.grafana.dashboards import dashboards
from af_otel.grafana.queries import queries
from af_otel.grafana.sources import trace_store
from af_otel.verify.kernel import Kernel
from af_otel.verify.user import User
from servers import ROOT, wait_for

pytestmark = [pytest.mark.facility, pytest.mark.timeout(600), needs_dashboards]

# Data is visible after an export, a scrape, and the trace store's indexing.
WITHIN = 90
# It takes an outage of an hour, or 256 MiB of spans that wait.
DROPPED = "telemetry: Dropped per second"

# Results are sent from one worker to the other, and tasks fail.
DASK = """
import os, signal, time
import numpy as np
from distributed import Client, LocalCluster, wait

def part(number):
    return np.ones(400_000)
def total(parts):
    return float(sum(part.sum() for part in parts))
def boom(number):
    raise ValueError(number)
with Client() as client:
    first, second = client.scheduler_info(n_workers=-1)["workers"]
    parts = client.map(part, range(20), workers=[first], pure=False)
    assert client.submit(total, parts, workers=[second], pure=False).result() == 8_000_000
    wait(client.map(boom, range(3), pure=False))
"""
# A worker of a cluster in the kernel dies; the cluster stays until its scheduler has reported it.
LOST = """
with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
    with Client(cluster) as client:
        worker, = cluster.scheduler.workers
        os.kill(client.submit(os.getpid).result(), signal.SIGKILL)
        while worker in cluster.scheduler.workers:
            time.sleep(0.1)
        time.sleep(6)
"""
DIES = """
import os, signal, threading
threading.Timer(1, os.kill, (os.getpid(), signal.SIGKILL)).start()
"""


@pytest.fixture(scope="module")
def worked(facility):
    """A facility in which a user ran the examples, made mistakes, and logged out."""
    with User(facility.hub["url"], "looking", facility.hub["password"]) as user:
        user.log_in()
        user.spawn(90)
        # A page that is closed, so that its websocket is.
        with Kernel(user, "examples/looking.ipynb") as kernel:
            for name in ("dimuon.ipynb", "train.ipynb", "coffea.ipynb"):
                run_example(kernel, name)
            for code in (DASK, LOST):
                outcome = kernel.run(code, 120)
                assert outcome.status == "ok", outcome.error
            assert kernel.run("1 / 0", 60).status == "error"
            kernel.shut_down()
        # A request that fails: there is no such kernel.
        user.server_api("POST", "kernels", json={"name": "nowhere"}, allowed=(500,))
        assert Kernel(user, "examples/ends.ipynb").run(DIES, 60).status == "ok"
        time.sleep(8)  # The server finds dead kernels every 3 s, and exports every 5 s.
        user.stop_server()
        # Once more: the first start may have been counted before the first scrape.
        user.spawn(90)
        user.stop_server()
    collect(facility)
    return facility


def collect(facility):
    """Collect an operator's metrics."""
    done = af_otel(
        "collect",
        "--once",
        str(ROOT / "examples" / "collectors" / "home_directories.py"),
        env={
            **facility.sender,
            "OTEL_RESOURCE_ATTRIBUTES": f"service.namespace={facility.info['name']}",
            "AF_OTEL_HOMES": str(facility.state),
        },
    )
    assert done.returncode == 0, done.stderr


def sources(facility):
    """The query APIs of a facility, by the kind of data source."""
    return {
        "prometheus": facility.urls["prometheus"],
        facility.info["trace_store"]: facility.urls["traces"],
    }


def test_every_panel_has_data(worked):
    """A query that is rejected, or finds nothing, is reported with its panel."""
    elsewhere = ON_A_CLUSTER | ON_A_DISK | {DROPPED}
    if importlib.util.find_spec("crick") is None:
        elsewhere |= WITH_CRICK
    left = empty(
        sources(worked),
        lambda where: where not in elsewhere,
        WITHIN,
        worked.http,
        facility=worked.info["name"],
        session=session(worked),
    )
    assert not left, "Panels without data:\n" + "\n".join(left)


def session(facility):
    """The session whose computation failed."""

    def found():
        graphs = facility.store.spans(
            services.DASK_SCHEDULER, spans.COMPUTE_GRAPH, start=time.time() - BACK
        )
        return [span.session for span in graphs if span.status == "error"]

    return wait_for(found, "a failed computation", WITHIN)[0]


def test_panels_of_disks_have_data_where_there_are_disks(facility):
    """Metrics of a kubelet with disks, in its labels, are shown as the Collector forwards them."""
    home = {"namespace": "jhub", "persistentvolumeclaim": "claim-alice"}
    root = {"node": "worker-1", "id": "/", "device": "/dev/vda1"}
    values = {
        "container_fs_usage_bytes": (60e9, root),
        "container_fs_limit_bytes": (100e9, root),
        "kubelet_volume_stats_used_bytes": (7e9, home),
        "kubelet_volume_stats_capacity_bytes": (10e9, home),
    }
    now = time.time_ns()
    metrics = [
        {
            "name": name,
            "gauge": {
                "dataPoints": [
                    {"asDouble": value, "timeUnixNano": now, "attributes": attributes(labels)}
                ]
            },
        }
        for name, (value, labels) in values.items()
    ]
    kubelet = {"service.name": "kubelet", "service.namespace": facility.info["name"]}
    resource = {"attributes": attributes(kubelet)}
    body = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]}
    url = f"{facility.urls['collector_otlp']}/v1/metrics"
    assert facility.http.post(url, json=body).is_success

    left = empty(sources(facility), ON_A_DISK.__contains__, WITHIN, facility.http)
    assert not left, "Panels without data:\n" + "\n".join(left)


def attributes(values):
    """Attributes as OTLP JSON."""
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def test_variables_offer_existing_values(worked):
    """The name of the facility is offered, as are the names of what ran in it."""
    offered = {
        label: options(worked.urls["prometheus"], metric, label, worked.http)
        for metric, label in (
            ("traces_span_metrics_calls_total", "service_namespace"),
            ("jupyter_kernel_active", "jupyter_kernel_name"),
            ("dask_task_duration_seconds_count", "dask_task_prefix"),
            ("user_training_logs_total", "training"),
            ("coffea_chunks_total", "coffea_processor"),
        )
    }
    assert worked.info["name"] in offered.pop("service_namespace")
    assert "boom" in offered.pop("dask_task_prefix")
    assert offered == {
        "jupyter_kernel_name": ["python3"],
        "training": ["calorimeter"],
        "coffea_processor": ["Dimuon"],
    }


def test_facilities_are_separate(worked):
    """With a facility chosen that does not exist, no panel shows anything."""
    urls = sources(worked)
    for name, board in dashboards(traces=trace_store(urls)).items():
        values = resolved(urls["prometheus"], board, worked.http, facility="elsewhere")
        for query in queries(board):
            assert not has_data(urls, query, values, worked.http), (name, query)
