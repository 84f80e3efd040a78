"""A running kernel keeps its telemetry when the payload is written again."""

from __future__ import annotations

import os

import pytest
from comparing import run_cells
from pythons import HOSTS, venv

from af_otel import payload as payloads

CELLS = ["%load_ext autoreload\n%autoreload 2", "import datetime", "print(1)", "WRITE", "print(2)"]
CELLS += ["from concurrent.futures import thread", "raise ValueError('theirs')"]

# As `cp` of another version over a payload does.
CHANGE = """
import os, pathlib
for path in pathlib.Path(os.environ.get("PYTHONPATH", "none")).resolve().rglob("*.py"):
    path.write_text(path.read_text() + "\\nchanged = 1\\n")
"""
# As `af-otel payload LINK` does.
SWITCH = """
import os
if "INJECTED" in os.environ:
    os.symlink(os.environ["NEXT"], "link")
    os.replace("link", os.environ["PYTHONPATH"])
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python that has ipykernel, and of ours only what the payload brings."""
    return venv(HOSTS, tmp_path_factory.mktemp("venv") / "venv", "ipykernel")


@pytest.mark.parametrize("write", [CHANGE, SWITCH], ids=["changed", "published"])
def test_cells_are_traced_after_the_payload_is_written_again(
    python, collector, tmp_path, monkeypatch, write
):
    """Its modules are not reloaded, and those to come are of the same payload."""
    link = tmp_path / "payload"
    payloads.publish(link)
    files = payloads.files()
    broken = {name: files[name] if "/" not in name else b"raise OSError" for name in files}
    monkeypatch.setattr(payloads, "files", lambda: broken)
    env = {
        "PYTHONPATH": str(link), "NEXT": str(payloads.publish(tmp_path / "next")), "INJECTED": "1",
        "AF_OTEL_LOG": str(tmp_path / "log"), **collector.settings,
    }  # fmt: skip
    cells = [write if cell == "WRITE" else cell for cell in CELLS]
    plain, injected = (
        run_cells(tmp_path, one, cells, [python, "-m", "ipykernel_launcher"]) for one in [{}, env]
    )
    assert injected == plain
    collector.wait_for_spans(lambda spans: [s["name"] for s in spans].count("run cell") >= 7)
    assert not (tmp_path / "log").exists(), (tmp_path / "log").read_text()
    assert os.path.realpath(link) == os.path.realpath(env["NEXT"]) or write == CHANGE
