"""The facility's servers are reached by address or through the cluster, as whom they ask for."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import threading

import pytest

from af_otel.errors import AfOtelError
from af_otel.facility import parse_text
from af_otel.verify import reach
from af_otel.verify.door import front_door

FILE = """
name: tested
namespace: af
hub: {{namespace: jhub}}
destinations:
  traces: {traces}
  metrics: {{remote_write: {{endpoint: "http://elsewhere:1"}}, query: "http://prometheus.monitoring:9090/base/"}}
"""


@contextlib.contextmanager
def serving(status=200, body=None, location=""):
    """A server that answers everything alike, and the requests that it got."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            got.append((self.path, dict(self.headers)))
            content = json.dumps(body or {}).encode()
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Objects:
    """What a cluster has, and where its Services are answered."""

    def __init__(self, url="", **objects):
        self.url = url
        self.objects = objects
        self.forwarded = []

    def get(self, ref):
        return self.objects.get(f"{ref.kind}_{ref.namespace}_{ref.name}".replace("-", "_"))

    @contextlib.contextmanager
    def forward(self, namespace, target, port):
        self.forwarded.append((namespace, target, port))
        yield self.url


SERVICE = {"spec": {"selector": {"app": "x"}, "ports": [{"port": 80, "name": "http"}]}}


def facility(traces):
    return parse_text(FILE.format(traces=traces))


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("tempo", "af"),
        ("tempo.monitoring", "monitoring"),
        ("tempo.monitoring.svc", "monitoring"),
        ("tempo.monitoring.svc.cluster.local", "monitoring"),
    ],
)
def test_an_address_of_the_cluster_goes_through_it(host, found):
    """However its name is written; errors call it by that name."""
    with serving(body={"traces": []}) as (url, got):
        cluster = Objects(url, **{f"Service_{found}_tempo": SERVICE})
        described = facility(f'{{endpoint: "http://x:4318", query: "http://{host}:3200"}}')
        with reach.trace_store(cluster, described) as store:
            assert store.session_traces("s1", start=0).ids == []
            assert store.access.called == f"http://{host}:3200"
    assert cluster.forwarded == [(found, "service/tempo", 3200)]
    assert got[0][0].startswith("/api/search?")


def test_any_other_address_is_asked_as_it_is():
    """A server outside, and a Service that stands for one."""
    with serving(body={"data": {"resultType": "vector", "result": []}}) as (url, _):
        described = facility(f'{{endpoint: "{url}", query: "{url}"}}')
        cluster = Objects(Service_monitoring_prometheus={"spec": {"type": "ExternalName"}})
        with reach.trace_store(cluster, described) as store:
            assert store.url == url
        with reach.prometheus(cluster, described) as prometheus:
            assert prometheus.url == "http://prometheus.monitoring:9090/base/"
    assert cluster.forwarded == []


def secret(**data):
    return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}}


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ("{basic: {secret: login}}", "Basic " + base64.b64encode(b"me:secret").decode()),
        ("{bearer: {secret: login, key: password}}", "Bearer secret"),
    ],
)
def test_queries_carry_what_the_destination_asks_for(auth, header):
    """Headers and credentials of the Collector's own way; no secret is shown."""
    with serving(body={"traces": []}) as (url, got):
        cluster = Objects(Secret_af_login=secret(username="me", password="secret"))
        described = facility(
            f'{{endpoint: "{url}", query: "{url}", auth: {auth}, '
            "headers: {X-Scope-OrgID: tenant, X-Key: {secret: login, key: password}}}"
        )
        with reach.trace_store(cluster, described) as store:
            store.session_traces("s1", start=0)
            assert "secret" not in repr(store)
    assert got[0][1]["Authorization"] == header
    assert got[0][1]["X-Scope-OrgID"] == "tenant"
    assert got[0][1]["X-Key"] == "secret"


@pytest.mark.parametrize(
    ("traces", "told"),
    [
        ('{endpoint: "http://x:1"}', "does not say where traces can be looked up"),
        (
            '{endpoint: "http://x:1", query: "http://x:1", auth: {bearer: {secret: none}}}',
            "There is no Secret `none`",
        ),
        (
            '{endpoint: "http://x:1", query: "http://x:1", auth: {bearer: {secret: login}}}',
            "There is no key `token` in the Secret `login`",
        ),
    ],
)
def test_what_is_missing_is_named(traces, told):
    """The field of the file, the Secret, its key."""
    cluster = Objects(Secret_af_login=secret(password="x"))
    with pytest.raises(AfOtelError, match=told), reach.trace_store(cluster, facility(traces)):
        pass


def test_the_front_door_is_where_a_hub_answers():
    """Below its base URL; and a Service that is not there, or leads elsewhere, is told."""
    with serving(body={"version": "6.1.1"}) as (url, got):
        cluster = Objects(url, Service_jhub_proxy_public=SERVICE)
        with front_door(cluster, "jhub", "proxy-public", "/base/") as door:
            assert (door.url, door.tls) == (url, None)
    assert got[0][0] == "/base/hub/api/"

    with serving(status=503) as (url, _):
        cluster = Objects(url, Service_jhub_proxy_public=SERVICE)
        with (
            pytest.raises(AfOtelError) as told,
            front_door(cluster, "jhub", "proxy-public", "/"),
        ):
            pass
    assert told.value.where.endswith("port 80: 503, port 80: no answer (by TLS)")

    with (
        pytest.raises(AfOtelError, match="There is no Service `other` in `jhub`"),
        front_door(cluster, "jhub", "other", "/"),
    ):
        pass
