"""What destinations' refusals mean, by the Collector's own words for them."""

from __future__ import annotations

import pytest
import yaml

from af_otel.checks import _answers
from af_otel.checks._sources import Files
from af_otel.checks.context import Context
from af_otel.facility import Facility

LOGIN = {"basic": {"secret": "login"}}


def sent_to(traces):
    """A facility that sends its traces there, with a login."""
    facility = Facility.model_validate(
        {
            "name": "tests",
            "hub": {"namespace": "jhub"},
            "destinations": {
                "traces": traces,
                "metrics": {"remote_write": {"endpoint": "http://prometheus.monitoring:9090/x"}},
            },
        }
    )
    return Context(facility, Files([]))


@pytest.fixture
def context():
    return sent_to({"tempo": {"endpoint": "https://tempo.monitoring:4318", "auth": LOGIN}})


@pytest.mark.parametrize(
    ("said", "means", "mend"),
    [
        ("responded with HTTP Status Code 401", "refuses the credentials", "generic login"),
        ("rpc error: code = Unauthenticated", "refuses the credentials", "generic login"),
        ("tls: failed to verify certificate: x509: signed by unknown", "TLS", "config_map: my-ca"),
        ("http: server gave HTTP response to HTTPS client", "speaks no TLS", "endpoint: http://"),
        ("dial tcp: lookup x: no such host", "does not know", "get service"),
        ("dial tcp 10.0.0.1:4318: connect: connection refused", "does not listen", "get service"),
        ("context deadline exceeded", "cannot be reached", "get service"),
        ("HTTP Status Code 404", "this kind of data", ":4318"),
        ("something new", "did not take", "get service"),
    ],
)
def test_meanings(context, said, means, mend):
    """Each has its cure; what nobody thought of is given in its own words."""
    finding = _answers.judged(context, "traces", "https://tempo.monitoring:4318", said)
    assert means in finding.what
    assert mend in finding.mend
    assert said in finding.where


def test_prometheus_that_takes_no_remote_write(context):
    """Its flag is named, and the path; the YAML is what facility.yaml takes."""
    endpoint = "http://prometheus.monitoring:9090/x"
    finding = _answers.judged(context, "metrics", endpoint, "remote write returned HTTP status 404")
    assert "--web.enable-remote-write-receiver" in finding.mend
    change = yaml.safe_load(finding.mend.split("# in facility.yaml\n")[1])
    assert change["destinations"]["metrics"]["remote_write"]["endpoint"].endswith("/api/v1/write")


@pytest.mark.parametrize(
    ("kind", "store"), [("tempo", "Tempo"), ("jaeger", "Jaeger"), ("otlp", "most stores")]
)
def test_a_trace_store_is_called_by_its_kind_and_its_path(kind, store):
    """So are the Secrets of its login; the YAML goes into its section."""
    endpoint = "http://store.monitoring:9411"
    context = sent_to({kind: {"endpoint": endpoint, "auth": LOGIN}})
    finding = _answers.judged(context, "traces", endpoint, "HTTP Status Code 404")
    assert f"`destinations.traces.{kind}` in facility.yaml" in finding.where
    assert f"# {store} accept" in finding.mend
    change = yaml.safe_load(finding.mend)["destinations"]["traces"][kind]
    assert change == {"endpoint": "http://store.monitoring:4318"}
    refused = _answers.judged(context, "traces", endpoint, "HTTP Status Code 401")
    assert "key `password` of Secret `login`" in refused.where
