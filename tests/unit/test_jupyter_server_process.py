"""What the server knows of itself and of its kernels' ends, and how it is left."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from af_otel_instrumentation import jupyter_server
from af_otel_instrumentation.jupyter_server import server
from af_otel_instrumentation.jupyter_server.environment import Origin, inject_into_environment
from af_otel_instrumentation.jupyter_server.kernels import death_reason
from jupyter_server.serverapp import ServerApp
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def test_a_process_knows_when_it_was_born():
    """To the kernel's clock tick, whatever its name."""
    born = psutil.Process().create_time()
    assert server.process_start() / 1e9 == pytest.approx(born, abs=1.1)  # psutil: boot in seconds


def test_a_process_without_proc_takes_its_import(monkeypatch):
    """Other systems have no /proc."""
    monkeypatch.setattr(server, "Path", lambda path: Path(f"/nowhere{path}"))
    assert server.process_start() == server._IMPORTED <= time.time_ns()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-9, "killed"),
        (-15, "killed"),
        (137, "killed"),
        (-11, "crashed"),
        (-6, "crashed"),
        (139, "crashed"),
        (0, "exited"),
        (1, "exited"),
        (255, "exited"),
        (-100, "exited"),
        (None, "exited"),
    ],
)
def test_exit_codes_have_a_reason(code, reason):
    """A signal that ends a process from outside, one of its own making, or its own wish."""
    assert death_reason(code) == reason


def test_the_environment_names_the_spawn(monkeypatch):
    """Its span is the parent of the start and linked from the rest; its baggage is everybody's."""
    monkeypatch.setenv("TRACEPARENT", f"00-{'a' * 32}-{'b' * 16}-01")
    monkeypatch.setenv("BAGGAGE", "session.id=s,user.hash=u")
    origin = Origin.of_environment()
    assert trace.get_current_span(origin.parent).get_span_context().span_id == int("b" * 16, 16)
    assert not trace.get_current_span(origin.context).get_span_context().is_valid
    assert [link.context.span_id for link in origin.links] == [int("b" * 16, 16)]
    assert baggage.get_all(origin.context) == {"session.id": "s", "user.hash": "u"}
    environment = {"TRACEPARENT": "the server's", "PATH": "p"}
    inject_into_environment(environment, origin.parent)
    assert environment == {
        "TRACEPARENT": f"00-{'a' * 32}-{'b' * 16}-01",
        "BAGGAGE": "session.id=s,user.hash=u",
        "PATH": "p",
    }


def test_a_server_that_does_not_come_up_is_told(tmp_path, monkeypatch):
    """By the class of what stopped it; a server that was asked for help is none."""
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    jupyter_server.instrument(tracer_provider=provider)
    try:
        with pytest.raises(SystemExit):
            ServerApp().initialize(["--help"])
        assert not exported.get_finished_spans()
        with pytest.raises(SystemExit):
            ServerApp().initialize(["--ServerApp.port=canary"])
    finally:
        jupyter_server.uninstrument()
    [span] = exported.get_finished_spans()
    assert (span.name, span.attributes["error.type"]) == ("start server", "SystemExit")
    assert not span.status.is_ok
    assert "canary" not in span.to_json()


def test_a_server_is_left_as_it_was_found():
    """However often it was instrumented."""
    before = ServerApp.initialize
    jupyter_server.instrument()
    once = ServerApp.initialize
    jupyter_server.instrument()
    assert ServerApp.initialize is once is not before
    jupyter_server.uninstrument()
    jupyter_server.uninstrument()
    assert ServerApp.initialize is before


def test_the_package_imports_no_host():
    """It is imported in processes that never start a server."""
    code = (
        "import sys; from af_otel_instrumentation import jupyter_server, ipykernel; "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('jupyter_server', 'ipykernel', 'IPython', 'opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
