"""tools/build_servers.py as a person meets it, up to the compilers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys

import psutil
import pytest
from inline_snapshot import snapshot

from af_otel.local import servers
from servers import ROOT, wait_for

TOOL = (sys.executable, str(ROOT / "tools" / "build_servers.py"))
PROXY = servers.KNOWN["configurable-http-proxy"]


def run(*arguments, **env):
    return subprocess.run(
        [*TOOL, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def without_proxy(monkeypatch, tmp_path):
    """An empty cache, and no proxy on PATH."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(PROXY.setting, raising=False)
    directories = os.environ["PATH"].split(os.pathsep)
    kept = [path for path in directories if not shutil.which(PROXY.programs[0], path=path)]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))
    return tmp_path / "cache"


def test_servers_are_there_and_run():
    """The tool says where each server is, as JSON for programs; each answers with its version."""
    found = json.loads(run("--json").stdout)

    assert list(found) == ["collector", "prometheus", "jaeger", "configurable-http-proxy"]
    for server in found.values():
        subprocess.run([server["path"], "--version"], check=True, capture_output=True, timeout=30)


def test_unknown_server_is_one_clear_error():
    """A wrong name builds nothing and is answered with the right ones."""
    result = run("tempoo")

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == snapshot(
        """\
error: Server `tempoo` is unknown
  hint:  known are `collector`, `prometheus`, `tempo`, `jaeger`, `configurable-http-proxy`, \
`grafana`, `etcd`, `coredns`, `kubernetes`, `chromium`, `nginx`, `traceql`
"""
    )


def test_no_room_is_said_before_the_build(without_proxy):
    """On a full disk the build does not start; the error says how much, where, and the way out."""
    tiny = without_proxy / "af-otel"
    tiny.mkdir(parents=True)
    mount = f"mount -t tmpfs -o size=10m tmpfs {tiny} && exec {TOOL[0]} {TOOL[1]} {PROXY.name}"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unshare" in result.stderr or "mount:" in result.stderr:
        pytest.skip("this machine lets nobody mount a small disk")

    assert result.returncode == 1
    assert result.stderr.replace(str(without_proxy), "CACHE") == snapshot(
        """\
error: No room to install `configurable-http-proxy`: 0.1 GB are needed, 0.0 GB are free
  where: `CACHE/af-otel/servers`
  hint:  make room there, or set `XDG_CACHE_HOME` (and `GOCACHE`, `GOMODCACHE` if the machine has \
Go) to directories on a larger disk
"""
    )


def test_second_build_waits_and_says_for_whom(without_proxy):
    """Two builds of a server do not meet; the second takes what the first has made."""
    directory = servers.target(PROXY)
    directory.parent.mkdir(parents=True)
    with (directory.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 42, which builds the same from `/somewhere`")
        lock.flush()
        second = subprocess.Popen(
            [*TOOL, PROXY.name], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        first_line = second.stderr.readline()
        directory.mkdir()
        (directory / PROXY.programs[0]).touch()
    _, rest = second.communicate(timeout=30)

    assert first_line == "waiting for process 42, which builds the same from `/somewhere`\n"
    assert rest == "configurable-http-proxy: another process has built it\n"
    assert second.returncode == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_build_leaves_nothing(without_proxy, monkeypatch, how):
    """Ctrl-C in the middle: no half server, no process, and the next build starts at once."""
    node = without_proxy.parent / "bin"
    node.mkdir()
    # A npm that takes as long as we need, with a child of its own as compilers have.
    for name, text in {"node": "echo v24.0.0", "npm": "sleep 3141 & sleep 2718"}.items():
        (node / name).write_text(f"#!/bin/sh\n{text}\n")
        (node / name).chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(node), os.environ["PATH"]]))
    build = subprocess.Popen([*TOOL, PROXY.name], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(compilers()) == 2, "the build at work")

    build.send_signal(how)
    _, said = build.communicate(timeout=30)

    assert build.returncode == 130
    assert said.endswith("stopped; what was compiled so far is kept for the next time\n")
    assert not compilers()
    left = {path.name for path in servers.target(PROXY).parent.iterdir()}
    assert left == {".lock", "build.log"}


def compilers():
    """The processes that the stand-in for npm has started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[:1] == ["sleep"] and process.cmdline()[1:] in (["3141"], ["2718"]):
                found.append(process)
    return found
