"""Fixtures that run code plain and injected."""

from __future__ import annotations

import signal

import pytest
from comparing import Comparison, oldest_and_newest
from pythons import HOSTS, OLDEST

from servers import accepting


@pytest.fixture(autouse=True)
def _signals_by_default():
    """Let processes inherit default dispositions, also where `nohup` runs the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def injection(payload):
    """The variables that inject telemetry, which is accepted and dropped."""
    with accepting() as (endpoint, _):
        yield {
            "PYTHONPATH": str(payload),
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "INJECTED": "1",
        }


@pytest.fixture(scope="session", params=oldest_and_newest(), ids=lambda path: path.split("/")[-3])
def python(request):
    """The oldest and the newest traced interpreter of this machine."""
    return request.param


@pytest.fixture(params=[HOSTS, str(OLDEST)], ids=["hosts", "oldest-hosts"])
def hosts(request):
    """The Python with the hosts, and the one with the oldest."""
    if request.param == str(OLDEST) and not OLDEST.exists():
        pytest.skip(f"`make oldest` makes `{OLDEST}`")
    return request.param


@pytest.fixture
def compared(python, injection, tmp_path):
    """Runs a script plain and injected, and requires the same outcome."""
    return Comparison(python, injection, tmp_path)
