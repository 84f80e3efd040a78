"""Schedulers and workers as processes of their own, traced by the payload, and a real Collector."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from pythons import HOSTS as PYTHON

from servers import running_collector, wait_for

CELL_TRACE, CELL_SPAN = "a" * 32, "b" * 16
# What a traced cell has around it when it talks to Dask.
CELL = f"""
import sys
if "_af_otel" in sys.modules:
    from _af_otel.opentelemetry import context, propagate
    context.attach(propagate.extract({{
        "traceparent": "00-{CELL_TRACE}-{CELL_SPAN}-01",
        "baggage": "session.id=the-session,user.hash=0123456789abcdef",
    }}))
"""
CONNECT = """
import os, time
from distributed import Client, LocalCluster, wait, worker_client
"""


@pytest.fixture(scope="module")
def collector(tmp_path_factory):
    with running_collector(tmp_path_factory.mktemp("collector")) as running:
        yield running


@pytest.fixture(scope="module")
def traced(payload, collector):
    return {
        "PYTHONPATH": str(payload),
        **collector.settings,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
    }


class Cluster:
    """A scheduler and its workers, each as `dask scheduler` and `dask worker` make them."""

    def __init__(self, directory, settings, scheduler_settings=None):
        self.directory = directory
        self.settings = {**settings, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
        self.processes = []
        self._scheduler_settings = scheduler_settings

    @property
    def file(self):
        return self.directory / "scheduler.json"

    def start(self, workers, options=()):
        self._run(
            "scheduler", "--port=0", "--dashboard-address=:0", settings=self._scheduler_settings
        )
        wait_for(self.file.exists, "the scheduler")
        for number in range(workers):
            self._run("worker", "--nthreads=2", f"--name=w{number}", "--no-dashboard", *options)

    def _run(self, *command, settings=None):
        with (self.directory / f"{command[0]}-{len(self.processes)}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [PYTHON, "-m", "dask", *command, f"--scheduler-file={self.file}"],
                    env={**os.environ, **(self.settings if settings is None else settings)},
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def stop(self, how=signal.SIGTERM, first="scheduler"):
        """End the scheduler, which ends its workers; or one after the other, workers first."""
        for process in self.processes if first == "scheduler" else reversed(self.processes):
            process.send_signal(how)
            self._end(process)

    def _end(self, process):
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with its nanny's child
            process.wait(10)

    def client(self, code, settings=None):
        """Run a client's code, with `client` connected, and return what it prints as JSON."""
        connect = CONNECT + f"client = Client(scheduler_file={str(self.file)!r})\n"
        return script(connect + code, self.settings if settings is None else settings)


def script(code, settings, directory=None):
    done = subprocess.run(
        [PYTHON, "-c", code],
        env={**os.environ, **settings},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "af-otel" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def running(directory, settings, workers=2, worker_options=(), **options):
    cluster = Cluster(directory, settings, **options)
    try:
        cluster.start(workers, worker_options)
        cluster.client(f"client.wait_for_workers({workers}, timeout=60)\nprint(1)", settings={})
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def cluster(traced, tmp_path_factory):
    with running(tmp_path_factory.mktemp("cluster"), traced) as cluster:
        yield cluster


def of(collector, key):
    """The finished spans of the trace that this cell is in."""
    return [
        span
        for span in collector.spans()
        if span["trace_id"] == key and "af_otel.pending" not in span["attributes"]
    ]


def wait_spans(collector, trace, **counts):
    """Wait until a trace has so many spans, by the beginning of their names."""

    def found():
        spans = of(collector, trace)
        by_name = {
            name: [span for span in spans if span["name"].startswith(name.replace("_", " "))]
            for name in counts
        }
        return by_name if all(len(by_name[name]) >= counts[name] for name in counts) else None

    by_name = wait_for(found, f"{counts} in {trace}")
    assert {name: len(spans) for name, spans in by_name.items()} == counts
    return by_name


def cell(number):
    """A cell in a trace of its own: the code that makes it current, and the trace's id."""
    trace = f"{number:032x}"
    return CELL.replace(CELL_TRACE, trace), trace


def service(span):
    return span["resource"]["service.name"]


def test_a_computation_is_linked_across_processes(cluster, collector):
    """Cell, scheduler and both workers, with the session's id on each span."""
    code, trace = cell(1)
    total = cluster.client(
        code
        + """
def f(i):
    time.sleep(0.05)
    return i
print(sum(client.gather(client.map(f, range(16)))))
"""
    )
    assert total == 120
    spans = wait_spans(collector, trace, compute_graph=1, run_tasks=1, worker_share=2)
    (graph,) = spans["compute_graph"]
    assert graph["parent_id"] == CELL_SPAN
    assert service(graph) == "dask-scheduler"
    assert graph["attributes"]["dask.graph.tasks"] == 16
    assert graph["attributes"]["dask.workers"] == 2
    (run,) = spans["run_tasks"]
    assert run["name"] == "run tasks f"
    assert run["parent_id"] == graph["span_id"]
    assert run["attributes"]["dask.compute.duration"] >= 16 * 0.05
    shares = spans["worker_share"]
    assert {share["parent_id"] for share in shares} == {graph["span_id"]}
    assert {service(share) for share in shares} == {"dask-worker"}
    assert {share["attributes"]["dask.worker.name"] for share in shares} == {"w0", "w1"}
    assert sum(share["attributes"]["dask.tasks"] for share in shares) == 16
    for span in (graph, run, *shares):
        assert span["attributes"]["session.id"] == "the-session"
        assert span["attributes"]["user.hash"] == "0123456789abcdef"


def test_a_users_span_in_a_task_is_part_of_the_computation(cluster, collector):
    """As is a graph that the task submits itself."""
    code, trace = cell(2)
    cluster.client(
        code
        + """
def outer(x):
    from opentelemetry import trace
    with trace.get_tracer("mine").start_as_current_span("my span"):
        with worker_client() as inner:
            return inner.submit(abs, x, key="inner").result()
print(client.submit(outer, -1, key="outer").result())
"""
    )
    spans = wait_spans(collector, trace, compute_graph=2, my_span=1)
    (mine,) = spans["my_span"]
    outer, inner = sorted(spans["compute_graph"], key=lambda graph: graph["start"])
    assert outer["parent_id"] == CELL_SPAN
    assert mine["parent_id"] == outer["span_id"]
    assert inner["parent_id"] == mine["span_id"]
    assert service(mine) == "dask-worker"


def test_collections_and_failures(cluster, collector):
    """A failure in the middle of a real graph names the task's prefix and class, not its text."""
    code, trace = cell(3)
    outcome = cluster.client(
        code
        + """
import dask
class FitFailed(Exception): pass
def fit(i):
    if i == 3:
        raise FitFailed("canary-4711")
    return i
parts = [dask.delayed(fit)(i) for i in range(8)]
try:
    dask.delayed(sum)(parts).compute()
except FitFailed:
    print(1)
"""
    )
    assert outcome == 1
    spans = wait_spans(collector, trace, compute_graph=1, run_tasks=1, task=1)
    (graph,), (task,) = spans["compute_graph"], spans["task"]
    assert graph["status"] == task["status"] == "error"
    assert graph["attributes"]["error.type"] == task["attributes"]["error.type"] == "FitFailed"
    assert graph["attributes"]["dask.graph.outcome"] == "error"
    assert "canary-4711" not in json.dumps(of(collector, trace))


def test_a_task_that_kills_its_worker(cluster, collector):
    """Ends as KilledWorker, and the worker is counted as lost."""
    code, trace = cell(4)
    status = cluster.client(
        code
        + """
import json
future = client.submit(os._exit, 1, key="killer", workers=["w0"])
wait(future)
print(json.dumps(future.status))
client.wait_for_workers(2, timeout=60)
"""
    )
    assert status == "error"
    spans = wait_spans(collector, trace, compute_graph=1, task=1)
    (task,) = spans["task"]
    assert task["attributes"]["error.type"] == "KilledWorker"
    assert task["attributes"]["dask.worker.name"] == "w0"
    wait_for(
        lambda: [point for point in collector.points("dask.worker.lost") if point["value"] == 1],
        "the lost worker in the metrics",
    )


def test_many_tasks_are_all_counted(cluster, collector):
    """Five thousand of them in a handful of spans, with nothing left behind on the scheduler."""
    code, trace = cell(5)
    left = cluster.client(
        code
        + """
import json
def tiny(i):
    return i
futures = client.map(tiny, range(5_000))
wait(futures)
del futures
def left(dask_scheduler):
    plugin = dask_scheduler.plugins.ours
    open = plugin._wanted, plugin._queue.notes, plugin._submissions.graphs
    return [*map(len, open), plugin.overflow]
deadline = time.monotonic() + 30
while any(client.run_on_scheduler(left)) and time.monotonic() < deadline:
    time.sleep(0.1)
print(json.dumps(client.run_on_scheduler(left)))
"""
    )
    assert left == [0, 0, 0, 0]

    def counted():
        return [
            point["value"]["count"]
            for point in collector.points("dask.task.duration")
            if point["attributes"]["dask.task.prefix"] == "tiny"
        ]

    wait_for(lambda: 5_000 in counted(), "5000 tasks in the histogram")
    assert max(counted()) == 5_000
    spans = wait_spans(collector, trace, compute_graph=1, run_tasks=1, worker_share=2)
    assert sum(span["attributes"]["dask.tasks"] for span in spans["worker_share"]) == 5_000
    assert spans["run_tasks"][0]["attributes"]["dask.tasks"] == 5_000


def test_a_cluster_in_the_users_process(traced, collector, tmp_path):
    """LocalCluster as notebooks make it: a scheduler in this process, workers as its children."""
    code, trace = cell(6)
    total = script(
        CONNECT
        + """
def f(i):
    return i
def main():
"""
        + "".join(f"    {line}\n" for line in code.splitlines())
        + """
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        with Client(cluster) as client:
            client.wait_for_workers(2)
            print(sum(client.gather(client.map(f, range(100)))))
if __name__ == "__main__":
    main()
""",
        traced,
        tmp_path,
    )
    assert total == 4950
    spans = wait_spans(collector, trace, compute_graph=1, run_tasks=1, worker_share=2)
    assert spans["compute_graph"][0]["parent_id"] == CELL_SPAN
    assert {service(span) for span in spans["worker_share"]} == {"dask-worker"}
    assert sum(span["attributes"]["dask.tasks"] for span in spans["worker_share"]) == 100


@pytest.mark.parametrize(
    ("how", "first", "outcome"),
    [(signal.SIGTERM, "scheduler", "cancelled"), (signal.SIGINT, "worker", "error")],
)
def test_stopping_a_cluster_loses_nothing(traced, collector, tmp_path, how, first, outcome):
    """What is open ends with it; a task whose worker goes too often has failed."""
    code, trace = cell(7 + how)
    with running(tmp_path, traced, workers=1) as cluster:
        cluster.client(
            code
            + """
import json
from distributed import fire_and_forget
client.gather(client.map(abs, range(10), key="done"))
future = client.submit(time.sleep, 10, key="sleeps")
fire_and_forget(future)
while not any("sleeps" in keys for keys in client.processing().values()):
    time.sleep(0.05)
print(1)
"""
        )
        cluster.stop(how, first)
        spans = wait_spans(collector, trace, compute_graph=2, worker_share=1)
    outcomes = [span["attributes"]["dask.graph.outcome"] for span in spans["compute_graph"]]
    assert sorted(outcomes) == sorted([outcome, "ok"])
    assert spans["worker_share"][0]["attributes"]["dask.tasks"] == 10


@pytest.mark.parametrize("options", [["--nanny"], ["--no-nanny"]], ids=" ".join)
def test_a_cluster_that_is_terminated_sends_all_it_has(traced, collector, tmp_path, options):
    """Scheduler and worker handle SIGTERM and exit in order, each with what it had not sent yet."""
    code, trace = cell(100 + len(options[0]))
    at_exit = {**traced, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
    with running(tmp_path, at_exit, workers=1, worker_options=options) as cluster:
        cluster.client(code + "print(sum(client.gather(client.map(abs, range(10)))))")
        assert of(collector, trace) == []
        cluster.stop(signal.SIGTERM, first="worker")
        wait_spans(collector, trace, compute_graph=1, run_tasks=1, worker_share=1)


@pytest.mark.parametrize("plain", ["scheduler", "client"])
def test_an_untraced_half_works_on(traced, collector, tmp_path, plain):
    """A client or a scheduler without the payload computes the same, in a shorter story."""
    code, trace = cell(20 + len(plain))
    with running(
        tmp_path, traced, workers=1, scheduler_settings={} if plain == "scheduler" else None
    ) as cluster:
        total = cluster.client(
            (code if plain == "scheduler" else "")
            + """
def halve(i):
    return i // 2
print(sum(client.gather(client.map(halve, range(10)))))
""",
            settings={} if plain == "client" else None,
        )
        assert total == 20
        if plain == "client":
            run = collector.wait_for_span("run tasks halve")
            (graph,) = wait_spans(collector, run["trace_id"], compute_graph=1)["compute_graph"]
            assert graph["parent_id"] is None
    # A scheduler that is not traced is given no context that it could pass on.
    assert plain == "client" or of(collector, trace) == []
    assert Path(cluster.file).parent == tmp_path
