"""A kernel is traced however it is started, and shows what a plain one does."""

from __future__ import annotations

from pathlib import Path

import pytest
from comparing import run_cells
from pythons import HOSTS

SCRIPT = """
import sys
from ipykernel.kernelapp import IPKernelApp
IPKernelApp.launch_instance()
"""
STARTS = {
    "launcher": [HOSTS, "-m", "ipykernel_launcher"],
    "ipython": [str(Path(HOSTS).parent / "ipython"), "kernel"],
    "module": [HOSTS, "-m", "IPython", "kernel"],
    "script": [HOSTS, "start.py"],
}


@pytest.mark.parametrize("start", STARTS)
def test_a_kernel_is_known_by_its_application(collector, payload, tmp_path, start):
    """By a script of the facility's as well as by IPython."""
    (tmp_path / "start.py").write_text(SCRIPT)
    cells = ["print(__name__)", "import sys; print(sys.argv[0], 'ipykernel' in sys.modules)", "1/0"]
    env = {
        "PYTHONPATH": str(payload), "BAGGAGE": "session.id=s",
        "TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-01", **collector.settings,
    }  # fmt: skip
    plain, injected = (run_cells(tmp_path, one, cells, STARTS[start]) for one in [{}, env])
    assert injected == plain
    spans = collector.wait_for_spans(lambda spans: len(spans) >= 3)
    for span in spans:
        assert (span["name"], span["parent_id"]) == ("run cell", None)
        assert span["resource"]["service.name"] == "jupyter-kernel"
        assert span["attributes"]["session.id"] == "s"
        assert [link["span_id"] for link in span["links"]] == ["b" * 16]
