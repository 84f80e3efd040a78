"""Each sender's share of a Collector on Kubernetes: the real one behind a real nginx.

Senders are pods that a Kubernetes API knows, by addresses of the loopback.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import threading
import time
from collections import Counter

import grpc
import psutil
import pytest
from attacks import JSON
from gateways import ALL, kubernetes_pods, limited_gateway, running_store
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp import new_span, resource_spans

from servers import wait_for

HOSTILE, ORDINARY, GRPC = "127.0.2.1", "127.0.2.2", "127.0.0.1"
LIMITED = 429
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """The Collector behind nginx, and the store that it sends to."""
    directory = tmp_path_factory.mktemp("limited")
    with kubernetes_pods(directory / "api") as pods, running_store(directory / "store") as store:
        pods.add("jhub", "hostile", HOSTILE)
        pods.add("jhub", "ordinary", ORDINARY)
        pods.add("jhub", "grpc", GRPC)
        env = {**ALL, **pods.env, "AF_OTEL_TRACES_OTLP": store.endpoint}
        with limited_gateway(directory, env) as gateway:
            yield gateway, store


def body_of(*spans):
    return json.dumps({"resourceSpans": [resource_spans(spans, {"service.name": "x"})]}).encode()


LARGE = body_of(new_span("large", attributes={f"key-{n}": "x" * 900 for n in range(100)}))
MANY = body_of(*(new_span(f"one of many {n}") for n in range(5_000)))


def post(gateway, source, body, headers=JSON):
    """Return the status that a pod's request is answered with; 0 where none came."""
    host, port = gateway.endpoint.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), 30, source_address=(source, 0))
    try:
        connection.request("POST", "/v1/traces", body, headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def at_once(number, send):
    """Return how often each status came when so many processes sent together."""
    answers = Counter()
    barrier = threading.Barrier(number)

    def one(index):
        barrier.wait()
        answers[send(index)] += 1

    threads = [threading.Thread(target=one, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_pod_is_known_behind_nginx_whatever_it_says_of_its_address(limited):
    """Over HTTP and over gRPC."""
    gateway, store = limited
    forged = {**JSON, "X-Real-IP": HOSTILE, "x-real-ip": HOSTILE, "X-Forwarded-For": HOSTILE}
    assert post(gateway, ORDINARY, body_of(new_span("over http")), forged) == 200
    span = new_span("over grpc")
    for key in ("traceId", "spanId"):  # hexadecimal in OTLP's JSON only
        span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    request = json_format.Parse(body_of(span), ExportTraceServiceRequest())
    with grpc.insecure_channel(gateway.grpc_endpoint) as channel:
        export = channel.unary_unary(EXPORT)
        export(request.SerializeToString(), timeout=10, metadata=[("x-real-ip", HOSTILE)])

    assert store.wait_for_span("over http")["resource"]["k8s.pod.name"] == "ordinary"
    assert store.wait_for_span("over grpc")["resource"]["k8s.pod.name"] == "grpc"


def test_many_processes_of_a_pod_send_at_once(limited):
    """A Dask cluster in a notebook, say: no request of theirs is refused."""
    gateway, store = limited
    bodies = [body_of(new_span(f"process {n}")) for n in range(32)]
    for _ in range(3):
        answers = at_once(32, lambda n: post(gateway, ORDINARY, bodies[n]))
        assert answers == {200: 32}
    store.wait_for_spans(
        lambda spans: sum(s["name"].startswith("process ") for s in spans) == 96, "all of them"
    )


def test_a_flood_of_one_pod_is_limited_and_others_do_not_notice(limited):
    """64 connections that send as fast as they can: large requests, small ones, compressed ones."""
    gateway, store = limited
    process = psutil.Process(gateway.process.pid)
    packed = gzip.compress(MANY)
    kinds = {
        "large": (MANY, JSON),
        "compressed": (packed, {**JSON, "Content-Encoding": "gzip"}),
        "small": (body_of(new_span("flood")), JSON),
    }
    answers = {kind: Counter() for kind in kinds}
    stopped = threading.Event()

    def flood(kind):
        body, headers = kinds[kind]
        while not stopped.is_set():
            answers[kind][post(gateway, HOSTILE, body, headers)] += 1

    floods = [
        threading.Thread(target=flood, args=(kind,))
        for kind, number in {"large": 24, "compressed": 16, "small": 24}.items()
        for _ in range(number)
    ]
    for thread in floods:
        thread.start()
    sent, peak, refused = [], 0, Counter()
    began = time.monotonic()
    while time.monotonic() < began + 10:
        name = f"victim {len(sent)}"
        refused[post(gateway, ORDINARY, body_of(new_span(name)))] += 1
        sent.append(name)
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.1)
    stopped.set()
    for thread in floods:
        thread.join()
    seconds = time.monotonic() - began

    assert refused == {200: len(sent)}
    # Within the memory limit, the Collector never had to refuse anybody: 503 is its answer.
    assert {status for kind in answers.values() for status in kind} <= {200, LIMITED}
    # So many a second, and a burst.
    assert answers["large"][200] + answers["compressed"][200] <= 2 * seconds + 21
    assert answers["small"][200] <= 50 * seconds + 201
    assert peak < 512 * 2**20
    store.wait_for_spans(lambda spans: set(sent) <= {s["name"] for s in spans}, "all victims", 60)


def test_a_large_request_now_and_then_is_taken(limited):
    """As of a Dask scheduler after a computation of thousands of tasks."""
    gateway, _ = limited
    assert len(LARGE) > 100_000 - 10_000
    wait_for(lambda: post(gateway, ORDINARY, MANY) == 200, "the first")
    assert at_once(2, lambda _: post(gateway, ORDINARY, MANY)) == {200: 2}
