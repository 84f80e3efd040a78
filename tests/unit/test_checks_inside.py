"""The script that probes run, by the Pythons that images have."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading

import pytest
from pythons import TRACED, UNTOUCHED, installed

from af_otel.checks._look import PROGRAM


def look(python=sys.executable, **variables):
    """What the script says, as a probe reads it."""
    env = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(
        [python, "-c", PROGRAM], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("version", [*UNTOUCHED, *TRACED])
def test_every_python_says_which_it_is(version):
    """Also one that is too old for anything else."""
    python = installed().get(version)
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    assert look(python)["python"][:2] == [int(part) for part in version.split(".")]


def test_it_fits_a_termination_message(tmp_path):
    """Kubernetes keeps 4096 bytes of one; that is where the answer is read from."""
    log = tmp_path / "log"
    look(AF_OTEL_PROBE_LOG=str(log))
    assert 0 < len(log.read_bytes()) < 4096
    assert json.loads(log.read_text())["versions"]["jupyterhub"]


def test_what_an_image_brings_is_seen_and_ours_is_not(tmp_path):
    """Its own sitecustomize, with what that imports, behind a PYTHONPATH of ours."""
    theirs, ours = tmp_path / "srv", tmp_path / "af-otel"
    for place, text in ((theirs, "import json\nfrom os import path\n"), (ours, "import ours\n")):
        place.mkdir()
        (place / "sitecustomize.py").write_text(text)
    (ours / "ours.py").touch()
    said = look(PYTHONPATH=f"{ours}:{theirs}")["custom"]["sitecustomize"]
    assert said == {"path": str(theirs / "sitecustomize.py"), "imports": ["json", "os"]}


def test_the_collector_is_reached():
    """A listener answers the offer; the first line of its answer is kept."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        reach = look(AF_OTEL_PROBE_TARGET=f"127.0.0.1:{server.getsockname()[1]}")["reach"]
        thread.join(10)
    assert (reach["ok"], reach["said"]) == (True, "HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("host", "address", "says"),
    [
        ("127.0.0.1", "", {"error": "ConnectionRefusedError"}),
        ("nobody.invalid", "", {"error": "", "dns": "["}),
        ("nobody.invalid", "127.0.0.1", {"error": "ConnectionRefusedError", "dns": "["}),
    ],
)
def test_what_cannot_be_reached(host, address, says):
    """A name that is unknown is told from an address that does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    reach = look(
        AF_OTEL_PROBE_TARGET=f"{host}:{port}",
        AF_OTEL_PROBE_ADDRESS=address,
        AF_OTEL_PROBE_PATIENCE="0",
    )["reach"]
    assert not reach["ok"]
    assert set(reach) == {"ok", "attempts", *says}
    assert all(reach[key].startswith(text) for key, text in says.items())
