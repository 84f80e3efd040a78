"""A kernel that cannot send its telemetry logs that, in no cell and not on stderr."""

from __future__ import annotations

import os
import queue
import time

import pytest
from jupyter_client import KernelManager
from pythons import HOSTS

from servers import free_port

LINE = "the Collector does not take telemetry"

# A hook of ours that fails, where the root logger prints into the cell.
BROKEN = """
import logging, distributed
logging.basicConfig(level=logging.INFO)
from _af_otel.af_otel_instrumentation.dask import client
client.trace = None
"""


@pytest.fixture
def kernel(tmp_path, payload):
    """A kernel as a server starts it; under pytest's variable it would leave its stderr alone."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv = [HOSTS, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    with (tmp_path / "log").open("wb") as log:
        manager.start_kernel(
            stderr=log,
            stdout=log,
            env={
                **env,
                "PYTHONPATH": str(payload),
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
                "OTEL_BSP_SCHEDULE_DELAY": "100",
                "AF_OTEL_LOG": str(tmp_path / "af-otel"),
            },
        )
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        yield client, tmp_path
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_what_fails_in_telemetry_is_in_the_log_and_in_no_cell(kernel):
    """Whatever a kernel makes of its file descriptors, and where the user configures logging."""
    client, directory = kernel
    log = directory / "af-otel"
    client.execute(BROKEN, reply=True)
    shown = list(output(client))
    deadline = time.monotonic() + 90
    while "theirs\n" not in shown or not log.exists() or LINE not in log.read_text():
        assert time.monotonic() < deadline, f"not logged: {''.join(shown)}"
        client.execute("import os, time; os.write(2, b'theirs\\n'); time.sleep(0.5)", reply=True)
        shown += output(client)
    client.execute("distributed.Client(n_workers=1, processes=False).close()", reply=True)
    shown += output(client)
    assert "Client._start" in log.read_text()
    text = "".join(shown)
    assert "theirs" in text
    assert "af-otel" not in text
    assert "telemetry" not in text
    assert "af-otel" not in (directory / "log").read_text()


def output(client):
    try:
        while True:
            message = client.get_iopub_msg(timeout=0.5)
            if message["msg_type"] == "stream":
                yield message["content"]["text"]
    except queue.Empty:
        return
