"""What a traced process loads: settings that are broken, spans that hold secrets or stay open."""

from __future__ import annotations

import time

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext

from af_otel.runtime import _log, _privacy
from af_otel.runtime._sdk import PrivateSpanExporter
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
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-5", "traces_timeout", 10),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "nan", "metrics_timeout", 10),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "traces_protocol", "http/json"),
        ("OTEL_TRACES_EXPORTER", "jaeger", "traces_exporter", "otlp"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "traces_exporter", "none"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1", "metrics_exporter", "none"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", " http://collector ", "traces_exporter", "none"),
    ],
)
def test_a_broken_setting_costs_one_line(monkeypatch, said, name, value, field, used):
    """The line names variable and value, and what is used instead; other settings stand."""
    monkeypatch.setenv(name, value)
    assert getattr(Settings(), field) == used
    (line,) = said()
    assert name in line
    assert repr(value) in line


def test_settings_are_the_standard_variables(monkeypatch, said):
    """What is set rightly is taken as it is, without a word."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318/x")
    settings = Settings()
    assert (settings.schedule_delay, settings.metrics_exporter, settings.traces_exporter) == (
        100, "none", "otlp",
    )  # fmt: skip
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
        ("url.query", "token=s3cret&limit=3", "token=[redacted]&limit=3"),
        (
            "url.full",
            "http://h/hub/oauth?code=s3cret&state=s3cret",
            "http://h/hub/oauth?code=[redacted]&state=[redacted]",
        ),
        ("http.target", "/x?_xsrf=s3cret", "/x?_xsrf=[redacted]"),
        ("http.url", "https://me:s3cret@host/x", "https://[redacted]@host/x"),
        ("log", "Authorization: Bearer s3cret.s3cret", "Authorization: Bearer [redacted]"),
        ("words", ("token s3crets3cret", "b"), ("token [redacted]", "b")),
        (
            "next",
            "/hub/login?next=%2Flab%3Ftoken%3Ds3cret%26a",
            "/hub/login?next=%2Flab%3Ftoken%3D[redacted]%26a",
        ),
        ("url", "https://h/x#access_token=s3cret", "https://h/x#access_token=[redacted]"),
        ("remote", "https://s3cret@forge/x", "https://[redacted]@forge/x"),
        ("answer", '{"access_token": "s3cret", "n": 1}', '{"access_token": "[redacted]", "n": 1}'),
        ("lines", "Cookie: a=s3cret; b=s3cret\nHost: h", "Cookie: [redacted]\nHost: h"),
        ("jwt", "got eyJhbGciOiJIUz.eyJzdWIi.s3cret", "got [redacted]"),
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
    pending = PendingSpans(marked.append, after=0.2, limit=3)
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
    pending.shutdown()
    assert [span.name for span in marked] == ["parent", "run cell", "many"]
    marker = marked[1]
    assert (
        marker.attributes["af_otel.pending.span_id"] == f"{child.get_span_context().span_id:016x}"
    )
    assert marker.context.trace_id == child.get_span_context().trace_id
    assert marker.context.span_id != child.get_span_context().span_id
    assert marker.parent == parent.get_span_context()
    assert len(many) == 5
