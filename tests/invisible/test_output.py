"""What telemetry has to report goes to its log, and never to a stream that a user sees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from comparing import Comparison
from pythons import HOSTS

import af_otel.bootstrap

SITE = Path(af_otel.bootstrap.__file__).parent / "site"
LOG = ".local/state/af-otel/log"


@pytest.fixture
def unreachable(injection, tmp_path):
    """Runs scripts by the Python with the hosts; nothing listens where their telemetry goes."""
    env = {
        **injection,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "AF_OTEL_FLUSH_TIMEOUT": "500",
    }
    return Comparison(HOSTS, env, tmp_path)


def test_a_cluster_without_a_collector_prints_nothing_and_logs_it_once(unreachable, tmp_path):
    """The script, its workers and its subprocesses share one line."""
    plain, injected = unreachable.outcomes(
        """
        import subprocess
        from distributed import Client
        COMPUTE = "import distributed; distributed.Client(n_workers=1, processes=False).close()"
        if __name__ == "__main__":
            record()
            with Client(n_workers=3, threads_per_worker=1, dashboard_address=':0') as client:
                print(sum(client.gather(client.map(abs, range(9)))))
                child = subprocess.run(
                    [sys.executable, "-W", "ignore", "-c", COMPUTE], capture_output=True, text=True
                )
                print(child.stdout, child.stderr)
                time.sleep(2)
        """
    )
    assert (injected.stdout, injected.stderr) == (plain.stdout, plain.stderr)
    log = (tmp_path / LOG).read_text()
    assert log.count("the Collector does not take telemetry") == 1, log


def test_a_library_that_cannot_be_traced_is_logged_once(compared, tmp_path):
    """Also where several processes find it; the file is private."""
    (tmp_path / "distributed.py").write_text("")
    plain, injected = compared.outcomes(
        """
        import distributed, subprocess
        run = [sys.executable, "-c", "import sys; sys.path.append('..'); import distributed"]
        for process in [subprocess.Popen(run) for _ in range(9)]:
            process.wait()
        """
    )
    assert (injected.stdout, injected.stderr) == (plain.stdout, plain.stderr) == ("", "")
    log = tmp_path / LOG
    (line,) = log.read_text().splitlines()
    assert re.fullmatch(r"\S+Z pid \d+ \S+ Dask runs untraced: distributed is not as .*", line)
    assert (log.stat().st_mode & 0o777, log.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_session_logs_a_line_of_its_own(compared, tmp_path):
    """Each of Jupyter's sessions says it once, wherever the file is."""
    (tmp_path / "distributed.py").write_text("raise_on = 1")
    script = """
        import distributed, subprocess
        run = [sys.executable, "-c", "import sys; sys.path.append('..'); import distributed"]
        for session in "aabba":
            subprocess.run(run, env={**os.environ, "BAGGAGE": f"session.id={session},user.hash=x"})
        """
    compared.injection = {**compared.injection, "AF_OTEL_LOG": str(tmp_path / "own")}
    plain, injected = compared.outcomes(script)
    assert injected.stderr == plain.stderr
    sessions = [line.split()[3] for line in (tmp_path / "own").read_text().splitlines()]
    assert sessions[1:] == ["a", "b"]  # after the script's


def test_the_log_is_bounded(compared, tmp_path):
    """Its older half is dropped when it is full."""
    (tmp_path / "distributed.py").write_text("")
    log = tmp_path / "own"
    log.write_text("".join(f"older {n}\n" for n in range(9000)))
    compared.injection = {**compared.injection, "AF_OTEL_LOG": str(log)}
    compared.outcomes("import distributed")
    lines = log.read_text().splitlines()
    assert log.stat().st_size < 64 * 1024
    assert lines[-2] == "older 8999"
    assert "Dask runs untraced" in lines[-1]


def test_a_damaged_payload_prints_nothing(compared, tmp_path):
    """No Python that starts under it says so to its user."""
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name, content in [
        ("sitecustomize.py", (SITE / "sitecustomize.py").read_text()),
        ("af_otel_boot.py", "def start(:"),
    ]:
        (damaged / name).write_text(content)
    compared.injection = {"PYTHONPATH": str(damaged)}
    plain, injected = compared.outcomes("print('runs')")
    assert (injected.stdout, injected.stderr) == (plain.stdout, plain.stderr)
    assert "not started: SyntaxError" in (tmp_path / LOG).read_text()
