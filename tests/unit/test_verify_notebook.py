"""Which Dask a notebook would use is found out where no cell is run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from af_otel.errors import AfOtelError
from af_otel.verify import notebook


class Asked:
    """Answers as a kernel does: the `repr` of an expression's value, in a process of its own."""

    id = "kernel"

    def __init__(self, **env):
        self.env = env

    def ask(self, timeout, answer):
        done = subprocess.run(
            [sys.executable, "-c", f"print(repr({answer}))"],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return {"answer": done.stdout.strip()}


@pytest.mark.parametrize(
    ("env", "dask"),
    [
        ({"DASK_GATEWAY__ADDRESS": "http://gateway"}, notebook.GATEWAY),
        ({"DASK_SCHEDULER_ADDRESS": "tcp://scheduler:8786"}, notebook.SCHEDULER),
        ({}, notebook.LOCAL),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_dask_of_the_environment_is_found(env, dask, tmp_path):
    """A gateway first, then a scheduler, then workers beside the notebook."""
    assert notebook.dask_of(Asked(DASK_CONFIG=str(tmp_path), **env), 60) == dask
    assert dask in notebook.NOTEBOOKS


def test_no_dask_is_no_error(tmp_path):
    """An image without it gets a notebook without it."""
    # Named before the real one, and not to be imported.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u; f = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'distributed' else f(n, *a)\n"
    )
    assert notebook.dask_of(Asked(PYTHONPATH=str(tmp_path)), 60) == notebook.NONE
    assert len(notebook.NOTEBOOKS[notebook.NONE].hops) == 5


def test_a_kernel_that_does_not_say_is_an_error():
    """Its answer is told."""
    with pytest.raises(AfOtelError, match="does not say which Dask"):
        notebook.dask_of(Asked(PATH="", PYTHONHOME="/nowhere"), 60)


def test_every_cell_of_every_notebook_is_python():
    """And what is printed last is what is known beforehand."""
    for each in notebook.NOTEBOOKS.values():
        for cell in each.cells:
            compile(cell.source, cell.name, "exec")
        assert any(cell.prints for cell in each.cells)


@pytest.mark.parametrize("dask", notebook.NOTEBOOKS)
def test_a_notebook_for_anybody_is_one_slow_cell(dask):
    """Traces of people are sampled: what is slow is kept, and what cannot be is not asked for."""
    chosen = notebook.NOTEBOOKS[dask]
    made = notebook.for_anybody(chosen, 5)
    (cell,) = made.cells
    compile(cell.source, cell.name, "exec")
    assert cell.source.endswith("time.sleep(6)")
    assert cell.prints in {"210", "210 from 20 tasks"}
    assert {hop.span for hop in chosen.hops} - {hop.span for hop in made.hops} == {"start kernel"}
