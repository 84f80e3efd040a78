"""No frame of ours is between what users call or write and what calls it."""

from __future__ import annotations

import pytest
from comparing import Comparison

COMMON = r"""
import asyncio, gc, os, re, threading, time, traceback
import dask
from distributed import Client, LocalCluster, SchedulerPlugin, WorkerPlugin
gc.disable()  # a failed cluster is closed, and that logged, when it is collected
VARYING = r"0x\w+|inproc://[\w./:-]*|:\d+|\d+\.\d+ s|[0-9a-f]{8}-[-0-9a-f]+|\d{12,}"
def show(name, value):
    print(name, re.sub(VARYING, "", str(value)), flush=True)
def stack(*args):
    frames = traceback.extract_stack()[:-1]
    return [(os.path.basename(frame.filename), frame.name) for frame in frames]
def task(x):
    return stack()
async def async_task(x):
    await asyncio.sleep(0.01)
    return stack()
def fail(x):
    return 1 / x
async def async_fail(x):
    await asyncio.sleep(0.01)
    return 1 / x
options = dict(processes=False, dashboard_address=":0")
"""


@pytest.fixture
def compared(hosts, injection, tmp_path):
    """Runs scripts by the Pythons with the hosts, and requires that they succeed."""

    def compare(script):
        outcome = Comparison(hosts, injection, tmp_path).outcome(COMMON + script)
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    return compare


def test_computations_have_the_users_code_alone(compared):
    """Each way to compute, at any depth of the stack, and in a report."""
    shown = compared("""
from distributed import get_task_stream, performance_report, wait
def ways(client):
    yield lambda: client.submit(task, 1).result()
    yield lambda: client.submit(async_task, 1).result()
    yield lambda: client.gather(client.map(task, range(2)))
    yield lambda: client.compute(dask.delayed(task)(3)).result()
    yield lambda: wait(dask.delayed(task)(4).persist()).done.pop().result()
    yield lambda: client.get({"y": (task, 1)}, "y")
    yield lambda: dask.delayed(task)(2).compute()
    yield lambda: client.submit(lambda x: dask.delayed(task)(x).compute(), 5).result()
if __name__ == "__main__":
    record()
    # No profiles, which have whatever a thread did at some moment.
    dask.config.set({"distributed.worker.profile.enabled": False})
    dask.config.set({"distributed.diagnostics.computations.nframes": 20})
    # Files below pytest's directories, such as this one, are ignored otherwise.
    dask.config.set({"distributed.diagnostics.computations.ignore-files": []})
    with LocalCluster(n_workers=1, **options) as cluster, Client(cluster) as client:
        for way in ways(client):
            show("result", way())
        codes = set().union(*[one.code for one in cluster.scheduler.computations])
        for code in sorted(code for codes in codes for code in codes):
            show("code", tuple(code))
        with get_task_stream() as stream:
            client.submit(task, 6).result()
        show("stream", [sorted(one) for one in stream.data])
        future = client.submit(time.sleep, 2)
        while "in" not in (calls := str(client.call_stack())):
            pass
        show("calls", re.findall('File "[^"]*"', calls))
        try:
            with performance_report("report.html"):
                client.submit(task, 7).result()
            show("report", re.findall("af.otel", open("report.html").read()))
            os.remove("report.html")
        except ModuleNotFoundError:  # Bokeh
            pass
""")
    assert shown.count("\ncode ") >= 10


def test_tracebacks_have_the_users_and_dasks_frames_alone(compared):
    """Of tasks, of clients that are closed or cannot connect, and of wrong arguments."""
    shown = compared("""
def failing(name, call):
    try:
        call()
    except Exception:
        # The oldest clients show the whole message, with addresses in memory.
        show(name, re.sub("Message: .*", "", traceback.format_exc()))
if __name__ == "__main__":
    record()
    with LocalCluster(n_workers=1, **options) as cluster:
        client = Client(cluster)
        failing("task", lambda: client.submit(fail, 0).result())
        failing("async task", lambda: client.submit(async_fail, 0).result())
        failing("graph", lambda: dask.delayed(fail)(dask.delayed(fail)(0)).compute())
        failing("unpicklable", lambda: client.submit(task, threading.Lock(), key="locked"))
        failing("arguments", lambda: client.submit(task, 1, workers=1, allow_other_workers=2))
        client.close()
        failing("closed", lambda: client.submit(task, 5))
    try:
        Client("tcp://127.0.0.1:9", timeout=0.2)
    except OSError:
        # Where it was when the time was over differs from run to run.
        show("not connected", re.findall(".*(?:af.otel|opentelemetry).*", traceback.format_exc()))
    failing("of a client", lambda: Client(unknown=1))
    failing("of a worker", lambda: LocalCluster(n_workers=1, unknown=1, **options))
    failing(
        "of a scheduler", lambda: LocalCluster(0, scheduler_kwargs={"unknown": 1}, **options)
    )
""")
    assert shown.count("Traceback") >= 10


def test_stacks_have_the_users_and_dasks_frames_alone(compared):
    """In tasks, callbacks, and plugins of the worker and the scheduler."""
    shown = compared("""
seen = {}
class OnWorker(WorkerPlugin):
    name = "theirs"
    def setup(self, worker):
        seen["worker setup"] = stack()
    def teardown(self, worker):
        seen["worker teardown"] = stack()
    def transition(self, key, start, finish, **kwargs):
        seen[f"worker {start} {finish}"] = stack()
class OnScheduler(SchedulerPlugin):
    name = "theirs"
    def update_graph(self, scheduler, **kwargs):
        seen["update_graph"] = stack()
    def transition(self, key, start, finish, *args, **kwargs):
        seen[f"scheduler {start} {finish}"] = stack()
    def add_worker(self, scheduler, worker):
        seen["add_worker"] = stack()
    def remove_worker(self, scheduler, worker, **kwargs):
        seen["remove_worker"] = stack()
    def add_client(self, scheduler, client):
        seen["add_client"] = stack()
    async def close(self):
        seen["close"] = stack()
if __name__ == "__main__":
    record()
    with LocalCluster(n_workers=1, **options) as cluster:
        cluster.scheduler.add_plugin(OnScheduler())
        with Client(cluster) as client:
            client.register_plugin(OnWorker())
            called = threading.Event()
            future = client.submit(task, 1, key="one")
            def done(future):
                seen["done"] = stack()
                called.set()
            future.add_done_callback(done)
            show("task", future.result())
            show("async task", client.submit(async_task, 2, key="two").result())
            called.wait()
            cluster.scale(2)
            client.wait_for_workers(2)
            client.submit(fail, 0, key="failed").exception()
    for name, value in sorted(seen.items()):
        show(name, value)
""")
    assert "remove_worker" in shown


def test_profiles_have_no_frame_of_ours_below_users_code(compared):
    """Distributed's own profiler samples the threads that run tasks."""
    compared("""
def busy(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))
def files(profile):
    return {os.path.basename(profile["description"]["filename"] or "")}.union(
        *map(files, profile["children"].values())
    )
if __name__ == "__main__":
    record()
    dask.config.set({"distributed.worker.profile.interval": "2 ms"})
    dask.config.set({"distributed.worker.profile.cycle": "20 ms"})
    with LocalCluster(n_workers=1, **options) as cluster, Client(cluster) as client:
        found = set()
        while "<dynamic-code>" not in found:
            client.submit(busy, 0.5, pure=False).result()
            found = files(client.profile())
        show("files", sorted(found))
""")
