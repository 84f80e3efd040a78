"""The Collector's configuration for Kubernetes: the real binary before real and counted stores."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import secrets
import subprocess
import threading
import time

import pytest
from af_otel_semconv.carriers import stored_session_id
from gateways import (
    ALL,
    CONFIGS,
    NO_CLUSTER,
    NONE,
    kubernetes_pods,
    running_gateway,
    running_store,
    self_metrics,
    stored_names,
)
from otlp import new_counter, new_span, resource_metrics, resource_spans

from servers import (
    COLLECTOR_CONFIGS,
    get_json,
    program,
    running_collector,
    running_prometheus,
    wait_for,
)

CLAIMS = {
    "service.name": "jupyter-kernel",
    "service.namespace": "another-facility",
    "service.instance.id": "hub-1",
    "session.id": "a" * 32,
    "user.hash": "0123456789abcdef",
    "k8s.pod.name": "jupyter-mallory",
    "k8s.namespace.name": "kube-system",
    "af_otel.pod.user": "claimed-user",
    "af_otel.hub": True,
    "af_otel.run": "claimed-run",
}
HUB = {"component": "hub", "pod-template-hash": "6d675cf8db"}
HUB_OWNER = ("ReplicaSet", "hub-6d675cf8db")
USER = {"component": "singleuser-server"}
OWN = {"af-otel.io/session-id": "b" * 32, "af-otel.io/user-hash": "fedcba9876543210"}


def post_from(source, gateway, path, body):
    """POST to the Collector from an address of the loopback, as a pod that has it."""
    host, port = gateway.endpoint.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), 10, source_address=(source, 0))
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
    finally:
        connection.close()


def send_from(source, gateway, *spans, resource=CLAIMS):
    post_from(source, gateway, "/v1/traces", {"resourceSpans": [resource_spans(spans, resource)]})


def decided(gateway, number):
    """How many traces the sampler keeps, once it has decided on so many."""
    name = "otelcol_processor_tail_sampling_global_count_traces_sampled"
    found = {k: v for k, v in self_metrics(gateway).items() if k.startswith(name + "{")}
    if sum(found.values()) < number:
        return None
    return int(sum(v for k, v in found.items() if 'sampled="true"' in k))


def test_configuration_is_valid_without_any_variable():
    """The shipped file runs as it is, by the plain binary: each variable has a default."""
    options = [option for config in CONFIGS for option in ("--config", str(config))]
    env = {key: value for key, value in os.environ.items() if not key.startswith("AF_OTEL_")}
    command = [program("collector", "AF_OTEL_COLLECTOR"), "validate", *options]

    result = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=30, check=False
    )

    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def identified(tmp_path_factory):
    """A Collector that knows a hub's pod, a user's, a Dask worker's and impostors'; its store."""
    directory = tmp_path_factory.mktemp("identity")
    with kubernetes_pods(directory / "api") as pods, running_store(directory / "store") as store:
        pods.add("jhub", "hub-1", "127.0.1.1", HUB, owner=HUB_OWNER)
        pods.add("jhub", "jupyter-alice", "127.0.1.2", USER, OWN)
        pods.add("jhub", "dask-worker-1", "127.0.1.3", {"component": "dask-worker"})
        pods.add("else", "hub-2", "127.0.1.4", HUB, owner=HUB_OWNER)
        pods.add("jhub", "labelled-as-hub", "127.0.1.5", HUB)
        theirs = HUB | {"pod-template-hash": "7f"}
        pods.add("jhub", "of-a-deployment", "127.0.1.6", theirs, owner=("ReplicaSet", "hub-x-7f"))
        env = {**ALL, **pods.env, "AF_OTEL_TRACES_OTLP": store.endpoint}
        with running_gateway(directory / "gateway", env, [scrape_nothing(directory)]) as gateway:
            yield gateway, store


def scrape_nothing(directory):
    overlay = directory / "scrape-nothing.yaml"
    overlay.write_text("service: {pipelines: {metrics/scraped: {receivers: [prometheus/self]}}}")
    return overlay


def claiming(name):
    """A span that claims all there is to claim."""
    return new_span(name, attributes={**CLAIMS, "k8s.node.name": "claimed", "kept": "yes"})


def test_pod_is_stored_under_its_own_identity(identified):
    """Another user's session and pseudonym, on resource and span, are overwritten by the pod's own;
    so is what it says of its pod and its facility.
    """
    gateway, store = identified
    send_from("127.0.1.2", gateway, claiming("as alice"), new_span("alice says nothing"))

    span = store.wait_for_span("as alice")
    silent = store.wait_for_span("alice says nothing")

    assert span["resource"] == {
        "service.name": "jupyter-kernel",
        "service.namespace": "testing",
        "service.instance.id": "jhub/jupyter-alice/hub-1",
        "session.id": OWN["af-otel.io/session-id"],
        "user.hash": OWN["af-otel.io/user-hash"],
        "k8s.namespace.name": "jhub",
        "k8s.pod.name": "jupyter-alice",
        "k8s.pod.uid": "uid-jupyter-alice",
        "k8s.node.name": "node-1",
    }
    assert span["attributes"]["session.id"] == OWN["af-otel.io/session-id"]
    assert span["attributes"]["user.hash"] == OWN["af-otel.io/user-hash"]
    assert span["attributes"]["kept"] == "yes"
    assert not [key for key in span["attributes"] if key.startswith("k8s.")]
    assert silent["attributes"] == {
        "session.id": OWN["af-otel.io/session-id"],
        "user.hash": OWN["af-otel.io/user-hash"],
    }


def test_hub_speaks_for_everybody(identified):
    """The hub's spans keep the session, the user and the pod that they are about."""
    gateway, store = identified
    send_from("127.0.1.1", gateway, claiming("as hub"))

    span = store.wait_for_span("as hub")

    assert span["attributes"]["user.hash"] == CLAIMS["user.hash"]
    assert span["attributes"]["session.id"] == stored_session_id(CLAIMS["session.id"])
    assert span["attributes"]["k8s.pod.name"] == CLAIMS["k8s.pod.name"]
    assert span["resource"]["k8s.pod.name"] == "hub-1"
    assert span["resource"]["k8s.deployment.name"] == "hub"
    assert span["resource"]["service.namespace"] == "testing"
    assert span["resource"]["service.instance.id"] == "jhub/hub-1/hub-1"


@pytest.mark.parametrize("last", [3, 4, 5, 6, 9])
def test_other_senders_have_no_user(identified, last):
    """A Dask worker has no user, and keeps the session whose id it knows. The same is true of pods
    that look like the hub's but are in another namespace, have no owner or belong to another
    Deployment, and of senders that are no pod.
    """
    gateway, store = identified
    name = f"from {last}"
    send_from(f"127.0.1.{last}", gateway, claiming(name))

    span = store.wait_for_span(name)

    assert "user.hash" not in span["attributes"]
    assert "user.hash" not in span["resource"]
    assert span["attributes"]["session.id"] == stored_session_id(CLAIMS["session.id"])
    assert span["resource"]["session.id"] == stored_session_id(CLAIMS["session.id"])
    assert span["resource"].get("k8s.pod.name") != CLAIMS["k8s.pod.name"]
    assert span["resource"]["service.instance.id"].endswith("/hub-1")
    assert not [key for key in span["resource"] if key.startswith("af_otel.")]


def test_a_stored_session_id_cannot_be_claimed(identified):
    """Who has read the id of a session in a store cannot add to that session, whatever the type."""
    gateway, store = identified
    seen = OWN["af-otel.io/session-id"]
    send_from("127.0.1.3", gateway, new_span("copied", attributes={"session.id": seen}))
    send_from("127.0.1.3", gateway, new_span("in a list", attributes={"session.id": [seen]}))

    copied, in_list = store.wait_for_span("copied"), store.wait_for_span("in a list")

    assert copied["attributes"]["session.id"] == stored_session_id(seen)
    assert "session.id" not in in_list["attributes"]


@pytest.mark.parametrize("claimed", ["jupyterhub", " JupyterHub", "collector", "kubelet"])
def test_only_the_facilitys_own_pods_have_its_services_names(identified, claimed):
    """A user's pod cannot pass for the hub by its `service.name`; the hub itself may have it."""
    gateway, store = identified
    resource = {"service.name": claimed}
    send_from("127.0.1.2", gateway, new_span(f"user as {claimed}"), resource=resource)
    send_from("127.0.1.1", gateway, new_span(f"hub as {claimed}"), resource=resource)

    user = store.wait_for_span(f"user as {claimed}")
    hub = store.wait_for_span(f"hub as {claimed}")

    assert user["resource"]["service.name"] == "unknown_service"
    assert hub["resource"]["service.name"] == claimed


def test_without_the_policy_no_pod_is_believed(tmp_path):
    """Where anybody may set the annotations and the hub's labels, they are no identity."""
    with kubernetes_pods(tmp_path / "api") as pods, running_store(tmp_path / "store") as store:
        pods.add("jhub", "hub-1", "127.0.1.1", HUB, owner=HUB_OWNER)
        pods.add("jhub", "jupyter-alice", "127.0.1.2", USER, OWN)
        env = {**ALL, **pods.env, "AF_OTEL_TRACES_OTLP": store.endpoint, "AF_OTEL_GUARDED": ""}
        with running_gateway(tmp_path / "gateway", env, [scrape_nothing(tmp_path)]) as gateway:
            for last in (1, 2):
                send_from(f"127.0.1.{last}", gateway, claiming(f"from {last}"))
            found = [store.wait_for_span(f"from {last}") for last in (1, 2)]

    for span in found:
        for attributes in (span["attributes"], span["resource"]):
            assert "user.hash" not in attributes
            assert attributes["session.id"] == stored_session_id(CLAIMS["session.id"])


FORGED = ("up", "ALERTS", "scrape.samples_scraped", "traces.span.metrics.calls", "job:errors:rate",
          "_otelcol_receiver_refused", "af..otel.refused.spans", "target-info", "pod.cpu",
          "jupyterhub.server.active")  # fmt: skip


def test_forged_metrics_are_not_stored(tmp_path):
    """Names that are the facility's are refused, and counted as `reserved`; labels that would name
    another sender are removed, however they are spelt.
    """
    labels = {
        "job": "testing/jupyterhub",
        "instance": "hub-1",
        "exported_job": "jupyterhub",
        "k8s_pod_name": "hub-1",
        "k8s.pod.name": "hub-1",
        "user_hash": CLAIMS["user.hash"],
        "user.-hash": CLAIMS["user.hash"],
        "session.id": CLAIMS["session.id"],
        "kept": "yes",
    }
    with (
        kubernetes_pods(tmp_path / "api") as pods,
        running_prometheus(tmp_path / "prometheus") as prometheus,
    ):
        pods.add("jhub", "hub-1", "127.0.1.1", HUB, owner=HUB_OWNER)
        pods.add("jhub", "jupyter-alice", "127.0.1.2", USER, OWN)
        env = {**pods.env, "AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url}
        overlays = [scrape_nothing(tmp_path)]
        with running_gateway(tmp_path / "gateway", env, overlays) as gateway:
            counters = [new_counter(name, 3, labels) for name in (*FORGED, "user.cells")]
            counters.append({**new_counter("user", 3), "unit": "errors:rate"})
            # Without `service.name`, which would be the label `job`.
            post_from("127.0.1.2", gateway, "/v1/metrics",
                      {"resourceMetrics": [resource_metrics(counters, {})]})  # fmt: skip
            hub = [new_counter("jupyterhub.server.active", 3)]
            post_from("127.0.1.1", gateway, "/v1/metrics",
                      {"resourceMetrics": [resource_metrics(hub, {"service.name": "jupyterhub"})]}
                      )  # fmt: skip
            refused = f'af_otel_refused_points_total{{reason="reserved"}} == {len(FORGED)}'
            wait_for(lambda: prometheus.query(refused), "the refusals")
            for own in ("jupyterhub_server_active_total", "user_cells_total", "user_total"):
                wait_for(lambda name=own: prometheus.query(name), own)
            found = prometheus.query('{job=~"testing/(jupyterhub|unknown_service)"}')

    known = {
        series["metric"]["__name__"]: series["metric"]
        for series in found
        if not series["metric"]["__name__"].startswith(("target_info", "af_otel_refused"))
    }
    assert known == {
        "user_total": {
            "__name__": "user_total",
            "job": "testing/unknown_service",
            "instance": "jhub/jupyter-alice/unknown",
        },
        "user_cells_total": {
            "__name__": "user_cells_total",
            "job": "testing/unknown_service",
            "instance": "jhub/jupyter-alice/unknown",
            "kept": "yes",
        },
        "jupyterhub_server_active_total": {
            "__name__": "jupyterhub_server_active_total",
            "job": "testing/jupyterhub",
            "instance": "jhub/hub-1/unknown",
        },
    }


def test_metrics_have_their_senders_identity(tmp_path):
    """A counter per user is counted under the pod's own user, and nobody else's."""
    with (
        kubernetes_pods(tmp_path / "api") as pods,
        running_prometheus(tmp_path / "prometheus") as prometheus,
    ):
        pods.add("jhub", "jupyter-alice", "127.0.1.2", USER, OWN)
        pods.add("jhub", "dask-worker-1", "127.0.1.3")
        env = {**pods.env, "AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url}
        overlays = [scrape_nothing(tmp_path)]
        with running_gateway(tmp_path / "gateway", env, overlays) as gateway:
            for source in ("127.0.1.2", "127.0.1.3"):
                counters = [
                    new_counter(name, 3, {"user.hash": CLAIMS["user.hash"]})
                    for name in ("user.cells", "user.errors")
                ]
                body = {"resourceMetrics": [resource_metrics(counters, CLAIMS)]}
                post_from(source, gateway, "/v1/metrics", body)
            query = '{__name__=~"user_(cells|errors)_total"}'
            found = wait_for(
                lambda: len(prometheus.query(query)) == 4 and prometheus.query(query),
                "both counters of both pods",
            )
            info = prometheus.query("target_info{k8s_pod_name!=''}")

    users = sorted(series["metric"].get("user_hash", "") for series in found)
    assert users == ["", "", *[OWN["af-otel.io/user-hash"]] * 2]
    assert {series["metric"]["k8s_pod_name"] for series in info} == {
        "jupyter-alice",
        "dask-worker-1",
    }
    assert {series["metric"]["job"] for series in found} == {"testing/jupyter-kernel"}


def test_errors_slow_ones_and_spawns_are_kept(tmp_path):
    """Of a trace that is kept all spans are, also those that come long after; of others none."""
    with running_store(tmp_path / "store") as store:
        env = {**NONE, "AF_OTEL_TRACES_OTLP": store.endpoint}
        with running_gateway(tmp_path / "gateway", env) as gateway:
            failed = new_span("failed cell")
            part = new_span(
                "failed part", trace_id=failed["traceId"], parent_id=failed["spanId"],
                status={"code": 2},
            )  # fmt: skip
            late = new_span("late part", trace_id=failed["traceId"], parent_id=failed["spanId"])
            quick = new_span("quick cell")
            unwanted = new_span("late and dropped", trace_id=quick["traceId"], status={"code": 2})
            spawn = new_span("spawn server")
            route = new_span("add route", trace_id=spawn["traceId"], parent_id=spawn["spanId"])
            gateway.send(failed, quick, new_span("slow cell", seconds=6), spawn)
            gateway.send(part, route)
            wait_for(lambda: len(store.spans()) == 5, "the traces that are kept")
            gateway.send(late, unwanted)
            store.wait_for_span("late part")

            found = stored_names(store)

    assert found == [
        "add route", "failed cell", "failed part", "late part", "slow cell", "spawn server",
    ]  # fmt: skip


def test_traces_of_the_synthetic_user_are_kept(tmp_path):
    """Those of the pod that the hub made for it. No other pod can ask for that, by its spans or by
    KubeSpawner's annotation, which anybody may set.
    """
    with kubernetes_pods(tmp_path / "api") as pods, running_store(tmp_path / "store") as store:
        name = "hub.jupyter.org/username"
        verify = {name: "af-otel-verify"}
        pods.add("jhub", "jupyter-verify", "127.0.1.2", annotations=OWN | verify)
        pods.add("jhub", "jupyter-mallory", "127.0.1.3", annotations=OWN | {name: "mallory"})
        pods.add("jhub", "not-of-the-hub", "127.0.1.4", annotations=verify)
        env = {**NONE, **pods.env, "AF_OTEL_TRACES_OTLP": store.endpoint}
        with running_gateway(tmp_path / "gateway", env, [scrape_nothing(tmp_path)]) as gateway:
            claimed = {"af_otel.verify": True}
            send_from("127.0.1.3", gateway, new_span("mallory", attributes=claimed))
            send_from("127.0.1.4", gateway, new_span("not of the hub"))
            send_from("127.0.1.2", gateway, new_span("one"), new_span("two"))
            wait_for(lambda: len(store.spans()) == 2, "both of its traces")
            gateway.stop()

            found = stored_names(store)
            text = store.spans_file.read_text()

    assert found == ["one", "two"]
    assert "af-otel-verify" not in text


def test_open_spans_do_not_spoil_the_decision(tmp_path):
    """A trace whose root still runs when it is decided on is slow: kept, with its end. One whose
    root has ended is judged as if there had been no markers.
    """
    marker = {"af_otel.pending": True, "af_otel.pending.span_id": "12" * 8}
    with running_store(tmp_path / "store") as store:
        env = {**NONE, "AF_OTEL_TRACES_OTLP": store.endpoint}
        with running_gateway(tmp_path / "gateway", env) as gateway:
            running, ended = secrets.token_hex(16), secrets.token_hex(16)
            gateway.send(
                new_span("long cell", trace_id=running, attributes=marker),
                new_span("short cell", trace_id=ended, attributes=marker),
                new_span("short cell", trace_id=ended),
            )
            wait_for(lambda: stored_names(store) == ["long cell"], "the trace that is open")
            gateway.send(new_span("long cell", trace_id=running, status={"code": 2}))

            found = wait_for(lambda: len(store.spans()) == 2 and store.spans(), "its end")

    assert [span["name"] for span in found] == ["long cell", "long cell"]
    assert found[-1]["status"] == "error"


def test_a_share_is_kept_by_trace(tmp_path):
    """Of the rest the share is stored, whole traces of it; all of them are counted."""
    with (
        running_store(tmp_path / "store") as store,
        running_prometheus(tmp_path / "prometheus") as prometheus,
    ):
        env = {
            "AF_OTEL_TRACES_OTLP": store.endpoint,
            "AF_OTEL_SHARE_PERCENT": "20",
            "AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url,
        }
        with running_gateway(tmp_path / "gateway", env) as gateway:
            for _ in range(10):
                traces = [secrets.token_hex(16) for _ in range(50)]
                gateway.send(*(new_span("cell", trace_id=trace) for trace in traces))
                gateway.send(*(new_span("part", trace_id=trace) for trace in traces))
            query = 'traces_span_metrics_calls_total{span_name="cell"}'
            wait_for(
                lambda: [s for s in prometheus.query(query) if s["value"][1] == "500"],
                "500 cells counted",
            )
            kept = wait_for(lambda: decided(gateway, 500), "500 decisions")
            wait_for(lambda: len(store.spans()) == 2 * kept, f"{kept} traces")
            stored = store.spans()

    whole = {span["trace_id"] for span in stored if span["name"] == "cell"}
    assert {span["trace_id"] for span in stored if span["name"] == "part"} == whole
    assert len(whole) == kept
    assert 50 <= kept <= 160


def test_calls_between_services_are_counted(tmp_path):
    """A client's and a server's span make an edge of the service graph; a span's exemplar names a
    trace.
    """
    with running_prometheus(tmp_path / "prometheus") as prometheus:
        env = {"AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url}
        with running_gateway(tmp_path / "gateway", env) as gateway:
            call = new_span("submit", kind=3)
            answer = new_span(
                "compute graph", kind=2, trace_id=call["traceId"], parent_id=call["spanId"]
            )
            gateway.send(call, resource={"service.name": "jupyter-kernel"})
            gateway.send(answer, resource={"service.name": "dask-scheduler"})
            edge = wait_for(
                lambda: prometheus.query("traces_service_graph_request_total"), "the edge"
            )
            exemplars = wait_for(
                lambda: get_json(
                    f"{prometheus.url}/api/v1/query_exemplars",
                    query='traces_span_metrics_duration_seconds_bucket{span_name="submit"}',
                    start=str(time.time() - 60),
                    end=str(time.time() + 60),
                )["data"],
                "exemplars",
            )

    assert edge[0]["metric"]["client"] == "jupyter-kernel"
    assert edge[0]["metric"]["server"] == "dask-scheduler"
    assert exemplars[0]["exemplars"][0]["labels"]["trace_id"] == call["traceId"]


def test_collector_tells_of_itself(tmp_path):
    """Its own numbers go where all metrics go, as those of its pod."""
    with running_prometheus(tmp_path / "prometheus") as prometheus:
        env = {"AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url, "AF_OTEL_INSTANCE": "pod-1"}
        with running_gateway(tmp_path / "gateway", env):
            query = 'otelcol_exporter_queue_capacity{job="testing/collector",instance="pod-1"}'
            found = wait_for(lambda: prometheus.query(query), "its own metrics")

    assert "otlp_grpc/journal" in {series["metric"]["exporter"] for series in found}


def test_names_and_state_lose_what_may_be_secret(tmp_path):
    """Queries and logins inside a span's name, and the trace's state, are taken out."""
    with running_store(tmp_path / "store") as store:
        store.send(
            new_span("GET /hub/login?token=canary next"),
            new_span("https://alice:canary@hub.example/x"),
            new_span("which one?", traceState="vendor=canary"),
        )
        found = store.wait_for_spans(lambda found: len(found) == 3)
        text = store.spans_file.read_text()

    assert sorted(span["name"] for span in found) == [
        "GET /hub/login next",
        "https://hub.example/x",
        "which one?",
    ]
    assert "canary" not in text


def test_hubs_of_all_versions_have_the_same_names(tmp_path):
    """What JupyterHub 4 and 5 call a status of its own is a reason of failure, as 6 has it."""
    said = (
        'jupyterhub_server_spawn_duration_seconds_count{status="success"} 7\n'
        'jupyterhub_server_spawn_duration_seconds_count{status="throttled"} 2\n'
        'jupyterhub_server_spawn_duration_seconds_count{status="failure"} 1\n'
        'jupyterhub_server_spawn_duration_seconds_count{status="failure",reason="quota"} 3\n'
    )
    text = (
        "# TYPE jupyterhub_server_spawn_duration_seconds histogram\n"
        + said
        + said.replace("_count", "_sum")
        + said.replace("_count{", '_bucket{le="+Inf",')
    )
    with (
        kubernetes_pods(tmp_path / "api") as pods,
        running_prometheus(tmp_path / "prometheus") as prometheus,
        answering(text, "127.0.1.1") as hub,
    ):
        pods.add("jhub", "hub-1", "127.0.1.1", HUB, owner=HUB_OWNER)
        token = tmp_path / "token"
        token.write_text("secret-token")
        overlay = tmp_path / "scrape-the-hub.yaml"
        overlay.write_text("service: {pipelines: {metrics/scraped: {receivers: [prometheus/hub]}}}")
        env = {
            **pods.env,
            "AF_OTEL_HUB_PORT": str(hub.port),
            "AF_OTEL_HUB_TOKEN_FILE": str(token),
            "AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url,
        }
        with running_gateway(tmp_path / "gateway", env, [overlay]):
            query = "jupyterhub_server_spawn_duration_seconds_count"
            found = wait_for(lambda: prometheus.query(query), "the hub's metrics", 60)

    counted = {
        (series["metric"]["status"], series["metric"].get("reason", "")): series["value"][1]
        for series in found
    }
    assert counted == {
        ("success", ""): "7",
        ("failure", "throttled"): "2",
        ("failure", ""): "1",
        ("failure", "quota"): "3",
    }
    assert found[0]["metric"]["job"] == "testing/jupyterhub"
    assert found[0]["metric"]["instance"] == "hub-1"
    assert hub.asked[0] == ("/hub/metrics", "Bearer secret-token")


def test_scraped_pods_are_who_they_are(tmp_path):
    """A pod with the hub's labels is not asked with the hub's token. What a user's server answers
    has neither names that are the facility's nor labels that name another user.
    """
    text = (
        'ALERTS{alertname="x"} 1\notelcol_process_uptime 1\njupyterhub_running_servers 9\n'
        'theirs{user_hash="0123456789abcdef",k8s_pod_name="hub-1",job="jupyterhub",kept="yes"} 1\n'
    )
    with (
        kubernetes_pods(tmp_path / "api") as pods,
        running_prometheus(tmp_path / "prometheus") as prometheus,
        answering(text, "127.0.1.2") as server,
        answering(text, "127.0.1.5") as impostor,
    ):
        scraped = {
            "prometheus.io/scrape": "true",
            "prometheus.io/path": "/metrics",
            "prometheus.io/port": str(server.port),
        }
        pods.add("jhub", "jupyter-alice", "127.0.1.2", USER, scraped)
        pods.add("jhub", "labelled-as-hub", "127.0.1.5", HUB)
        overlay = tmp_path / "scrape.yaml"
        overlay.write_text(
            "service: {pipelines: {metrics/scraped: {receivers: [prometheus/hub, "
            "prometheus/servers]}}}"
        )
        env = {
            **pods.env,
            "AF_OTEL_HUB_PORT": str(impostor.port),
            "AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url,
        }
        with running_gateway(tmp_path / "gateway", env, [overlay]):
            found = wait_for(lambda: prometheus.query("theirs"), "the server's metrics", 60)
            names = {
                series["metric"]["__name__"]
                for series in prometheus.query('{job=~"testing/jupyter.*"}')
            }

    labels = found[0]["metric"]
    labels.pop("__name__")
    assert labels == {
        "job": "testing/jupyter-server",
        "instance": "jupyter-alice",
        "exported_job": "jupyterhub",
        "kept": "yes",
    }
    assert not names & {"ALERTS", "otelcol_process_uptime", "jupyterhub_running_servers"}
    assert impostor.asked == []


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_wrong_credentials_are_told(tmp_path, right):
    """A destination that wants a login gets it; one that refuses it is in the log and in what the
    Collector counts, with the status that it answered with.
    """
    guarded = tmp_path / "guarded.yaml"
    guarded.write_text(
        "extensions: {basicauth: {htpasswd: {inline: 'collector:right'}}}\n"
        "receivers: {otlp: {protocols: {http: {auth: {authenticator: basicauth}}}}}\n"
        "service: {extensions: [health_check, basicauth]}\n"
    )
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "username").write_text("collector")
    (secret / "password").write_text("right" if right else "wrong")
    login = tmp_path / "login.yaml"
    login.write_text(
        f"extensions: {{basicauth/traces: {{client_auth: {{username_file: {secret}/username, "
        f"password_file: {secret}/password}}}}}}\n"
        "exporters: {otlp_http/traces: {auth: {authenticator: basicauth/traces}}}\n"
        "service: {extensions: [health_check, file_storage, basicauth/traces]}\n"
    )
    with running_collector(tmp_path / "store", (*COLLECTOR_CONFIGS, guarded)) as store:
        env = {**ALL, "AF_OTEL_TRACES_OTLP": store.endpoint}
        with running_gateway(tmp_path / "gateway", env, [NO_CLUSTER, login]) as gateway:
            gateway.send(new_span("guarded"))
            if right:
                store.wait_for_span("guarded")
                return
            failed = "otelcol_exporter_send_failed_spans"
            wait_for(
                lambda: [v for k, v in self_metrics(gateway).items() if k.startswith(failed) and v],
                "the failure counted",
            )
            log = gateway.log.read_text()

    assert not store.spans()
    assert "HTTP Status Code 401" in log
    assert "otlp_http/traces" in log


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers every GET with the server's text."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.server.text.encode())

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def answering(text, address):
    """Something that has metrics, at an address of the loopback."""
    server = http.server.ThreadingHTTPServer((address, 0), Answering)
    server.text, server.asked, server.port = text, [], server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
