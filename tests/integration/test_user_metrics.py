"""Users' own numbers in a whole facility: from a cell of a notebook to Prometheus and back."""

from __future__ import annotations

import json
import re
import time

import pytest

from af_otel.verify.kernel import Kernel
from af_otel.verify.user import User
from servers import ROOT, wait_for

pytestmark = pytest.mark.facility


@pytest.fixture(scope="module")
def kernel(facility):
    """A notebook of a user's, in which the examples are run."""
    user = User(facility.hub["url"], "measuring", facility.hub["password"])
    user.log_in()
    user.spawn(90)
    kernel = Kernel(user, "examples/measuring.ipynb")
    yield kernel
    kernel.shut_down()
    user.stop_server()
    user.http.close()


@pytest.fixture(scope="module")
def own(kernel):
    """The label of this kernel's series: other tests' users ran the same examples."""
    told = kernel.run(
        "from _af_otel.runtime import activate\n"
        "print(activate._loader.wait().traces.resource.attributes['service.instance.id'])",
        60,
    )
    assert told.status == "ok", told.error
    return f'instance="{told.text.strip()}"'


@pytest.fixture
def prometheus(facility):
    def ask(path, **query):
        answer = facility.http.get(f"{facility.urls['prometheus']}/api/v1/{path}", params=query)
        answer.raise_for_status()
        return answer.json()["data"]

    return ask


def run_example(kernel, name):
    """Run a notebook's code cells; what they printed, by their ids."""
    cells = json.loads((ROOT / "examples" / name).read_text())["cells"]
    printed = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            outcome = kernel.run("".join(cell["source"]), 240)
            assert outcome.status == "ok", outcome.error
            printed[cell["id"]] = outcome.text
    return printed


def points(prometheus, series):
    """Every value of one series, in its order."""
    found = prometheus("query", query=f"{series}[15m]")["result"]
    assert len(found) <= 1, found
    return [float(value) for _, value in found[0]["values"]] if found else []


def cell_of(facility, exemplar):
    """The spans of the trace that an exemplar leads to."""
    return wait_for(lambda: facility.store.trace(exemplar["labels"]["trace_id"]), "its trace", 30)


def test_a_training_is_in_prometheus_as_the_notebook_printed_it(facility, kernel, own, prometheus):
    """Point by point, to the last digit; its exemplar leads to the cell that trained."""
    began = time.time()
    printed = run_example(kernel, "train.ipynb")["training"]
    epochs = re.findall(r"epoch +(\d+)  loss (\S+)  n_rmse (\S+)", printed)
    assert len(epochs) == 25
    labels = f'{{training="calorimeter", model="mlp", {own}}}'
    for place, name in enumerate(("epoch", "loss", "n_rmse")):
        expected = [float(epoch[place]) for epoch in epochs]
        wait_for(
            lambda name=name, expected=expected: (
                points(prometheus, f"user_training_{name}{labels}") == expected
            ),
            name,
            30,
        )

    def exemplars():
        query = f"user_training_logs_total{labels}"
        return prometheus("query_exemplars", query=query, start=began - 1, end=time.time() + 1)

    (series,) = wait_for(exemplars, "an exemplar", 30)
    spans = cell_of(facility, series["exemplars"][0])
    assert {"execute cell", "run cell"} <= {span.name for span in spans}


def test_coffeas_own_report_is_in_prometheus(facility, kernel, own, prometheus):
    """Bytes, entries and chunks as coffea itself said; the run is a span of its cell's trace."""
    began = time.time()
    run_example(kernel, "dimuon.ipynb")
    printed = run_example(kernel, "coffea.ipynb")["run"]
    report = dict(re.findall(r"^(\w+) (\S+)$", printed, re.MULTILINE))
    for metric, key in (
        ("coffea_bytesread_bytes_total", "bytesread"),
        ("coffea_entries_total", "entries"),
        ("coffea_chunks_total", "chunks"),
        ("coffea_processtime_seconds_total", "processtime"),
    ):
        series = f'{metric}{{coffea_processor="Dimuon", {own}}}'
        wait_for(lambda series=series: points(prometheus, series), series, 30)
        assert points(prometheus, series)[-1] == float(report[key])
    wait_for(
        lambda: facility.store.spans("jupyter-kernel", "run processor", start=began),
        "the run's span",
        30,
    )


def test_numbers_of_dask_tasks_are_the_workers(kernel, prometheus):
    """What a task counts is counted where it ran, once for each task."""
    outcome = kernel.run(
        """
from distributed import Client
from af_otel import metrics
seen = metrics.counter("tasks.seen")
def count(number):
    seen.add(2)
    metrics.histogram("tasks.spread").record(number)
with Client() as client:
    client.gather(client.map(count, range(50), pure=False))
""",
        120,
    )
    assert outcome.status == "ok", outcome.error

    def total():
        (value,) = prometheus("query", query="sum(user_tasks_seen_total)")["result"] or [None]
        return value and float(value["value"][1])

    wait_for(lambda: total() == 100, "all of them", 30)
    jobs = prometheus("query", query="count by (job) (user_tasks_seen_total)")["result"]
    assert [series["metric"]["job"].rpartition("/")[2] for series in jobs] == ["dask-worker"]
