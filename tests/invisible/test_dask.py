"""Dask's own state has nothing of telemetry in it."""

from __future__ import annotations

import pytest
from comparing import Comparison
from pythons import HOSTS

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


@pytest.fixture
def compared(injection, tmp_path):
    """Runs scripts by the Python with the hosts."""
    return Comparison(HOSTS, injection, tmp_path)


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
