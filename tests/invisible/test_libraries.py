"""Libraries that send users' code to other processes, in a traced kernel."""

from __future__ import annotations

import re

import pytest
from comparing import run_cells
from pythons import HOSTS, venv

# At module level, as users write it; the functions below mention it.
TRACER = """
import os, sys, threading, warnings
from opentelemetry import trace
tracer = trace.get_tracer("analysis")
with tracer.start_as_current_span("set up"):
    pass
def work(x):
    with tracer.start_as_current_span("work"):
        return x * x
"""
JOBLIB = """
from joblib import Parallel, delayed
for backend in ("loky", "threading", "multiprocessing"):
    print(backend, Parallel(n_jobs=2, backend=backend)(delayed(work)(x) for x in range(4)))
"""
MULTIPROCESSING = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(work, range(4)))
process = multiprocessing.get_context("fork").Process(target=work, args=(2,))
process.start(); process.join(); print(process.exitcode)
"""
RAY = """
import ray
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
print(ray.get([ray.remote(work).remote(x) for x in range(3)]))
@ray.remote
class Actor:
    def work(self, x):
        return work(x), sorted(n for n in sys.modules if n in ("urllib3", "af_otel"))
print(ray.get(Actor.remote().work.remote(3)))
ray.shutdown()
"""
CELLS = {
    "joblib": JOBLIB,
    "multiprocessing": MULTIPROCESSING,
    "ray": RAY,
}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with the libraries, and with OpenTelemetry's API alone."""
    directory = tmp_path_factory.mktemp("libraries") / "venv"
    return venv(HOSTS, directory, "libraries")


@pytest.mark.parametrize("library", CELLS)
def test_it_does_what_it_does_without_us(python, injection, tmp_path, library):
    """The same results, output and threads, in processes of the library's as well."""
    cells = [TRACER, CELLS[library], "print(sorted(t.name for t in threading.enumerate()))"]
    argv = [python, "-m", "ipykernel_launcher"]
    plain, injected = (run_cells(tmp_path, env, cells, argv) for env in ({}, injection))
    # Ray's log lines begin with the time, and threads are numbered.
    for shown in (plain, injected):
        shown[1] = re.sub(r"(?m)^20\d\d-.*\n", "", shown[1])
    plain[2], injected[2] = (re.sub(r"\d+", "N", shown[2]) for shown in (plain, injected))
    assert injected == plain
    assert (plain[0], "[0, 1, 4" in plain[1]) == ("", True)
