"""The plain Collector configuration: the real binary before a real Jaeger and Prometheus."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from af_otel_semconv import attributes
from otlp import new_counter, new_span, otlp_attributes, read_spans

from af_otel.backends.spans import Link
from servers import (
    ROOT,
    free_port,
    get_json,
    program,
    running_collector,
    running_jaeger,
    running_prometheus,
    wait_for,
)

BASE = ROOT / "collector-config" / "base.yaml"
LOCAL = ROOT / "collector-config" / "local.yaml"
KERNEL = {
    "service.name": "jupyter-kernel",
    "service.namespace": "testing",
    "service.instance.id": "kernel-1",
}


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory):
    with running_jaeger(tmp_path_factory.mktemp("jaeger")) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


@pytest.fixture(scope="module")
def local(tmp_path_factory, jaeger, prometheus):
    """The Collector of the local facility, with Jaeger and Prometheus behind it."""
    directory = tmp_path_factory.mktemp("collector")
    env = {
        "AF_OTEL_TRACES_OTLP": jaeger.otlp_endpoint,
        "AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url,
        "AF_OTEL_SPAN_METRICS_INTERVAL": "500ms",
    }
    with running_collector(directory, (BASE, LOCAL), env) as running:
        yield running


@pytest.mark.parametrize("configs", [(BASE,), (BASE, LOCAL)], ids=["base", "local"])
def test_configuration_is_valid_without_any_variable(configs):
    """The shipped files run as they are: each variable has a default."""
    options = [option for config in configs for option in ("--config", str(config))]
    env = {key: value for key, value in os.environ.items() if not key.startswith("AF_OTEL_")}
    command = [program("collector", "AF_OTEL_COLLECTOR"), "validate", *options]

    result = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=30, check=False
    )

    assert result.returncode == 0, result.stderr


def test_span_comes_out_as_it_went_in(collector):
    """Names, times, parents, links, events and harmless attributes pass unchanged."""
    parent = new_span("execute cell", kind=2, attributes={"jupyter.cell.status": "ok"})
    child = new_span(
        "run cell",
        trace_id=parent["traceId"],
        parent_id=parent["spanId"],
        attributes={"session.id": "s1", "count": 3, "ratio": 0.5, "named": True, "list": ["a"]},
        links=[{"traceId": "ab" * 16, "spanId": "cd" * 8}],
        events=[{"name": "output", "timeUnixNano": "1700000000000000000"}],
        status={"code": 2},
    )
    collector.send(parent, child, resource=KERNEL)

    spans = {span["name"]: span for span in collector.wait_for_spans(lambda found: len(found) == 2)}

    assert spans["execute cell"]["kind"] == "server"
    assert spans["execute cell"]["parent_id"] is None
    assert spans["run cell"] == {
        "name": "run cell",
        "trace_id": parent["traceId"],
        "span_id": child["spanId"],
        "parent_id": parent["spanId"],
        "kind": "internal",
        "start": int(child["startTimeUnixNano"]),
        "end": int(child["endTimeUnixNano"]),
        "status": "error",
        "status_message": "",
        "attributes": {
            "session.id": "s1", "count": 3, "ratio": 0.5, "named": True, "list": ["a"],
        },
        "resource": KERNEL,
        "scope": "test",
        "links": [{"trace_id": "ab" * 16, "span_id": "cd" * 8, "attributes": {}}],
        "events": [{"name": "output", "time": 1700000000000000000, "attributes": {}}],
    }  # fmt: skip


def test_no_span_ends_before_it_began(collector):
    """A clock that was put back makes such a span, which some stores cannot search by duration."""
    span = new_span("put back", seconds=-3600)
    collector.send(span)

    found = collector.wait_for_span("put back")

    assert found["end"] == found["start"] == int(span["startTimeUnixNano"])


def test_every_attribute_of_ours_is_known_to_be_harmless():
    """Its key is not compared with the patterns of keys, which would be most of the work."""
    ours = {
        value
        for name, value in vars(attributes).items()
        if name.isupper() and isinstance(value, str) and "." in value
    }
    known = set(
        yaml.safe_load(BASE.read_text())["processors"]["redaction/span_keys"]["ignored_keys"]
    )

    assert ours <= known


CANARY = "canary-7f3a"
PLANTED = {
    "url.query": f"token={CANARY}&code={CANARY}&state={CANARY}",
    "url.full": f"https://alice:{CANARY}@hub.example/hub/login?_xsrf={CANARY}#token={CANARY}",
    "http.url": f"http://hub.example/user/alice/api/kernels?token={CANARY}",
    "some.page": f"/user/alice/lab?reset&token={CANARY}",
    "pages": ["/lab", f"/lab?reset&token={CANARY}"],
    "bucket": f"https://s3.example/b?X-Amz-Signature={CANARY}&access_token={CANARY}",
    "database": f"postgresql://alice:{CANARY}@db.example/x",
    "said": f"401 for Bearer {CANARY}",
    "quoted": f"'Bearer {CANARY}'",
    "form": f"password={CANARY}&name=x",
    "next": f"/login?next=%2Fhub%3Ftoken%3D{CANARY}",
    "fragment": f"https://hub.example/#access_token={CANARY}",
    "remote": f"https://{CANARY}@forge.example/x.git",
    "body": f'{{"api_key": "{CANARY}"}}',
    "entries": [f'{{"password":"{CANARY}"}}'],
    "jwt": f"eyJhbGciOiJI.{CANARY}",
    "forge": f"glpat-{CANARY}-000000",
    "ssh.private_key": CANARY,
    "sent": [f"token {CANARY}"],
    "http.target": f"/hub/oauth_callback?code={CANARY}&state={CANARY}",
    "http.request.header.cookie": [f"jupyterhub-session-id={CANARY}"],
    "http.response.header.set-cookie": [CANARY],
    "http.request.header.authorization": [f"token {CANARY}"],
    "http.request.header.referer": [f"http://hub.example/lab?token={CANARY}"],
    "http.request.header.x-xsrftoken": CANARY,
    "JUPYTERHUB_API_TOKEN": CANARY,
    "db.password": CANARY,
    "aws.secret_access_key": CANARY,
    "oauth.code": CANARY,
    "code": f"x = 1\n{CANARY}",
    "jupyter.cell.source": CANARY,
    "jupyter.cell.output": CANARY,
    "exception.message": CANARY,
    "exception.stacktrace": f"Traceback\n  {CANARY}",
}


def test_no_secret_gets_through(local, jaeger, prometheus):
    """A canary planted wherever a library may put a secret is in no file, trace or series."""
    exception = {
        "name": "exception",
        "timeUnixNano": "1700000000000000000",
        "attributes": otlp_attributes(
            {key: PLANTED[key] for key in ("exception.message", "exception.stacktrace")}
        ),
    }
    span = new_span(
        "GET /hub/login",
        attributes={"planted": "yes", **PLANTED},
        events=[exception, {"name": f"GET /lab?token={CANARY}", "timeUnixNano": "1"}],
        status={"code": 2, "message": f"ValueError: {CANARY}"},
    )
    resource = {**KERNEL, "process.command_args": ["jupyter-lab", f"--token={CANARY}"]}
    local.send(span, resource=resource)
    labels = {"api_token": CANARY, "url.full": CANARY, "kept": "yes", "state": "ok"}
    labels |= {key: PLANTED[key] for key in ("bucket", "database", "said", "pages", "body", "jwt")}
    counter = new_counter("planted", 1, labels)
    local.send_metrics(counter, resource=resource)

    trace = wait_for(lambda: jaeger.raw(span["traceId"]), "the trace in Jaeger")
    tagged = {"service": KERNEL["service.name"], "tags": '{"planted": "yes"}'}
    found = wait_for(
        lambda: get_json(f"{jaeger.url}/api/traces", **tagged)["data"], "the trace by its tag"
    )
    series = wait_for(lambda: prometheus.query("planted_total"), "the counter")
    every = get_json(f"{prometheus.url}/api/v1/series", **{"match[]": '{__name__=~".+"}'})
    wait_for(lambda: local.spans("GET /hub/login"), "the span in the file")

    assert (series[0]["metric"]["kept"], series[0]["metric"]["state"]) == ("yes", "ok")
    for answer in (trace, found, series, every):
        assert CANARY not in json.dumps(answer)
    for file in filter(Path.is_file, local.directory.rglob("*")):
        assert CANARY not in file.read_text(errors="replace")


def test_urls_keep_what_is_no_secret(local):
    """A redacted URL still says which page it was."""
    local.send(new_span("GET", attributes=PLANTED))

    kept = local.wait_for_span("GET")["attributes"]

    assert kept["url.full"] == "https://hub.example/hub/login"
    assert kept["http.target"] == "/hub/oauth_callback"
    assert kept["some.page"] == "/user/alice/lab?reset&****"


def test_trace_is_stored(local, jaeger):
    """A trace is found by id, by its session, and with what links it to others."""
    span = new_span(
        "execute cell",
        kind=2,
        attributes={"session.id": "session-in-store"},
        links=[{"traceId": "ab" * 16, "spanId": "cd" * 8}],
    )
    local.send(span, resource=KERNEL)

    (stored,) = wait_for(lambda: jaeger.client.trace(span["traceId"]), "the trace by id")
    found = wait_for(
        lambda: jaeger.client.session_traces("session-in-store", start=0).ids, "the session"
    )

    assert stored.links == (Link("ab" * 16, "cd" * 8),)
    assert stored.service == "jupyter-kernel"
    assert found == [span["traceId"]]


def test_span_metrics_count_names_not_prefixes(local, prometheus):
    """Every prefix of a task is one series, and what is only announced is not counted."""
    tasks = [new_span(f"run tasks {prefix}", seconds=3) for prefix in ("inc", "add", "read")]
    pending = new_span("run tasks slow", attributes={"af_otel.pending": True})
    local.send(*tasks, pending, resource={**KERNEL, "service.name": "dask-scheduler"})
    local.send(tasks[0] | {"spanId": "12" * 8}, resource={"service.name": "dask-scheduler",
               "service.namespace": "testing", "service.instance.id": "another"})  # fmt: skip

    query = 'traces_span_metrics_calls_total{service_name="dask-scheduler"}'
    series = wait_for(
        lambda: [s for s in prometheus.query(query) if s["value"][1] == "4"], "4 calls counted"
    )
    under_5s = prometheus.query(
        'traces_span_metrics_duration_seconds_bucket{service_name="dask-scheduler",le="5"}'
    )

    assert [s["metric"]["span_name"] for s in series] == ["run tasks"]
    assert series[0]["metric"]["service_namespace"] == "testing"
    assert len(prometheus.query(query)) == 1
    assert under_5s[0]["value"][1] == "4"


def test_span_metrics_count_no_numbers_of_a_loop(local, prometheus):
    """Thousands of names of a user's would be 15 buckets each, and leave no room for others."""
    toys = [new_span(f"toy {number}.{number}") for number in range(50)]
    local.send(*toys, resource={**KERNEL, "service.name": "toys"})

    query = 'traces_span_metrics_calls_total{service_name="toys"}'
    (series,) = wait_for(lambda: prometheus.query(query), "the count")

    assert series["metric"]["span_name"] == "toy #.#"
    assert local.spans("toy 49.49")


def test_span_metrics_lead_to_a_trace(local, prometheus):
    """An exemplar of the duration names a trace."""
    span = new_span("spawn server", seconds=8)
    local.send(span, resource={**KERNEL, "service.name": "jupyterhub"})
    query = {
        "query": 'traces_span_metrics_duration_seconds_bucket{span_name="spawn server"}',
        "start": str(int(span["startTimeUnixNano"]) / 1e9 - 60),
        "end": str(int(span["endTimeUnixNano"]) / 1e9 + 60),
    }

    found = wait_for(
        lambda: get_json(f"{prometheus.url}/api/v1/query_exemplars", **query)["data"], "exemplars"
    )

    assert found[0]["exemplars"][0]["labels"]["trace_id"] == span["traceId"]


def test_process_becomes_job_and_instance(local, prometheus):
    """A metric is labelled by what sent it; what else is known of that is in `target_info`."""
    resource = {**KERNEL, "service.version": "7.4.0", "process.pid": 42, "host.name": "node-1"}
    local.send_metrics(new_counter("cells", 5, {"status": "ok"}), resource=resource)

    series = wait_for(lambda: prometheus.query("cells_total"), "the counter")
    info = prometheus.query('target_info{instance="kernel-1",service_version="7.4.0"}')

    labels = {key: value for key, value in series[0]["metric"].items() if key != "__name__"}
    assert labels == {"job": "testing/jupyter-kernel", "instance": "kernel-1", "status": "ok"}
    assert "process_pid" not in info[0]["metric"]


def test_spans_wait_for_the_trace_store(tmp_path):
    """What arrives while the store is away is in it once it is back."""
    with running_jaeger(tmp_path / "jaeger") as jaeger:
        env = {
            "AF_OTEL_TRACES_OTLP": jaeger.otlp_endpoint,
            "AF_OTEL_PROMETHEUS_WRITE": f"http://127.0.0.1:{free_port()}/api/v1/write",
        }
        with running_collector(tmp_path / "collector", (BASE, LOCAL), env) as collector:
            jaeger.kill()
            span = new_span("execute cell")
            collector.send(span)
            collector.wait_for_span("execute cell")
            jaeger.start()

            assert wait_for(lambda: jaeger.client.trace(span["traceId"]), "the span that waited")


def test_file_is_bounded(tmp_path):
    """The file of spans is rotated, and old ones go."""
    env = {
        "AF_OTEL_SPANS_FILE_MB": "1",
        "AF_OTEL_TRACES_OTLP": f"http://127.0.0.1:{free_port()}",
        "AF_OTEL_PROMETHEUS_WRITE": f"http://127.0.0.1:{free_port()}/api/v1/write",
    }
    with running_collector(tmp_path, (BASE, LOCAL), env) as collector:
        for _ in range(12):
            collector.send(*(new_span("s", attributes={"text": "x" * 1000}) for _ in range(500)))
        files = wait_for(
            lambda: len(list(tmp_path.glob("spans*.jsonl"))) <= 4 and list(tmp_path.glob("spans*")),
            "old files gone",
        )

    assert len(files) == 4
    assert all(file.stat().st_size <= 2**20 for file in files)
    assert read_spans(collector.spans_file)
