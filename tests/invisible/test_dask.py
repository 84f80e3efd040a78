"""Dask's own state has nothing of telemetry in it."""

from __future__ import annotations

import pytest
from comparing import Comparison

# What plugins are given, what the scheduler and workers keep, and what users' tasks find.
SHOW = """
import dask
from distributed import Client, LocalCluster, get_client, get_worker
from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin
class Plugin(SchedulerPlugin):
    def update_graph(self, scheduler, *, annotations, tasks, **kwargs):
        seen.append("update_graph")
        seen.append({name: len(keys) for name, keys in annotations.items()})
        seen.append([scheduler.tasks[key].annotations for key in sorted(tasks)])
        computations.update(str(one.annotations) for one in scheduler.computations)
class Watcher(WorkerPlugin):
    def setup(self, worker):
        self.worker = worker
    def transition(self, key, start, finish, **kwargs):
        arrived.append(self.worker.state.tasks[key].annotations)
seen, arrived, computations = [], [], set()
def task(x):
    annotations = get_worker().state.tasks[get_worker().get_current_task()].annotations
    return x, annotations, dask.get_annotations()
def nested(x):
    return x, get_client().submit(task, x, key="inner").result()
def show(value):
    print(value, flush=True)
"""


# Values that differ from run to run are left out of what is shown.
STATE = r"""
import logging, pickle, re, threading, warnings
import cloudpickle
from distributed import Scheduler, Worker
VARYING = r"(inproc|tcp)://[\w./:-]*|[0-9a-f]{8}-[-0-9a-f]+|0x\w+|\d+\.\d{3,}|:\d{4,}"
def show(name, value):
    print(name, re.sub(VARYING, "", str(value)), flush=True)
def add(x):
    return x + 1
def fail():
    return 1 / 0
def shape(value, depth=4):
    if not isinstance(value, dict) or not depth:
        return type(value).__name__
    return {re.sub(VARYING, "", str(key)): shape(one, depth - 1) for key, one in value.items()}
def plugins(found):
    return sorted(found), len(found), "af-otel" in found, sorted(str(one) for one in found.items())
def names():
    # The threads of the SDK are compared elsewhere.
    names = {re.sub(r"\d+", "", thread.name) for thread in threading.enumerate()}
    return sorted(name for name in names if not name.startswith(("af-otel-", "Otel")))
def show_state(cluster, client):
    scheduler = cluster.scheduler
    show("info", shape(client.scheduler_info()))
    show("versions", shape(client.get_versions()))
    show("scheduler's plugins", plugins(scheduler.plugins))
    show("workers' plugins", client.run(lambda dask_worker: plugins(dask_worker.plugins)))
    with dask.annotate(mine=1):
        future = client.submit(add, 1, key="one")
        show("result", future.result())
        many = client.map(add, range(3), key="many")
        show("results", client.gather(many))
    failed = client.submit(fail, key="failed")
    show("exception", repr(failed.exception()))
    tasks = scheduler.tasks.items()
    show("annotations", sorted((key, task.annotations, task.metadata) for key, task in tasks))
    show("computations", [(one.annotations, one.code, one) for one in scheduler.computations])
    show("attributes", [sorted(vars(one)) for one in (client, scheduler, *scheduler.workers)[:2]])
    show("worker's attributes", client.run(lambda dask_worker: sorted(vars(dask_worker))))
    show("worker's metrics", client.run(lambda dask_worker: sorted(dask_worker.metrics)))
    show("handlers", [sorted(scheduler.handlers), sorted(scheduler.stream_handlers)])
    show("extensions", sorted(scheduler.extensions))
    show("dump", shape(scheduler._to_dict(exclude=("transition_log", "events", "tasks")), 2))
    events = [event for _, event in client.get_events("all")]
    show("events", sorted({one.get("action") for one in events if isinstance(one, dict)}))
    show("config", dask.config.config)
    show("loggers", sorted(
        (name, logging.getLogger(name).level, logging.getLogger(name).handlers)
        for name in logging.root.manager.loggerDict if name.startswith(("dask", "distributed"))
    ))
    made = future, add, Client.submit, Worker.execute, Scheduler.update_graph
    show("pickles", [len(pickle.dumps(one)) for one in made])
    show("by value", len(cloudpickle.dumps(lambda: (Client, Scheduler, Worker, LocalCluster))))
    show("threads", names())
"""


@pytest.fixture
def compared(hosts, injection, tmp_path):
    """Runs scripts by the Pythons with the hosts."""
    return Comparison(hosts, injection, tmp_path)


@pytest.mark.parametrize("annotations", ["{}", "{'mine': 'x', 'priority': 3}"])
def test_no_annotation_is_seen(compared, annotations):
    """By plugins, on the scheduler, on workers or in tasks; users' own are."""
    outcome = compared.outcome(
        SHOW
        + f"""
if __name__ == "__main__":
    record()
    options = dict(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0")
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        cluster.scheduler.add_plugin(Plugin(), name="theirs")
        client.sync(cluster.workers[0].plugin_add, Watcher())
        with dask.annotate(**{annotations}):
            futures = [client.submit(task, n, key=f"task-{{n}}") for n in range(3)]
            show(client.gather(futures))
            show(client.submit(nested, 1, key="outer").result())
            show(dask.delayed(task)(1, dask_key_name="lazy").compute())
            show(client.gather(client.submit(task, 0, key="task-0")))
        show(seen)
        show(sorted(computations))
        show(sorted({{str(one) for one in arrived}}))
        show([cluster.scheduler.tasks[one.key].annotations for one in futures])
"""
    )
    assert outcome.stdout.count("update_graph") >= 6
    assert "[]" not in outcome.stdout
    assert ("mine" in outcome.stdout) is (annotations != "{}")


@pytest.mark.parametrize("processes", [True, False])
def test_what_a_cluster_shows_of_itself(compared, processes):
    """Its information, plugins, computations, pickles, warnings, and threads after its end."""
    outcome = compared.outcome(
        SHOW
        + STATE
        + f"""
if __name__ == "__main__":
    record()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options = dict(n_workers=1, threads_per_worker=2, processes={processes})
        with LocalCluster(dashboard_address=":0", **options) as cluster, Client(cluster) as client:
            show_state(cluster, client)
    show("warnings", [(one.category, one.message, one.filename) for one in caught])
    deadline = time.monotonic() + 10
    while names() != ["Dask-Offload_", "MainThread"] and time.monotonic() < deadline:
        time.sleep(0.01)
    show("threads", names())
"""
    )
    assert outcome.returncode == 0, outcome.stderr


# Starts a scheduler and a worker, injected or not, and shows the annotations that they keep.
APART = """
import dask, os, subprocess, sys
from contextlib import nullcontext
from distributed import Client
def task(x):
    return x
def of_scheduler(dask_scheduler):
    return {key: task.annotations for key, task in dask_scheduler.tasks.items()}
def of_worker(dask_worker):
    return {key: task.annotations for key, task in dask_worker.state.tasks.items()}
def start(program, *arguments, injected):
    plain = {name: os.environ[name] for name in ("PATH", "HOME")}
    module = f"distributed.cli.{program}"
    return subprocess.Popen(
        [sys.executable, "-m", module, "--no-dashboard", "--protocol", "tcp", *arguments],
        env=dict(os.environ) if injected else plain, stderr=subprocess.DEVNULL,
    )
"""


@pytest.mark.parametrize("traced", ["neither", "scheduler", "worker"])
def test_no_annotation_is_seen_where_others_are_not_traced(compared, traced):
    """A carrier is sent only to a process that takes it out again."""
    outcome = compared.outcome(
        APART
        + f"""
if __name__ == "__main__":
    record()
    scheduler = start(
        "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", "file.json",
        injected={traced == "scheduler"},
    )
    worker = start(
        "dask_worker", "--scheduler-file", "file.json", "--no-nanny",
        injected={traced == "worker"},
    )
    with Client(scheduler_file="file.json") as client:
        client.wait_for_workers(1)
        span = nullcontext()
        if "INJECTED" in os.environ:
            from opentelemetry import trace
            span = trace.get_tracer("test").start_as_current_span("cell")
        with span, dask.annotate(mine=1):
            future = client.submit(task, 1, key="one")
        print(future.result())
        print(client.run_on_scheduler(of_scheduler))
        print(*client.run(of_worker).values())
        client.shutdown()
    scheduler.wait(), worker.wait()
    if os.path.exists("file.json"):
        os.remove("file.json")
"""
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.count("'mine': 1") == 2
