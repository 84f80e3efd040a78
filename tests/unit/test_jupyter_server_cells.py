"""Cells in the server: bounded, and never in the way."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from af_otel_instrumentation.jupyter_server import cells
from af_otel_instrumentation.jupyter_server.cells import CellTracer, traced_connection
from af_otel_instrumentation.jupyter_server.environment import Origin
from jupyter_server.gateway.connections import GatewayWebSocketConnection
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@pytest.fixture
def exported():
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exported):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return CellTracer(Origin.of_environment(), provider, MeterProvider())


def connection():
    """What a tracer reads of a websocket."""
    return SimpleNamespace(kernel_id="k", subprotocol="", channels={"shell": object()})


def cell(number):
    header = {"msg_id": str(number), "msg_type": "execute_request"}
    return json.dumps({"channel": "shell", "header": header, "content": {"code": "1"}})


def test_open_cells_are_bounded(tracer, exported):
    """A client that asks and asks gets all of it run, the surplus untraced."""
    here = connection()
    sent = [tracer.request(here, cell(number)) for number in range(cells.MAX_OPEN + 2)]
    assert "traceparent" in sent[0]
    assert "traceparent" in sent[cells.MAX_OPEN - 1]
    assert sent[cells.MAX_OPEN :] == [cell(cells.MAX_OPEN), cell(cells.MAX_OPEN + 1)]
    tracer.kernel_died("k", "killed")
    assert len(exported.get_finished_spans()) == cells.MAX_OPEN
    assert tracer.waiting("k") == []
    assert "traceparent" in tracer.request(here, cell(0))


def test_a_request_sent_twice_is_one_cell(tracer, exported):
    """Front ends send again what they believe lost."""
    here = connection()
    assert "traceparent" in tracer.request(here, cell(1))
    assert tracer.request(here, cell(1)) == cell(1)
    tracer.kernel_ended("k", tracer.waiting("k"))
    assert len(exported.get_finished_spans()) == 1


def test_what_fails_in_telemetry_does_not_reach_the_front_end(caplog):
    """The message goes on as it came, and the failure is said once."""
    seen = []

    class Host(ZMQChannelsWebsocketConnection):
        kernel_id = "k"
        subprotocol = ""

        def __init__(self):
            self.channels = {"shell": object()}

        def handle_incoming_message(self, incoming_msg):
            seen.append(incoming_msg)

        def handle_outgoing_message(self, stream, outgoing_msg):
            seen.append(outgoing_msg)

    class Broken:
        def get_tracer(self, *_):
            return self

        def start_span(self, *_args, **_kwargs):
            raise RuntimeError("canary")

    tracer = CellTracer(Origin.of_environment(), Broken(), MeterProvider())
    host = traced_connection(Host, tracer)()
    for number in range(3):
        host.handle_incoming_message(cell(number))
    host.handle_incoming_message("{execute_request")
    host.handle_outgoing_message("shell", [b"no", b"message"])
    assert seen == [cell(0), cell(1), cell(2), "{execute_request", [b"no", b"message"]]
    assert len([record for record in caplog.records if "telemetry" in record.message.lower()]) == 1


def test_the_class_of_the_connections_keeps_its_name(tracer):
    """Configuration goes by it. A gateway's connections, without ZeroMQ, stay as they are."""
    traced = traced_connection(ZMQChannelsWebsocketConnection, tracer)
    assert issubclass(traced, ZMQChannelsWebsocketConnection)
    assert traced.__name__ == "ZMQChannelsWebsocketConnection"
    assert traced_connection(GatewayWebSocketConnection, tracer) is GatewayWebSocketConnection
