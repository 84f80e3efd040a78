"""Dask's dashboard shows itself to the facility's owner only, at the address that was chosen."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from af_otel.local.keys import Keys
from af_otel.local.plan import KEYS
from servers import answers, free_port, wait_for


@contextlib.contextmanager
def scheduler(directory, dashboard):
    """A scheduler with the gate."""
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1"),
            *("--port", str(free_port()), "--dashboard-address", f"127.0.0.1:{dashboard}"),
            *("--preload", "af_otel.local.dask_gate"),
        ],
        env={**os.environ, KEYS: str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_only_the_owner_sees_the_dashboard(tmp_path):
    """Its pages, what it says of the cluster, its metrics, and the websocket behind it."""
    gate = Keys.make(tmp_path, "owner").gate
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with scheduler(tmp_path, port):
        owner = ("owner", gate.password)

        def up():
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{url}/health", auth=owner).is_success

        wait_for(up, "the dashboard", 60)
        for path in ("/status", "/health", "/metrics", "/json/identity.json", "/"):
            assert httpx.get(url + path).status_code == 401
            assert httpx.get(url + path, auth=("owner", gate.token)).status_code == 401
            assert httpx.get(url + path, auth=owner).status_code in {200, 301}
            assert httpx.get(url + path, headers=gate.headers).status_code in {200, 301}
            elsewhere = {"Host": "rebound.test", **gate.headers}
            assert httpx.get(url + path, headers=elsewhere).status_code == 421
            crossed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image", **gate.headers}
            assert httpx.get(url + path, headers=crossed).status_code == 403
        with pytest.raises(InvalidStatus, match="401"):
            connect(f"ws://127.0.0.1:{port}/status/ws", subprotocols=["bokeh", "x"])
        assert not answers(url)


def test_a_port_that_was_taken_meanwhile_ends_the_scheduler(tmp_path):
    """It would serve at another port, and the one who has this one would be sent the token."""
    Keys.make(tmp_path, "owner")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with scheduler(tmp_path, taken.getsockname()[1]) as process:
            output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "already in use" in output
