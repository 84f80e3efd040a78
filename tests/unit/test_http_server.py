"""Which requests have spans, what is bounded, and that a host notices nothing of our failures."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from af_otel_instrumentation import http
from af_otel_instrumentation.http._peers import sending_to
from af_otel_semconv import metrics as names
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

PARENT = f"00-{'1' * 32}-{'2' * 16}-01"


class Echo(RequestHandler):
    """Says which headers of ours it was sent."""

    def get(self, *_):
        self.finish({name: self.request.headers.get(name) for name in ("traceparent", "baggage")})

    post = get


class Slow(RequestHandler):
    async def get(self):
        await asyncio.sleep(0.06)


class Away(RequestHandler):
    def get(self):
        self.redirect(self.get_argument("to"))


class Telemetry:
    def __init__(self):
        self.exported, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exported))

    def instrument(self):
        http.instrument(tracer_provider=self.tracers, meter_provider=MeterProvider([self.reader]))

    def spans(self):
        return {span.name: span for span in self.exported.get_finished_spans()}

    def points(self, name):
        return [
            point
            for group in self.reader.get_metrics_data().resource_metrics
            for scope in group.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
            if metric.name == name
        ]


@pytest.fixture
def telemetry(monkeypatch):
    monkeypatch.setenv("AF_OTEL_SLOW_REQUEST", "0.05")
    made = Telemetry()
    made.instrument()
    yield made
    http.uninstrument()
    assert RequestHandler._execute.__module__ == "tornado.web"
    assert AsyncHTTPClient.fetch.__module__ == "tornado.httpclient"


@contextlib.asynccontextmanager
async def serving(*handlers):
    server = HTTPServer(Application(handlers or [(r"/echo", Echo)]))
    listening, port = bind_unused_port()
    server.add_sockets([listening])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


async def fetch(url, **options):
    return await AsyncHTTPClient().fetch(url, raise_error=False, **options)


@pytest.mark.asyncio
async def test_a_slow_request_has_a_span_with_its_times(telemetry):
    """It is made at the end; a quick one has none."""
    async with serving((r"/slow", Slow), (r"/echo", Echo)) as url:
        await fetch(f"{url}/slow")
        await fetch(f"{url}/echo")
    (span,) = telemetry.exported.get_finished_spans()
    assert span.name == "GET /slow"
    assert span.end_time - span.start_time >= 50e6
    assert span.parent is None


@pytest.mark.asyncio
async def test_reading_has_no_span_and_changing_has_one(telemetry):
    """Kernels are listed every few seconds and started by people."""
    async with serving((r"/api/kernels", Echo)) as url:
        await fetch(f"{url}/api/kernels")
        await fetch(f"{url}/api/kernels", method="POST", body="")
    assert list(telemetry.spans()) == ["POST /api/kernels"]


@pytest.mark.asyncio
async def test_a_request_joins_the_trace_that_it_carries(telemetry):
    """What is no `traceparent` is no reason for a span."""
    async with serving() as url:
        await fetch(f"{url}/echo", headers={"traceparent": "canary"})
        await fetch(f"{url}/echo", headers={"traceparent": PARENT})
    (span,) = telemetry.exported.get_finished_spans()
    assert trace.format_trace_id(span.context.trace_id) == "1" * 32
    assert trace.format_span_id(span.parent.span_id) == "2" * 16


@pytest.mark.asyncio
async def test_routes_methods_and_statuses_are_bounded(telemetry):
    """Beyond the bound, routes are `other`; a method that HTTP does not know is `_OTHER`."""

    class Odd(Echo):
        SUPPORTED_METHODS = (*RequestHandler.SUPPORTED_METHODS, "BREW")
        brew = Echo.get

    many = [(rf"/route{number}/x", Odd) for number in range(names.MAX_ROUTES + 50)]
    async with serving(*many) as url:
        for number in range(len(many)):
            await fetch(f"{url}/route{number}/x")
        await fetch(f"{url}/route0/x", method="BREW", allow_nonstandard_methods=True)
    points = telemetry.points("http.server.request.duration")
    routes = {point.attributes["http.route"] for point in points}
    assert len(routes) == names.MAX_ROUTES + 1
    assert "other" in routes
    assert {point.attributes["http.request.method"] for point in points} == {"GET", "_OTHER"}
    assert sum(point.count for point in points) == len(many) + 1


@pytest.mark.asyncio
async def test_only_peers_in_the_facility_learn_of_a_trace(telemetry, monkeypatch):
    """A hub does, with the session; another host does not, nor one that a redirect leads to."""
    session = "5" * 32
    monkeypatch.setenv("BAGGAGE", f"user.hash={'6' * 16},session.id={session}")
    async with serving((r"/hub/api/(.*)", Echo), (r"/hub/away", Away)) as hub, serving() as other:
        monkeypatch.setenv("JUPYTERHUB_API_URL", f"{hub}/hub/api")
        with telemetry.tracers.get_tracer("test").start_as_current_span("work") as span:
            request = HTTPRequest(f"{hub}/hub/api/user", headers={"X-Mine": "1"})
            sent = (await fetch(request)).body
            told = (await fetch(f"{other}/echo")).body
            led = (await fetch(f"{hub}/hub/away?to={other}/echo")).body
    assert trace.format_trace_id(span.get_span_context().trace_id).encode() in sent
    assert f"session.id={session}".encode() in sent
    assert b"user.hash" not in sent
    assert dict(request.headers) == {"X-Mine": "1"}  # the caller's own is as it was
    assert told == led == b'{"traceparent": null, "baggage": null}'
    found = {
        (point.attributes["service.peer.name"], point.attributes["url.template"]): point.count
        for point in telemetry.points("http.client.request.duration")
    }
    assert found == {("hub", "/hub/api/user"): 1, ("other", "other"): 1, ("hub", "other"): 1}


@pytest.mark.asyncio
async def test_a_request_without_an_answer_is_counted_by_its_error(telemetry):
    """The caller gets the error that it would have got."""
    token = sending_to.set("proxy")
    _, port = bind_unused_port()
    _.close()
    with pytest.raises(ConnectionRefusedError):
        await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/api/routes")
    sending_to.reset(token)
    (point,) = telemetry.points("http.client.request.duration")
    assert dict(point.attributes) == {
        "http.request.method": "GET",
        "service.peer.name": "proxy",
        "url.template": "/api/routes",
        "error.type": "ConnectionRefusedError",
    }


@pytest.mark.asyncio
async def test_a_host_does_not_notice_that_telemetry_fails(caplog):
    """Requests are answered; each failure is said once."""

    class Broken:
        def __getattr__(self, name):
            raise RuntimeError(name)

    http.instrument(tracer_provider=Broken(), meter_provider=Broken())
    try:
        async with serving((r"/echo", Echo), (r"/login", Echo)) as url:
            for _ in range(120):
                assert (await fetch(f"{url}/echo")).code == 200
            assert (await fetch(f"{url}/login")).code == 200
            with pytest.raises(HTTPClientError):
                await AsyncHTTPClient().fetch(f"{url}/nowhere")
    finally:
        http.uninstrument()
    said = [record.getMessage() for record in caplog.records if "Telemetry" in record.getMessage()]
    assert said
    assert len(said) == len(set(said))
