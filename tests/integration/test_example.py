"""The example analysis runs wherever a notebook runs, on the Dask that it finds."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from distributed import LocalCluster
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "dimuon.ipynb"


@pytest.fixture
def workers():
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=30
    ) as cluster:
        yield cluster


def texts(notebook):
    """What the cells printed, by cell id."""
    return {
        cell.id: "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


def test_dimuon_finds_the_z_on_the_facilitys_workers(workers, tmp_path, monkeypatch):
    """It uses the scheduler it is told of, finds the Z, and reads the same files again."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", workers.scheduler_address)
    printed = []
    for _ in range(2):
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
        printed.append(texts(notebook))

    assert printed[0] == printed[1]
    assert printed[0]["fit"] == "Z peak at 91.18 ± 0.02 GeV\n"
    assert sorted(tmp_path.glob("dimuon-data/*")) == [
        tmp_path / "dimuon-data" / f"dimuon-{seed}.root" for seed in range(8)
    ]
    # Nothing ran on workers of the kernel's own.
    assert workers.scheduler.task_prefixes["load"].state_counts["memory"] == 2 * 40


def test_dimuon_is_kept_as_it_was_written():
    """The notebook in the repository has stable cell ids, and neither outputs nor counts."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert all(cell.id.replace("-", "").isalpha() for cell in notebook.cells)
    assert not any(cell.outputs or cell.execution_count for cell in code)
