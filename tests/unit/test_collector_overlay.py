"""What a facility's file comes to for its Collector, and what the Collector's binary says of it."""

from __future__ import annotations

import pytest
import yaml
from rendered import a_facility

from af_otel.collector import config, destinations
from af_otel.collector.validate import validate
from af_otel.errors import AfOtelError
from af_otel.kubernetes.objects.collector import files, server
from af_otel.kubernetes.objects.facts import Facts
from af_otel.local.servers import find

SECRET = {"secret": "login", "key": "token"}
TLS = {
    "ca": {"config_map": "authority"},
    "cert": {"secret": "client", "key": "tls.crt"},
    "key": {"secret": "client", "key": "tls.key"},
    "server_name": "tempo.example",
}


def sent_to(traces=None, metrics=None, **sections):
    """A facility with these destinations."""
    traces = {"tempo": {"endpoint": "https://tempo.example", **(traces or {})}}
    metrics = metrics or {"remote_write": {"endpoint": "http://prometheus:9090/api/v1/write"}}
    return a_facility(destinations={"traces": traces, "metrics": metrics}, **sections)


def exporters(facility):
    return destinations.overlay(facility)["exporters"]


def accepted(facility):
    """Have the real binary read the whole configuration of a facility."""
    made = server(facility, Facts())
    env = {
        name: value if isinstance(value, str) else "from-elsewhere"
        for name, value in made.env.items()
    }
    validate(find("collector").path, files(facility), env)


def test_grpc_has_the_queue_on_disk_that_http_has():
    """An address becomes gRPC's target, with the port that is usual for its scheme."""
    made = exporters(sent_to({"protocol": "grpc"}))["otlp_grpc/traces"]
    plain = exporters(sent_to({"protocol": "grpc", "endpoint": "http://tempo.monitoring"}))

    assert made["endpoint"] == "tempo.example:443"
    assert made["tls"]["insecure"] is False
    assert made["sending_queue"]["storage"] == "file_storage"
    assert made["retry_on_failure"]["max_elapsed_time"] == "${env:AF_OTEL_RETRY:-1h}"
    assert plain["otlp_grpc/traces"]["endpoint"] == "tempo.monitoring:4317"
    assert plain["otlp_grpc/traces"]["tls"]["insecure"] is True


def test_credentials_are_files_and_never_text():
    """What a Secret holds is mounted where the configuration says; headers are variables."""
    facility = sent_to(
        {"auth": {"basic": {"secret": "login"}}, "tls": TLS},
        {
            "remote_write": {
                "endpoint": "https://prometheus.example/api/v1/write",
                "auth": {"bearer": SECRET},
                "headers": {"X-Tenant": "cost$$", "X-Key": {"secret": "keys", "key": "write"}},
            }
        },
        scrape={"hub_token": {"secret": "hub", "key": "metrics"}},
    )
    made = destinations.overlay(facility)
    mounts = destinations.mounts(facility)

    login = made["extensions"]["basicauth/traces"]["client_auth"]
    assert mounts["traces-auth"] == (
        "/etc/af-otel-secrets/traces-auth",
        {
            "secret": {
                "secretName": "login",
                "items": [
                    {"key": "username", "path": "username"},
                    {"key": "password", "path": "password"},
                ],
            }
        },
    )
    assert login["password_file"] == "/etc/af-otel-secrets/traces-auth/password"
    token = made["extensions"]["bearertokenauth/metrics"]
    assert token == {"filename": "/etc/af-otel-secrets/metrics-auth/token"}
    assert made["service"]["extensions"][-2:] == ["basicauth/traces", "bearertokenauth/metrics"]
    assert made["exporters"]["prometheus_remote_write"]["http"]["headers"] == {
        "X-Tenant": "cost$$$$",  # `$` begins a variable
        "X-Key": "${env:AF_OTEL_METRICS_HEADER_2}",
    }
    assert destinations.secret_env(facility) == [
        {
            "name": "AF_OTEL_METRICS_HEADER_2",
            "valueFrom": {"secretKeyRef": {"name": "keys", "key": "write"}},
        },
        {"name": "AF_OTEL_HUB_TOKEN_FILE", "value": "/etc/af-otel-secrets/hub-token/token"},
    ]
    assert mounts["traces-ca"][1] == {
        "configMap": {"name": "authority", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    }
    accepted(facility)


def test_credentials_are_not_sent_in_the_clear_over_grpc():
    """The protocol refuses to; an operator hears of it before anything is installed."""
    facility = sent_to(
        {"protocol": "grpc", "endpoint": "http://tempo:4317", "auth": {"bearer": SECRET}}
    )

    with pytest.raises(AfOtelError, match="not encrypted") as caught:
        destinations.overlay(facility)
    assert "`destinations.traces.tempo`" in caught.value.where


def test_each_namespace_is_asked_about_on_its_own():
    """So a Role in each will do; the sender is looked for in all of them."""
    facility = sent_to(users={"namespaces": ["students", "staff"]})
    made = destinations.overlay(facility)
    chain = ["k8s_attributes", *(f"k8s_attributes/{n}" for n in ("students", "staff", "dask"))]

    for pipeline in ("traces/received", "metrics/received"):
        processors = made["service"]["pipelines"][pipeline]["processors"]
        at = processors.index("k8s_attributes")
        assert processors[at : at + 4] == chain
        assert processors[at + 4] == "transform/identity"
    namespaces = [made["processors"][name]["filter"]["namespace"] for name in chain]
    assert namespaces == ["jhub", "students", "staff", "dask"]
    accepted(facility)
    accepted(sent_to(users={"namespaces": ["1e3"]}))  # a number to the Collector


def test_what_is_not_wanted_is_not_scraped():
    """The Collector itself always is; each further kind of Dask pod is a job of its own."""
    dask = [
        {"namespaces": ["one"], "selector": {"app": "dask"}},
        {"namespaces": ["two"], "selector": {"app": ["scheduler", "worker"]}},
    ]
    none = sent_to(scrape={"hub": False, "dask": False, "nodes": False}, dask=dask)
    both = sent_to(dask=dask)
    made = destinations.overlay(both)
    (job,) = made["receivers"]["prometheus/dask-2"]["config"]["scrape_configs"]

    assert receivers(destinations.overlay(none)) == ["prometheus/servers", "prometheus/self"]
    assert receivers(made)[-1] == "prometheus/dask-2"
    assert job["kubernetes_sd_configs"][0]["namespaces"]["names"] == ["two"]
    assert job["kubernetes_sd_configs"][0]["selectors"][0]["label"] == "app in (scheduler,worker)"
    accepted(both)


def receivers(overlay):
    return overlay["service"]["pipelines"]["metrics/scraped"]["receivers"]


def test_prometheus_that_asks_finds_an_endpoint():
    """Nothing is written, nothing waits on disk for it."""
    facility = sent_to(metrics={"scrape": "annotations"})
    made = destinations.overlay(facility)

    assert made["service"]["pipelines"]["metrics"]["exporters"] == ["prometheus/metrics"]
    assert made["exporters"]["prometheus/metrics"]["endpoint"] == "0.0.0.0:8889"
    accepted(facility)


def test_texts_of_exceptions_are_kept_on_demand_and_nothing_else():
    """The patterns that hide them are those of the plain file without these keys."""
    plain = config.parsed()["processors"]
    made = destinations.overlay(sent_to(privacy={"exception_texts": True}))["processors"]
    scrub = "transform/scrub"
    hidden = plain["redaction/span_keys"]["blocked_key_patterns"]
    patterns = made["redaction/span_keys"]["blocked_key_patterns"]
    groups = zip(plain[scrub]["trace_statements"], made[scrub]["trace_statements"], strict=True)
    removed = []
    for before, after in groups:
        assert before.get("conditions") == after.get("conditions")
        removed += [one for one in before["statements"] if one not in after["statements"]]

    assert any("exception" in pattern for pattern in hidden)
    assert not any("exception" in pattern for pattern in patterns)
    assert len(patterns) == len(hidden)
    assert any("process" in pattern for pattern in patterns)
    assert len(removed) == 1
    assert "span.status.message" in removed[0]
    accepted(sent_to(privacy={"exception_texts": True}))


def test_a_request_and_the_series_have_bounds():
    """Those that the facility sets."""
    facility = sent_to(limits={"request": "4Mi", "series": 300})
    made = destinations.overlay(facility)

    protocols = made["receivers"]["otlp"]["protocols"]
    assert protocols["http"]["max_request_body_size"] == 4 * 1024**2
    assert protocols["grpc"]["max_recv_msg_size_mib"] == 4
    assert made["connectors"]["span_metrics"]["aggregation_cardinality_limit"] == 300


def test_files_are_laid_over_each_other_as_the_collector_does():
    """Key by key; a list replaces a list, and what is laid over is not changed by it."""
    first, second = {"a": {"b": [1, 2], "c": 1}}, {"a": {"b": [3]}, "d": {}}

    config.merge(first, second)
    first["d"]["e"] = 1

    assert first == {"a": {"b": [3], "c": 1}, "d": {"e": 1}}
    assert second == {"a": {"b": [3]}, "d": {}}


def test_mistake_is_told_in_the_collectors_own_words():
    """Which field of which component it does not know."""
    wrong = yaml.safe_dump({"exporters": {"otlp_http/traces": {"endpont": "x"}}})

    with pytest.raises(AfOtelError) as error:
        validate(find("collector").path, {**files(sent_to()), "wrong.yaml": wrong}, {})

    assert "endpont" in error.value.where
    assert "otlp_http/traces" in error.value.where


def test_what_is_no_collector_is_told(tmp_path):
    """A path to nothing."""
    with pytest.raises(AfOtelError, match="does not run as a Collector"):
        validate(tmp_path / "nothing", {"base.yaml": ""}, {})
