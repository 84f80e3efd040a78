"""Hooks go in and out without a trace, and no failure of ours reaches Dask."""

from __future__ import annotations

import io
import logging
import pickle
import sys
import threading

import cloudpickle
import pytest
from af_otel_instrumentation import dask
from af_otel_instrumentation.dask import _hooks
from af_otel_instrumentation.dask.scheduler import plugin_of
from dasks import Telemetry, instrumented
from distributed import Client, LocalCluster, Scheduler, Worker
from distributed.comm.core import Comm
from distributed.utils import iscoroutinefunction
from distributed.utils_test import gen_cluster, inc
from distributed.worker_state_machine import BaseWorker
from opentelemetry.trace import NoOpTracerProvider

HOOKED = [
    (Comm, "handshake_info"),
    (Client, "_start"),
    (Client, "_send_to_scheduler_safe"),
    (Scheduler, "start_unsafe"),
    (Scheduler, "add_worker"),
    (Scheduler, "update_graph"),
    (Scheduler, "_task_to_msg"),
    (Worker, "_handle_remote_stimulus"),
    (Worker, "execute"),
    (Worker, "close"),
]


def hooked():
    return [vars(owner).get(name) for owner, name in HOOKED]


def local():
    return LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0")


@pytest.fixture(autouse=True)
def _clean():
    yield
    dask.uninstrument()
    _hooks._said.clear()


def test_uninstrument_restores_every_method():
    """Instrumenting twice is instrumenting once."""
    before = hooked()
    telemetry = Telemetry()
    dask.instrument(tracer_provider=telemetry.traces, meter_provider=telemetry.meters)
    once = hooked()
    dask.instrument(tracer_provider=telemetry.traces, meter_provider=telemetry.meters)
    assert hooked() == once
    assert not set(map(id, once)) & set(map(id, before))
    dask.uninstrument()
    dask.uninstrument()
    assert hooked() == before


def test_a_method_that_somebody_wrapped_after_us_is_left_to_them():
    """Their wrapper stays in place, and ours below it only calls through."""
    before = Client._send_to_scheduler_safe
    telemetry = Telemetry()
    dask.instrument(tracer_provider=telemetry.traces, meter_provider=telemetry.meters)
    ours = Client._send_to_scheduler_safe
    calls = []

    def theirs(*args, **kwargs):
        calls.append(1)
        return ours(*args, **kwargs)

    try:
        Client._send_to_scheduler_safe = theirs
        dask.uninstrument()
        assert Client._send_to_scheduler_safe is theirs
        with local() as cluster, Client(cluster) as client:
            with telemetry.tracer.start_as_current_span("cell"):
                assert client.submit(inc, 1).result() == 2
            assert plugin_of(cluster.scheduler) is None
    finally:
        Client._send_to_scheduler_safe = before
    assert calls
    assert [span.name for span in telemetry.spans()] == ["cell"]


def test_uninstrument_leaves_a_running_cluster_working():
    """What was open ends, the plugin goes, and tasks go on."""
    before = threading.active_count()
    with instrumented() as telemetry, local() as cluster, Client(cluster) as client:
        assert client.submit(inc, 1).result() == 2
        dask.uninstrument()
        assert plugin_of(cluster.scheduler) is None
        assert len(telemetry.spans("compute graph")) == 1
        assert client.submit(inc, 2).result() == 3
        assert len(telemetry.spans("compute graph")) == 1
    names = {thread.name for thread in threading.enumerate()}
    assert not {name for name in names if name.startswith("af-otel")}, before


def test_nothing_is_asked_of_a_provider_before_a_host_object_is_made():
    """A process that only imports Dask must not load the SDK."""
    asked = []

    class Provider(NoOpTracerProvider):
        def get_tracer(self, name, *args, **kwargs):
            asked.append(name)
            return super().get_tracer(name, *args, **kwargs)

    dask.instrument(tracer_provider=Provider())
    assert asked == []
    with local(), local():
        pass
    assert set(asked) == {
        "af_otel_instrumentation.dask.scheduler",
        "af_otel_instrumentation.dask.worker",
    }


class Broken(NoOpTracerProvider):
    """A provider whose tracers fail."""

    def get_tracer(self, *args, **kwargs):
        class Tracer:
            def __getattr__(self, name):
                raise RuntimeError("telemetry is broken")

        return Tracer()


def test_failing_telemetry_is_logged_once_and_harms_nothing(caplog):
    """Tasks, failures and shutdown are those of an untraced cluster."""
    dask.instrument(tracer_provider=Broken())
    caplog.set_level(logging.WARNING, "af_otel_instrumentation")
    with local() as cluster, Client(cluster) as client:
        assert client.gather(client.map(inc, range(20))) == list(range(1, 21))
        with pytest.raises(ZeroDivisionError):
            client.submit(lambda: 1 / 0).result()
    ours = [record for record in caplog.records if record.name.startswith("af_otel")]
    assert len(ours) == len({record.getMessage() for record in ours}) <= 3
    assert any("Scheduler.update_graph" in record.getMessage() for record in ours)


def test_a_failure_that_cannot_be_said_stays_with_us(monkeypatch):
    """A process without logging whose stderr is closed: the host does not learn of it."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "__stderr__", closed)
    monkeypatch.setattr(_hooks._log, "hasHandlers", lambda: False)
    with _hooks.harmless("somewhere that was not told of yet"):
        raise ValueError


def test_without_a_provider_nothing_is_annotated():
    """The OpenTelemetry API alone does nothing; neither do we."""
    dask.instrument()
    with local() as cluster, Client(cluster) as client:
        future = client.submit(inc, 1)
        assert future.result() == 2
        task = cluster.scheduler.tasks[future.key]
        assert "af_otel" not in (task.annotations or {})


@gen_cluster(client=True)
async def test_what_dask_pickles_still_pickles(c, s, a, b):
    """Functions of a notebook, classes with hooks, and tasks that return them."""
    with instrumented():
        for thing in (Client._send_to_scheduler_safe, Worker, Scheduler, Worker.execute):
            assert pickle.loads(pickle.dumps(thing)) is thing
        namespace = {"Client": Client, "Worker": Worker, "__name__": "__main__"}
        exec("def cell(x):\n    return Client, Worker, x", namespace)
        assert cloudpickle.loads(cloudpickle.dumps(namespace["cell"]))(1)[2] == 1
        assert (await c.submit(namespace["cell"], 1))[2] == 1


def test_hooks_keep_names_and_signatures():
    """What inspects Dask's methods sees Dask's methods."""
    import inspect

    with instrumented():
        assert Worker.execute.__name__ == "execute"
        assert iscoroutinefunction(Worker.execute)
        assert iscoroutinefunction(Worker.close)
        assert "msg" in inspect.signature(Client._send_to_scheduler_safe).parameters
        assert "annotations" in inspect.signature(Scheduler.update_graph).parameters
        assert iscoroutinefunction(Scheduler.update_graph)


def test_a_dask_that_is_not_as_expected_is_left_alone(monkeypatch, caplog):
    """One line in the log, and no half of the hooks."""
    monkeypatch.delattr(Worker, "execute")
    monkeypatch.delattr(BaseWorker, "execute")
    before = hooked()
    dask.instrument()
    assert hooked() == before
    assert "untraced" in caplog.text
