"""Users' own metrics in processes of their own: what arrives, and what forks and ends do to it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from servers import wait_for

SCRIPT = """
import os, sys
from af_otel import metrics
metrics.counter("events", unit="{event}").add(3, sample="ttbar")
metrics.gauge("disk.left", unit="By").set(12.5)
metrics.histogram("fit.chi2", buckets=[1, 2, 3]).record(2.5)
run = metrics.training("higgs", model="mlp")
for epoch in range(100):
    run.log(epoch=epoch, loss=1 / (epoch + 1))
print("opentelemetry.sdk" in sys.modules)
"""


def run_script(payload, code=SCRIPT, **env):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(payload), **env},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_a_number_that_cannot_be_carried_costs_no_other(payload, collector):
    """Sums beyond OTLP's integers and doubles; the Collector refuses all that comes with those."""
    run_script(
        payload,
        """
        from af_otel import metrics
        metrics.counter("innocent").add(1)
        for _ in range(3):
            metrics.counter("large").add(2**62)
            metrics.counter("larger").add(1e308)
        """,
        **collector.settings,
    )
    wait_for(lambda: collector.points("user.innocent"), "the other counter")
    assert [float(point["value"]) for point in collector.points("user.large")] == [3.0 * 2**62]
    assert [point["value"] for point in collector.points("user.larger")] == [sys.float_info.max]


def test_a_script_has_its_numbers_sent_with_nothing_to_set_up(payload, collector):
    """Under the hook, a plain script's numbers arrive, the training's each with its own time."""
    ended = run_script(payload, **collector.settings)
    assert ended.stderr == ""
    (events,) = wait_for(lambda: collector.points("user.events"), "the counter")
    assert (events["value"], events["attributes"]) == (3, {"sample": "ttbar"})
    (spread,) = collector.points("user.fit.chi2")
    assert spread["value"]["count"] == 1
    losses = collector.points("user.training.loss")
    assert [point["value"] for point in losses] == [1 / (epoch + 1) for epoch in range(100)]
    times = [point["time"] for point in losses]
    assert times == sorted(set(times))
    assert losses[0]["attributes"] == {"training": "higgs", "model": "mlp"}


def test_without_a_hook_it_is_said_once():
    """And the analysis goes on."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert ended.stderr.count("MetricsWarning") == 1
    assert "not instrumented" in ended.stderr
    assert ended.stdout == "False\n"


def test_a_short_script_logs_that_the_collector_is_unreachable(payload):
    """Once, also where it ends while the exporter still tries."""
    ended = run_script(
        payload, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", AF_OTEL_LOG="stderr"
    )
    assert ended.stderr.count("\n") == 1
    assert "the Collector does not take metrics" in ended.stderr


def test_a_collector_that_comes_back_gets_the_points_it_missed(payload, collector):
    """A training's values wait for it; sums lose nothing anyhow."""
    collector.stop()
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent("""
            import sys, time
            from af_otel import metrics
            run = metrics.training("patient")
            for step in range(20): run.log(step=step); time.sleep(0.05)
            print("logged", flush=True); sys.stdin.read()
        """)],
        env={
            **os.environ, "PYTHONPATH": str(payload), "OTEL_METRIC_EXPORT_INTERVAL": "200",
            **collector.settings, "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        },
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "logged\n"
    collector.start()
    expected = list(range(20))
    # An export that is accepted after the time-out is sent again: a point may arrive twice.
    wait_for(
        lambda: sorted({p["value"] for p in collector.points("user.training.step")}) == expected,
        "all",
    )
    process.communicate("", timeout=60)


def test_a_forked_child_counts_for_itself(payload, collector):
    """Its own instance, from nothing; the parent's sum does not come twice."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent("""
            import multiprocessing, sys
            from af_otel import metrics
            def child(end):
                metrics.counter("forked").add(5)
                end.wait()
            if __name__ == "__main__":
                metrics.counter("forked").add(7)
                print("counted", flush=True); sys.stdin.readline()
                context = multiprocessing.get_context("fork")
                end = context.Event()
                forked = context.Process(target=child, args=(end,))
                forked.start()
                sys.stdin.readline(); end.set(); forked.join()
        """)],
        env={
            **os.environ, "PYTHONPATH": str(payload), "OTEL_METRIC_EXPORT_INTERVAL": "300",
            **collector.settings,
        },
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def values():
        by_instance = {}
        for point in collector.points("user.forked"):
            instance = point["resource"]["service.instance.id"]
            by_instance.setdefault(instance, set()).add(point["value"])
        return sorted(map(sorted, by_instance.values()))

    assert process.stdout.readline() == "counted\n"
    wait_for(lambda: values() == [[7]], "the parent's")
    process.stdin.write("fork\n")
    process.stdin.flush()
    wait_for(lambda: values() == [[5], [7]], "the child's, too")
    process.communicate("end\n", timeout=60)
    assert values() == [[5], [7]]


CHILDREN = """
import multiprocessing, sys
from af_otel import metrics
def child(number):
    metrics.counter("children").add(number)
    metrics.training("children").log(loss=number)
if __name__ == "__main__":
    metrics.counter("parent").add(1)
    if sys.argv[1] == "pool":
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(child, [1, 2, 2], chunksize=1)
            pool.close()
            pool.join()
    else:
        process = multiprocessing.get_context(sys.argv[1]).Process(target=child, args=(5,))
        process.start()
        process.join()
"""


@pytest.mark.parametrize("how", ["fork", "forkserver", "pool"])
def test_a_forked_child_that_ends_at_once_loses_nothing(payload, collector, tmp_path, how):
    """It exits without `atexit`; the SDK may still be loading when it is forked."""
    (tmp_path / "children.py").write_text(CHILDREN)
    ended = subprocess.run(
        [sys.executable, tmp_path / "children.py", how],
        env={
            **os.environ, "PYTHONPATH": str(payload),
            **collector.settings,
        },
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert ended.stderr == ""

    def counted():
        return sum(point["value"] for point in collector.points("user.children"))

    wait_for(lambda: counted() == 5, "the children's")
    assert sum(point["value"] for point in collector.points("user.training.loss")) == 5
    assert sum(point["value"] for point in collector.points("user.parent")) == 1


KILLED = """
import multiprocessing, sys, time
from af_otel import metrics
def child(number):
    metrics.counter("killed").add(number)
if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        pool.map(child, [1, 2, 2])
        print("counted", flush=True); sys.stdin.readline()
"""


@pytest.mark.parametrize("how", ["fork", "forkserver"])
def test_workers_of_a_pool_export_before_it_kills_them(payload, collector, tmp_path, how):
    """Within seconds, where the process itself exports once in an hour."""
    (tmp_path / "killed.py").write_text(KILLED)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "killed.py", how],
        env={
            **os.environ, "PYTHONPATH": str(payload), "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
            **collector.settings,
        },
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "counted\n"
    wait_for(lambda: [p for p in collector.points("user.killed") if p["value"] == 5], "the count")
    process.communicate("\n", timeout=60)
    assert process.returncode == 0
