"""Processes of a facility are found wherever they went, and end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import psutil

from af_otel.local import processes
from servers import wait_for


def marked(mark, *command):
    return subprocess.Popen(
        command, env={**os.environ, processes.MARK: mark}, stdout=subprocess.PIPE, text=True
    )


def test_a_sweep_ends_children_of_the_dead_and_the_deaf_alike(tmp_path):
    """A grandchild in a session of its own, its parent gone, and one that ignores SIGTERM."""
    mark = str(tmp_path)
    code = """
        import os, signal, time
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print(os.getpid(), flush=True)
            time.sleep(600)
    """
    parent = marked(mark, sys.executable, "-c", textwrap.dedent(code))
    orphan = int(parent.stdout.readline())
    parent.wait()
    other = subprocess.Popen(["sleep", "600"], env={**os.environ, processes.MARK: mark + "2"})
    try:
        assert [process.pid for process in processes.find(mark)] == [orphan]
        assert processes.sweep(mark, patience=0.5) == 1
        assert not processes.alive(orphan)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_service_does_not_outlive_whoever_started_it(tmp_path):
    """Its parent is killed; the kernel sends the signal."""
    code = """
        import os, signal, sys
        from pathlib import Path
        from af_otel.local.processes import start
        here = Path(sys.argv[1])
        print(start(["sleep", "600"], dict(os.environ), here, here / "log").pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        stdout=subprocess.PIPE,
        check=False,
    )
    service = int(done.stdout)
    wait_for(lambda: not psutil.pid_exists(service), "the end of the service")


def test_an_end_is_told_in_words():
    assert processes.ended(3) == "exit code 3"
    assert processes.ended(-signal.SIGKILL) == "killed by SIGKILL"
