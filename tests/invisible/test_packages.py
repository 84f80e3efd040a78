"""Packages: what a traced process can import, and what is recorded by the environment's own
OpenTelemetry.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import pytest
from comparing import RECORD, run_cells
from environments import PLAIN, receiving, run
from pythons import venv

from servers import wait_for

SAME = """
import importlib.util, sys, threading, warnings
warnings.simplefilter("always")
record()
shown = [name for name in sys.path if "script" not in name]
print(shown)
names = {name.partition(".")[0] for name in sys.modules}
print(sorted(n for n in names - sys.stdlib_module_names if n[0] != "_" and n != "af_otel"))
print([thread.name for thread in threading.enumerate()], threading.active_count())
for name in ("opentelemetry", "opentelemetry.trace", "urllib3", "requests", "typing_extensions",
             "af_otel_instrumentation", "af_otel_semconv", "sitecustomize", "psutil"):
    try:
        print(name, importlib.util.find_spec(name) is not None)
    except ModuleNotFoundError as error:
        print(error)
"""


def test_imports_find_what_they_find_without_us(compared):
    """Path, public modules and threads are the same, before and after telemetry was sent."""
    assert "opentelemetry False" in compared.outcome(SAME).stdout


def test_no_descriptor_is_left_open(compared):
    """The connection to the Collector is closed where nothing is sent for a while."""
    script = """
    import os
    def opened():
        links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
        links = filter(os.path.lexists, links)
        return sorted(os.readlink(link).partition(":")[0] for link in links)
    before = opened()
    record()
    deadline = time.monotonic() + 30
    while opened() != before and time.monotonic() < deadline:
        time.sleep(0.1)
    print(opened() == before)
    """
    assert compared.outcome(script).stdout == "True\n"


def test_a_library_that_a_cell_adds_is_the_one_imported(compared):
    """Of another version than the payload could have: the cell's directory is the only one."""
    script = """
    import os, sys
    sys.dont_write_bytecode = True  # it would be in the way of `rmdir`
    record()
    for name in ("urllib3", "typing_extensions", "opentelemetry"):
        os.makedirs(f"lib/{name}")
        with open(f"lib/{name}/__init__.py", "w") as module:
            module.write("__version__ = '1.26'")
    sys.path.insert(0, "lib")
    import opentelemetry, typing_extensions, urllib3
    record()
    for module in (urllib3, typing_extensions, opentelemetry):
        print(module.__version__, module.__file__.rpartition("/lib/")[2])
        os.remove(module.__file__)
        os.rmdir(os.path.dirname(module.__file__))
    os.rmdir("lib")
    """
    assert "1.26" in compared.outcome(script).stdout


def test_the_oldest_and_newest_python_export_by_the_standard_library(python, payload, tmp_path):
    """A bare environment is enough; the exporter's connection is one that stays open."""
    code = RECORD + "record(); print('urllib3' in sys.modules, 'importlib.metadata' in sys.modules)"
    with receiving() as (endpoint, requests):
        env = {**PLAIN, "PYTHONPATH": str(payload), "AF_OTEL_ENDPOINT": endpoint, "INJECTED": "1"}
        assert run([python, "-c", code], env | {"HOME": str(tmp_path)}) == "False False\n"
    assert {request.path for request in requests} == {"/v1/traces", "/v1/metrics"}


# What the environment may have. 1.20 is the oldest version whose spans we record.
ENVIRONMENTS = ("old-api", "api", "sdk")


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def python_with_otel(request, tmp_path_factory):
    """A Python with an OpenTelemetry of its own."""
    directory = tmp_path_factory.mktemp("environment") / "venv"
    return venv(sys.executable, directory, request.param)


@pytest.fixture
def both(python_with_otel, payload, tmp_path):
    """Run code plain and injected; return both outputs and the items that were exported."""

    def run_both(code, **more):
        plain = {**PLAIN, "HOME": str(tmp_path), **more}
        with receiving() as (endpoint, requests):
            ours = {"PYTHONPATH": str(payload), "AF_OTEL_ENDPOINT": endpoint, "INJECTED": "1"}
            command = [python_with_otel, "-c", RECORD + code]
            return run(command, plain), run(command, plain | ours), _items(requests)

    return run_both


def _items(requests):
    """Return the spans and metrics of requests by name."""
    found = {}
    for request in requests:
        body = json.loads(request.body)
        for group in body.get("resourceSpans", []):
            for scope in group["scopeSpans"]:
                found |= {
                    span["name"]: {**span, "scope": scope["scope"]} for span in scope["spans"]
                }
        for group in body.get("resourceMetrics", []):
            for scope in group["scopeMetrics"]:
                found |= {metric["name"]: metric for metric in scope["metrics"]}
    return found


SPANS = """
import asyncio
record()
from opentelemetry import context, metrics, propagate, trace
tracer = trace.get_tracer("mine", "1.2")
client = trace.SpanKind.CLIENT
with tracer.start_as_current_span("outer", kind=client, attributes={"n": 1}) as outer:
    outer.add_event("event", {"k": "v"})
    link = trace.Link(outer.get_span_context())
    with tracer.start_as_current_span("inner", links=[link]) as inner:
        inner.set_status(trace.Status(trace.StatusCode.ERROR, "why"))
        assert trace.get_current_span() is inner
    try:
        with tracer.start_as_current_span("raises"):
            raise ValueError("text")
    except ValueError as error:
        print(repr(error))
    root = tracer.start_span("root", context=context.Context())
    root.update_name("renamed")
    root.end()
    carrier = {}
    propagate.inject(carrier)
with tracer.start_as_current_span("continued", context=propagate.extract(carrier)):
    pass
@tracer.start_as_current_span("decorated")
def function():
    return 7
print(function(), type(tracer).__name__, type(trace.get_tracer_provider()).__name__)
print(trace.get_current_span() is trace.INVALID_SPAN)

meter = metrics.get_meter("mine")
meter.create_counter("counted", "1", "Things").add(3, {"k": "v"})
meter.create_up_down_counter("up.down").add(-2)
meter.create_histogram("recorded", "s").record(0.5)
meter.create_observable_gauge("observed", [lambda options: [metrics.Observation(5, {"k": "v"})]])
print(type(meter).__name__, type(metrics.get_meter_provider()).__name__)
"""


def test_spans_and_metrics_of_the_users_reach_us(both):
    """By the API that the environment has; what the user's code sees of it is as without us."""
    plain, injected, found = both(SPANS)
    assert injected == plain
    outer, inner, raises = found["outer"], found["inner"], found["raises"]
    assert (outer["kind"], outer["scope"]["name"], outer["scope"]["version"]) == (3, "mine", "1.2")
    assert outer["attributes"] == [{"key": "n", "value": {"intValue": "1"}}]
    assert outer["events"][0]["name"] == "event"
    assert inner["parentSpanId"] == raises["parentSpanId"] == outer["spanId"]
    assert inner["links"][0]["spanId"] == outer["spanId"]
    assert inner["status"]["code"] == raises["status"]["code"] == 2
    assert raises["events"][0]["name"] == "exception"
    assert found["renamed"]["traceId"] != outer["traceId"]
    assert found["continued"]["parentSpanId"] == outer["spanId"]
    assert "decorated" in found
    assert found["counted"]["sum"]["dataPoints"][0]["asInt"] == "3"
    assert found["up.down"]["sum"]["dataPoints"][0]["asInt"] == "-2"
    assert found["recorded"]["histogram"]["dataPoints"][0]["sum"] == 0.5
    assert found["observed"]["gauge"]["dataPoints"][0]["asInt"] == "5"


def test_tracers_and_instruments_are_pickled_as_without_us(both):
    """Also after they have recorded, by value in a function, and copied."""
    plain, injected, _ = both("""
import cloudpickle, copy, pickle
record()
from opentelemetry import metrics, trace
tracer = trace.get_tracer("mine")
counter = metrics.get_meter("mine").create_counter("counted")
def task(x):
    with tracer.start_as_current_span("task"):
        counter.add(x)
    return x
for _ in range(2):
    print(cloudpickle.loads(cloudpickle.dumps(task))(3), len(cloudpickle.dumps(task)))
    print(pickle.dumps(tracer).hex(), pickle.dumps(counter).hex())
    copy.deepcopy(tracer).start_span("x").end()
    task(1)
with tracer.start_as_current_span("x") as span:
    print(type(pickle.loads(pickle.dumps(span))).__name__)
""")
    assert injected == plain
    assert pickle.loads(b"N.") is None


def test_a_provider_of_the_users_is_theirs_alone(python_with_otel, both):
    """Once set, it has the user's spans and metrics, and none of ours."""
    has_sdk = subprocess.run(
        [python_with_otel, "-c", "import opentelemetry.sdk"], capture_output=True, check=False
    )
    if has_sdk.returncode:
        pytest.skip("no SDK in this environment")
    plain, injected, found = both("""
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
early, counter = trace.get_tracer("mine"), metrics.get_meter("mine").create_counter("counted")
record()
early.start_span("ours").end()
exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
theirs = TracerProvider()
theirs.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(theirs)
metrics.set_meter_provider(MeterProvider([reader]))
record()
with early.start_as_current_span("theirs"):
    trace.get_tracer("mine").start_span("theirs, too").end()
counter.add(5)
print(trace.get_tracer_provider() is theirs, trace.get_tracer("mine").__class__.__module__)
print([(span.name, span.parent is None) for span in exporter.get_finished_spans()])
data = reader.get_metrics_data().resource_metrics[0].scope_metrics
print([(m.name, m.data.data_points[0].value) for scope in data for m in scope.metrics])
""")
    assert injected == plain
    assert "ours" in found
    assert not {"theirs", "theirs, too"} & set(found)
    # The instrument is there, with nothing recorded.
    assert not found.get("counted", {}).get("sum", {}).get("dataPoints")


def test_wrong_use_does_what_it_does_without_us(both):
    """The API that does nothing takes anything; so does ours."""
    plain, injected, found = both("""
sys.stderr = sys.stdout
record()
from opentelemetry import metrics, trace
tracer = trace.get_tracer("mine")
ended = tracer.start_span("ended")
for _ in range(2):
    ended.end()
    ended.set_attribute("late", 1)
with tracer.start_as_current_span("odd", kind="client", links=["x"], attributes=7) as span:
    span.set_attribute(object(), object())
    span.set_status("fine")
    span.record_exception("no exception")
    span.add_event(3, attributes="x")
meter = metrics.get_meter("mine")
meter.create_counter("counted").add("many", {"k": object()})
meter.create_histogram("!!").record(None)
meter.create_observable_counter("observed", [lambda options: 1 / 0, None])
tracer.start_span("goes on").end()
print("ran")
""")
    assert injected == plain == "ran\n"
    assert "goes on" in found


def test_exposed_to_users_who_have_none(payload, tmp_path):
    """With the switch, and only with it; tracers can be pickled there, too."""
    python = venv(sys.executable, tmp_path / "venv", "without-otel")
    code = (
        RECORD
        + """
import pickle
from af_otel import metrics
record()
import opentelemetry.sdk.trace
from opentelemetry import trace
tracer = trace.get_tracer("mine")
with tracer.start_as_current_span("exposed"):
    copy = pickle.loads(pickle.dumps(tracer))
    copy.start_span("copied").end()
print(opentelemetry.sdk.trace.__spec__.name, opentelemetry.sdk.trace.TracerProvider.__module__)
"""
    )
    env = {**PLAIN, "HOME": str(tmp_path), "PYTHONPATH": str(payload), "INJECTED": "1"}
    with receiving() as (endpoint, requests):
        env["AF_OTEL_ENDPOINT"] = endpoint
        with pytest.raises(AssertionError, match="No module named 'opentelemetry'"):
            run([python, "-c", code], env)
        shown = run([python, "-c", code], env | {"AF_OTEL_EXPOSE_OPENTELEMETRY": "1"})
    assert shown == "_af_otel.opentelemetry.sdk.trace _af_otel.opentelemetry.sdk.trace\n"
    found = _items(requests)
    assert found["copied"]["parentSpanId"] == found["exposed"]["spanId"]


def test_a_kernel_exports_what_its_cells_record(payload, tmp_path):
    """A user's span is part of its cell, and what the cell does within it is part of the span."""
    with receiving() as (endpoint, requests):
        env = {"PYTHONPATH": str(payload), "AF_OTEL_ENDPOINT": endpoint}
        shown = run_cells(
            tmp_path,
            env,
            [
                "from opentelemetry import trace; print(trace.get_current_span().is_recording())",
                'with trace.get_tracer("mine").start_as_current_span("user work"): pass',
            ],
        )
        assert shown == ["False\n", ""]
        found = wait_for(
            lambda: (
                (items := _items(requests)) and {"user work", "run cell"} <= set(items) and items
            ),
            "both spans",
        )
    assert found["user work"]["parentSpanId"] == found["run cell"]["spanId"]


def test_a_cell_that_makes_many_spans_says_how_many_it_left_out(payload, tmp_path):
    """So does the next one, in which the count begins again; what is around them goes on."""
    loop = """
from opentelemetry import trace
tracer = trace.get_tracer("mine")
for number in range(100):
    with tracer.start_as_current_span("outer"):
        with tracer.start_as_current_span("inner") as inner:
            pass
print(inner.is_recording(), trace.get_current_span().is_recording())
"""
    with receiving() as (endpoint, requests):
        env = {
            "PYTHONPATH": str(payload),
            "AF_OTEL_ENDPOINT": endpoint,
            "AF_OTEL_MAX_SPANS_PER_TRACE": "31",
        }
        assert run_cells(tmp_path, env, [loop, loop, "1"]) == ["False False\n"] * 2 + [""]
    spans = [
        span
        for request in requests
        for group in json.loads(request.body).get("resourceSpans", [])
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    ]
    cells = [span for span in spans if span["name"] == "run cell"]
    counts = [
        sum(span["traceId"] == cell["traceId"] for span in spans if span is not cell)
        for cell in cells
    ]
    left_out = [
        one["value"]["intValue"]
        for cell in cells
        for one in cell["attributes"]
        if one["key"] == "af_otel.spans.left_out"
    ]
    assert (counts, left_out) == ([31, 31, 0], ["169", "169"])
