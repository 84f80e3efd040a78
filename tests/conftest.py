"""Fixtures shared by all tests: the payload, a real Collector, and every Python of this machine."""

from __future__ import annotations

import compileall
import os
import signal
import sys
from pathlib import Path
from unittest import mock

import pytest

# Helpers of the tests (`servers`, `pythons`, `facility`) are imported by name from this directory.
sys.path.insert(0, str(Path(__file__).parent))

# In the background of a shell it is ignored, and so it would be in what a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A run under tracing would trace its own tests, and a developer's settings would reach the servers.
_OURS = ("AF_OTEL_ENDPOINT", "AF_OTEL_FACILITY", "AF_OTEL_RESOURCE", "AF_OTEL_SERVICE")
_FOREIGN = ("OTEL_", "TRACEPARENT", "BAGGAGE", *_OURS)
for _name in [name for name in os.environ if name.startswith(_FOREIGN)]:
    del os.environ[_name]


@pytest.fixture(autouse=True)
def environment():
    """What a test sets there, as a Jupyter server under tracing does, ends with it."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def payload(tmp_path_factory):
    """A payload directory of `af-otel payload`, with byte code as an init step of a pod has it."""
    from af_otel import payload

    built = payload.build(tmp_path_factory.mktemp("payload") / "payload")
    compileall.compile_dir(built, quiet=2)
    return built


@pytest.fixture
def collector(tmp_path):
    """A real Collector of this test alone."""
    from servers import running_collector

    with running_collector(tmp_path / "collector") as running:
        yield running


@pytest.fixture(scope="session")
def facility(tmp_path_factory):
    """A whole facility, shared by the tests that need one."""
    from facility import running_facility

    with running_facility(tmp_path_factory.mktemp("facility") / "state") as running:
        yield running
