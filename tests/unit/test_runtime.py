"""What a traced process loads: settings that are broken, spans that hold secrets or stay open."""

from __future__ import annotations

import operator
import time

import pytest
from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext

from af_otel.runtime import _log, _privacy
from af_otel.runtime._exporters import otlp
from af_otel.runtime._sdk import PrivateSpanExporter, _resource, _sampler
from af_otel.runtime._sender import Sender
from af_otel.runtime._settings import Settings
from af_otel.runtime._spans import PendingSpans, SessionAttributes


@pytest.fixture
def said(monkeypatch, capfd):
    """What the runtime has said on stderr."""
    monkeypatch.setattr(_log, "_said", set())

    def lines():
        return capfd.readouterr().err.splitlines()

    return lines


@pytest.mark.parametrize(
    ("name", "value", "field", "used"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "queue_size", 2048),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "queue_size", 2048),
        ("OTEL_BSP_SCHEDULE_DELAY", "1.5", "schedule_delay", 1000),
        ("OTEL_BSP_SCHEDULE_DELAY", "9" * 20, "schedule_delay", 1000),
        ("AF_OTEL_FLUSH_TIMEOUT", "9" * 17, "flush_timeout", 2000),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "metric_interval", 60_000),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-5", "traces.timeout", 10),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "nan", "metrics.timeout", 10),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "traces.exporter", "otlp"),
        ("OTEL_TRACES_EXPORTER", "jaeger", "traces.exporter", "otlp"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "traces.exporter", "none"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1", "metrics.exporter", "none"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", " http://collector ", "traces.exporter", "none"),
        ("AF_OTEL_ENDPOINT", "collector:4318", "metrics.exporter", "none"),
        ("AF_OTEL_TIMEOUT", "soon", "traces.timeout", 10),
        ("AF_OTEL_COMPRESSION", "zip", "traces.compression", "none"),
        ("AF_OTEL_SCHEDULE_DELAY", "soon", "schedule_delay", 1000),
        ("AF_OTEL_TRACES_SAMPLER", "foo", "sampler", ("parentbased_always_on", 1)),
        ("AF_OTEL_RESOURCE_ATTRIBUTES", "garbage", "resource", {}),
    ],
)
def test_a_broken_setting_costs_one_line(monkeypatch, said, name, value, field, used):
    """The line names variable and value, and what is used instead; other settings stand."""
    monkeypatch.setenv(name, value)
    assert operator.attrgetter(field)(Settings()) == used
    (line,) = said()
    assert name in line
    assert repr(value) in line


def test_standard_variables_apply_where_ours_are_not_set(monkeypatch, said):
    """An image or unit file made for an older af-otel keeps working, without a message."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318/x")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=theirs")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=lab")
    settings = Settings()
    exporter = otlp(settings.traces)
    assert (settings.schedule_delay, settings.metrics.exporter) == (100, "none")
    assert exporter._client._endpoint == "https://collector.example:4318/x/v1/traces"
    assert exporter._client._headers["authorization"] == "theirs"
    assert _resource(settings, "kernel", "kernel").attributes["service.namespace"] == "lab"
    assert said() == []


THEIRS = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "https://theirs.example",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://theirs.example/v1/traces",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=theirs,x-api-key=theirs",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "99",
    "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "/theirs.pem",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/theirs.pem",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": (
        "base2_exponential_bucket_histogram"
    ),
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_SERVICE_NAME": "theirs",
    "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=theirs,team=theirs",
    "OTEL_TRACES_SAMPLER": "always_off",
}


def test_nothing_of_another_destination_reaches_ours(monkeypatch, said):
    """With `AF_OTEL_ENDPOINT`, a user's own endpoint, credentials, certificates and formats are for
    the user's own telemetry alone.
    """
    for name, value in THEIRS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AF_OTEL_ENDPOINT", "http://collector:4318/")
    monkeypatch.setenv("AF_OTEL_HEADERS", "Authorization=Bearer%20ours")
    settings = Settings()
    for destination in (settings.traces, settings.metrics):
        exporter = otlp(destination)
        client = exporter._client
        assert client._endpoint == f"http://collector:4318/v1/{destination.signal}"
        assert set(client._headers) == {"content-type", "user-agent", "authorization"}
        assert client._headers["authorization"] == "Bearer ours"
        assert client._timeout == 10
        assert "theirs" not in str(vars(client._transport))
    kinds = set(exporter._preferred_temporality.values())
    assert kinds == {AggregationTemporality.CUMULATIVE}
    assert isinstance(
        exporter._preferred_aggregation[Histogram], ExplicitBucketHistogramAggregation
    )
    assert said() == []


def test_ours_are_the_same_settings_by_other_names(monkeypatch, said):
    """Per signal as well as for all; each one wins over its counterpart."""
    for name, value in THEIRS.items():
        monkeypatch.setenv(name, value)
    ours = {
        "AF_OTEL_ENDPOINT": "http://collector:4318",
        "AF_OTEL_METRICS_ENDPOINT": "http://metrics:4318/in",
        "AF_OTEL_METRICS_COMPRESSION": "gzip",
        "AF_OTEL_TIMEOUT": "3",
        "AF_OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "AF_OTEL_TRACES_SAMPLER_ARG": "0.5",
        "AF_OTEL_RESOURCE_ATTRIBUTES": "team=a%2Cb, service.version=7",
        "AF_OTEL_FACILITY": "a, b",
        "AF_OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "AF_OTEL_MAX_QUEUE_SIZE": "7",
    }
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert otlp(settings.metrics)._client._endpoint == "http://metrics:4318/in"
    assert otlp(settings.metrics)._client._headers["Content-Encoding"] == "gzip"
    assert (settings.traces.timeout, settings.metric_interval, settings.queue_size) == (3, 5000, 7)
    assert "0.5" in _sampler(settings).get_description()
    resource = _resource(settings, "kernel", "kernel").attributes
    assert (resource["service.namespace"], resource["team"]) == ("a, b", "a,b")
    assert (resource["service.name"], resource["service.version"]) == ("theirs", "7")
    monkeypatch.setenv("AF_OTEL_SERVICE_NAME", "ours")
    assert _resource(Settings(), "kernel", "kernel").attributes["service.name"] == "ours"
    assert said() == []


def private_spans(make, *, texts=False):
    """Return the spans that `make(tracer)` gives, as they leave the process."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(PrivateSpanExporter(memory, texts=texts)))
    make(provider.get_tracer("test"))
    return memory.get_finished_spans()


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("url.query", "token=s3cret&limit=3", None),
        ("form", "token=s3cret&limit=3", "token=[redacted]&limit=3"),
        (
            "url.full",
            "http://h/hub/oauth?code=s3cret&state=s3cret",
            "http://h/hub/oauth?code=[redacted]&state=[redacted]",
        ),
        ("http.target", "/x?_xsrf=s3cret", "/x?_xsrf=[redacted]"),
        ("http.url", "https://me:s3cret@host/x", "https://[redacted]@host/x"),
        ("log", "Authorization: Bearer s3cret.s3cret", "Authorization: [redacted]"),
        ("words", ("token s3crets3cret", "b"), ("token [redacted]", "b")),
        (
            "next",
            "/hub/login?next=%2Flab%3Ftoken%3Ds3cret%26a",
            "/hub/login?next=%2Flab%3Ftoken%3D[redacted]%26a",
        ),
        ("url", "https://h/x#access_token=s3cret", "https://h/x#access_token=[redacted]"),
        ("remote", "https://s3cret@forge/x", "https://[redacted]@forge/x"),
        ("answer", '{"access_token": "s3cret", "n": 1}', '{"access_token": [redacted]", "n": 1}'),
        ("lines", "Cookie: a=s3cret; b=s3cret\nHost: h", "Cookie: [redacted]\nHost: h"),
        ("got", "got eyJhbGciOiJIUz.eyJzdWIi.s3cret", "got [redacted]"),
        ("raw", b"Bearer s3crets3cret", "Bearer [redacted]"),
        ("headers", {"Cookie": "s3cret", "Host": "h"}, {"Host": "h"}),
        ("clientSecret", "s3cret", None),
        ("http.request.header.cookie", "s3cret", None),
        ("http.request.header.authorization", ("s3cret",), None),
        ("JUPYTERHUB_API_TOKEN", "s3cret", None),
        ("api_key", "s3cret", None),
        ("status.code", 200, 200),
        ("dask.worker.state", "running", "running"),
        ("url.path", "/hub/api/users", "/hub/api/users"),
        ("question", "is 1=1 a token of love?", "is 1=1 a token of love?"),
    ],
)
def test_secrets_are_taken_out_and_the_rest_is_kept(key, value, kept):
    """By the attribute's name, or by what a value looks like."""
    link = Link(SpanContext(1, 2, is_remote=False), {key: value})

    def make(tracer):
        span = tracer.start_span("x", attributes={key: value}, links=[link])
        span.add_event("x", {key: value})
        span.end()

    (span,) = private_spans(make)
    for holder in (span, *span.events, *span.links):
        assert holder.attributes.get(key) == kept
    assert "s3cret" not in span.to_json()


def fail(tracer):
    with pytest.raises(ValueError), tracer.start_as_current_span("x"):
        raise ValueError("s3cret in the user's data")


@pytest.mark.timeout(60)
def test_a_long_word_is_searched_once():
    """Going back over it at each `key` would take hours, in which nothing else of Python runs."""
    word = "=" + 400_000 * "key"
    assert _privacy.scrub_text(word) == word


def test_an_exception_is_told_by_its_type_alone():
    """Its text and its stack trace quote data and source; they stay unless asked for."""
    (span,) = private_spans(fail)
    (event,) = span.events
    assert dict(event.attributes) == {"exception.type": "ValueError", "exception.escaped": "False"}
    assert (span.status.status_code.name, span.status.description) == ("ERROR", None)
    (told,) = private_spans(fail, texts=True)
    assert "s3cret" in told.events[0].attributes["exception.message"]


def test_a_span_with_impossible_times_is_dropped():
    """Its host read clocks that the user had replaced; users' own spans may have any date."""
    now = time.time_ns()

    def make(tracer, start, end):
        tracer.start_span(f"{start}", start_time=now + start).end(now + end)

    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(PrivateSpanExporter(memory, texts=False)))
    years = 10 * 366 * 86400 * 10**9
    for scope in ("af_otel_instrumentation.dask.worker", "theirs"):
        tracer = provider.get_tracer(scope)
        make(tracer, 0, -1)
        make(tracer, -years, -years)
        make(tracer, -1, years)
        make(tracer, -2, 0)
    assert [span.name for span in memory.get_finished_spans()] == ["-2", f"{-years}", "-1", "-2"]


def test_a_span_with_nothing_to_hide_is_the_same_object():
    """Scrubbing copies only what it changes."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    provider.get_tracer("x").start_span("run cell", attributes={"a": 1, "b": "c"}).end()
    spans = memory.get_finished_spans()
    assert _privacy.scrub(spans)[0] is spans[0]


def test_session_and_user_come_from_baggage_then_from_the_environment():
    """The context's baggage wins over what the process was started with; nothing else in it is
    taken.
    """
    from opentelemetry import baggage

    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SessionAttributes({"session.id": "env", "other": "x"}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test")
    tracer.start_span("inherited").end()
    context = baggage.set_baggage("session.id", "carried", baggage.set_baggage("mail", "me@x"))
    tracer.start_span("carried", context=context).end()
    tracer.start_span("own", context=context, attributes={"session.id": "own"}).end()
    tracer.start_span("long", context=baggage.set_baggage("session.id", "x" * 5000)).end()
    assert [dict(span.attributes) for span in memory.get_finished_spans()] == [
        {"session.id": "env"}, {"session.id": "carried"}, {"session.id": "own"}, {},
    ]  # fmt: skip


def test_a_span_that_stays_open_is_marked_once():
    """The marker lies beside the span, names it, and short spans get none; the watch is bounded."""
    marked = []
    sender = Sender()
    pending = PendingSpans(sender, marked.append, after=0.2, limit=3)
    sender.add(pending)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(pending)
    tracer = provider.get_tracer("test")
    tracer.start_span("short").end()
    parent = tracer.start_span("parent")
    from opentelemetry import trace

    child = tracer.start_span("run cell", context=trace.set_span_in_context(parent))
    many = [tracer.start_span("many") for _ in range(5)]
    deadline = time.monotonic() + 20
    while len(marked) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    sender.finish(5)
    assert [span.name for span in marked] == ["parent", "run cell", "many"]
    marker = marked[1]
    assert (
        marker.attributes["af_otel.pending.span_id"] == f"{child.get_span_context().span_id:016x}"
    )
    assert marker.context.trace_id == child.get_span_context().trace_id
    assert marker.context.span_id != child.get_span_context().span_id
    assert marker.parent == parent.get_span_context()
    assert len(many) == 5
