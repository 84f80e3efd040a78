"""The environment of users' processes, and what their own OpenTelemetry tools make of it.

Other libraries obey `OTEL_*`, so none of it may be ours. Read from their sources in 2026:

- MLflow sends traces to `OTEL_EXPORTER_OTLP_ENDPOINT` instead of storing them.
- LangSmith's SDK (LangChain), with `LANGSMITH_OTEL_ENABLED`, sends to that endpoint with
  `OTEL_EXPORTER_OTLP_HEADERS`, and sets both variables itself if they are not set, its API key
  included.
- ddtrace turns `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`,
  `OTEL_*_EXPORTER`, `OTEL_PROPAGATORS` and `OTEL_SDK_DISABLED` into settings of its own.
- Azure Monitor reads `OTEL_*_EXPORTER`, `OTEL_TRACES_SAMPLER` and `OTEL_RESOURCE_ATTRIBUTES`.
- The Azure and Google clients, Ray and Prefect read none of them: they use the process' tracer
  provider where their own switches say so, or an endpoint of their own.
"""

from __future__ import annotations

import json
import sys

import pytest
from environments import (
    AF_OTEL,
    CARRIERS,
    PLAIN,
    RECORD,
    SHOW,
    changed,
    foreign,
    receiving,
    run,
    shown,
)
from pythons import venv

from servers import wait_for

THEIRS = {
    "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=theirs",
    "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=theirs,team=theirs",
    "OTEL_BSP_SCHEDULE_DELAY": "100",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "5",
}


def af_otel_env(*options):
    """Return what `af-otel env` sets."""
    said = run([AF_OTEL, "env", *options, "--format", "json"], PLAIN)
    env: dict[str, str] = json.loads(said)
    return env


@pytest.mark.parametrize("form", ["shell", "systemd", "dockerfile", "json"])
def test_env_names_only_ours(payload, form):
    """In each format: the payload's path, and settings of ours."""
    options = ("--payload", payload, "--facility", "lab", "--format", form)
    said = run([AF_OTEL, "env", *options], PLAIN)
    assert "AF_OTEL_ENDPOINT" in said
    assert "AF_OTEL_FACILITY" in said
    assert "OTEL_" not in said.replace("AF_OTEL_", "")


def test_an_injected_process_finds_its_environment_and_ours(payload):
    """Plain and injected, it differs by our variables alone, before and after telemetry began."""
    command = [sys.executable, "-c", RECORD + "record()\n" + SHOW]
    with receiving() as (endpoint, _):
        ours = af_otel_env("--payload", payload, "--endpoint", endpoint, "--facility", "lab")
        plain = shown(command, PLAIN)
        injected = shown(command, PLAIN | ours)
    assert changed(plain, injected) == set(ours)
    assert not foreign(ours)


def test_run_changes_the_path_alone(payload):
    """What the caller has set, `OTEL_*` included, reaches the command as it is."""
    mine = {**PLAIN, **THEIRS, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", SHOW]
    differing = changed(shown(command, mine), shown([AF_OTEL, "run", "--", *command], mine))
    assert differing == {"PYTHONPATH"}


def test_a_kernel_differs_by_ours_and_the_baggage(payload):
    """A kernel keeps the baggage of its session for what its cells start, and loses the span."""
    pytest.importorskip("ipykernel")
    client = pytest.importorskip("jupyter_client")
    context = {
        "TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "BAGGAGE": "session.id=1",
    }

    def seen(env):
        manager, channels = client.manager.start_new_kernel(env=env)
        try:
            outputs = []
            channels.execute_interactive(RECORD + "record()\n" + SHOW, output_hook=outputs.append)
        finally:
            channels.stop_channels()
            manager.shutdown_kernel(now=True)
        return json.loads("".join(out["content"].get("text", "") for out in outputs).strip())

    with receiving() as (endpoint, _):
        ours = af_otel_env("--payload", payload, "--endpoint", endpoint, "--facility", "lab")
        plain, injected = seen(dict(PLAIN)), seen(PLAIN | ours | context)
    # The kernel's own, which say which process started it.
    differing = changed(plain, injected) - {"JPY_PARENT_PID", "JPY_SESSION_NAME"}
    assert differing == set(ours) | {"BAGGAGE"}
    assert differing - set(ours) < CARRIERS


def test_a_users_own_telemetry_and_ours_go_their_ways(payload):
    """The user's exporter obeys `OTEL_*`, with its key; ours goes to the Collector without it."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    script = f"""{RECORD}
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
record()
mine = TracerProvider()
mine.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
mine.get_tracer("mine").start_span("mine").end()
{SHOW}"""
    command = [sys.executable, "-c", script]
    with receiving() as (theirs, sent_to_them), receiving() as (endpoint, sent_to_us):
        own = {**PLAIN, **THEIRS, "OTEL_EXPORTER_OTLP_ENDPOINT": theirs}
        ours = af_otel_env("--payload", payload, "--endpoint", endpoint, "--facility", "lab")
        shown(command, own)
        injected = shown(command, own | ours | {"AF_OTEL_FLUSH_TIMEOUT": "30000"})
    assert {name: injected[name] for name in own} == own
    assert [request.headers["x-api-key"] for request in sent_to_them] == ["theirs"] * 2
    assert all(b"mine" in request.body for request in sent_to_them)
    assert {request.path for request in sent_to_us} == {"/v1/traces", "/v1/metrics"}
    for request in sent_to_us:
        assert "x-api-key" not in request.headers
        assert b"mine" not in request.body
        (groups,) = json.loads(request.body).values()
        for group in groups:
            attributes = {
                each["key"]: each["value"]["stringValue"]
                for each in group["resource"]["attributes"]
            }
            assert (attributes["service.namespace"], attributes["team"]) == ("lab", "theirs")


def test_variables_of_an_older_install_are_obeyed(payload, collector):
    """An image with the `OTEL_*` of an earlier `af-otel env` still sends to its Collector."""
    old = {
        "PYTHONPATH": str(payload),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=lab",
        "AF_OTEL_FLUSH_TIMEOUT": "30000",
    }
    run([sys.executable, "-c", RECORD + "record()"], PLAIN | old)
    assert collector.wait_for_span("recorded")["resource"]["service.namespace"] == "lab"


MLFLOW = """
import sys
import mlflow
mlflow.set_tracking_uri("sqlite:///" + sys.argv[1])

@mlflow.trace
def analyse(words):
    return words

record()
analyse("s3cret")
analyse("s3cret")
mlflow.flush_trace_async_logging()
print(len(mlflow.search_traces(return_type="list")))
"""


@pytest.mark.timeout(900)
def test_mlflow_stores_its_traces(payload, tmp_path, collector):
    """As many as without us; none reaches the Collector, though an OTLP exporter is installed."""
    python = venv(sys.executable, tmp_path / "venv", "mlflow")
    ours = af_otel_env("--payload", payload, "--endpoint", collector.endpoint)
    ours["AF_OTEL_FLUSH_TIMEOUT"] = "30000"
    stored = [
        run([python, "-c", RECORD + MLFLOW, name], env, cwd=tmp_path).splitlines()[-1]
        for name, env in (("plain", PLAIN), ("injected", PLAIN | ours))
    ]
    assert stored == ["2", "2"]
    collector.wait_for_span("recorded")
    wait_for(lambda: collector.points("user.recorded"), "the metric of the injected process")
    assert {span["name"] for span in collector.spans()} <= {"waiting", "recorded"}
    assert "s3cret" not in collector.spans_file.read_text()
