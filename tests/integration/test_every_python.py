"""One payload, every Python: a real Dask computation is traced by it, in either form."""

from __future__ import annotations

import os
import subprocess

import pytest
from pythons import HOSTS, TRACED, installed, venv

SCRIPT = """
import sys
from distributed import Client, LocalCluster

def work(n):
    return n * n

if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            assert sum(client.gather(client.map(work, range(7)))) == 91
    assert not [entry for entry in sys.path if "af_otel" in entry], sys.path
"""


@pytest.fixture(scope="module", params=[v for v in TRACED if v in installed()])
def python(request, tmp_path_factory):
    """A Python with the newest Dask that there is for it, and nothing of OpenTelemetry's."""
    directory = tmp_path_factory.mktemp(f"python{request.param}") / "venv"
    return venv(installed()[request.param], directory, "distributed")


@pytest.mark.parametrize("form", ["directory", "zip"])
def test_a_payload_traces_a_dask_script(python, form, payload, collector, tmp_path):
    """The script knows nothing of it; scheduler and worker tell one story under the session it was
    given.
    """
    script = tmp_path / "analysis.py"
    script.write_text(SCRIPT)
    target = payload
    if form == "zip":
        from af_otel.payload import archive

        target = tmp_path / "payload.zip"
        target.write_bytes(archive())
    result = subprocess.run(
        [python, script],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(target),
            "BAGGAGE": "session.id=abc,secret=s3cret",
            **collector.settings,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "af-otel" not in result.stderr

    collector.wait_for_spans(
        lambda spans: (
            {"compute graph", "run tasks work", "worker share"} <= {span["name"] for span in spans}
        )
    )
    (graph,) = collector.spans("compute graph")
    (share,) = collector.spans("worker share")
    assert graph["attributes"]["dask.graph.tasks"] == 7
    assert share["parent_id"] == graph["span_id"]
    assert share["resource"]["service.name"] == "dask-worker"
    assert share["resource"]["service.instance.id"] != graph["resource"]["service.instance.id"]
    for span in collector.spans():
        assert span["attributes"]["session.id"] == "abc"
        assert "s3cret" not in str(span)
    durations = collector.points("dask.task.duration")
    assert sum(point["value"]["count"] for point in durations[-1:]) == 7


def test_an_image_with_an_old_opentelemetry_is_traced(payload, collector, tmp_path):
    """Its packages and ours do not meet, and what it records is exported."""
    old = venv(HOSTS, tmp_path / "venv", "distributed-old-api")
    script = tmp_path / "analysis.py"
    script.write_text(
        "from opentelemetry import trace\ntracer = trace.get_tracer('theirs')"
        + SCRIPT
        + "    tracer.start_span('their span').end()\n"
    )
    result = subprocess.run(
        [old, script],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(payload),
            "AF_OTEL_LOG": "stderr",
            **collector.settings,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "af-otel" not in result.stderr
    collector.wait_for_spans(
        lambda spans: {"compute graph", "their span"} <= {span["name"] for span in spans}
    )
