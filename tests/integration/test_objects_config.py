"""What is rendered for a facility is what the Collector's own binary accepts."""

from __future__ import annotations

import pytest
from rendered import DASK, PROMETHEUS, TEMPO, a_facility, with_backends

from af_otel.collector.validate import validate
from af_otel.kubernetes.objects import collector
from af_otel.kubernetes.objects.facts import Facts
from af_otel.local import servers

GRPC = {
    "endpoint": "https://tempo:4317",
    "protocol": "grpc",
    "auth": {"basic": {"secret": "login"}},
    "tls": {"ca": {"config_map": "authority"}, "server_name": "tempo.example"},
}
JAEGER = {
    "endpoint": "http://jaeger-collector:4317",
    "protocol": "grpc",
    "query": "http://jaeger-query:16686/jaeger",
}
HEADERS = {
    **TEMPO["tempo"],
    "auth": {"bearer": {"secret": "login"}},
    "headers": {"X-Scope-OrgID": "a$b", "X-Key": {"secret": "login", "key": "key"}},
}
OTHER_DASK = {"namespaces": ["more"], "selector": {"dask.org/component": ["scheduler", "worker"]}}
FACILITIES = {
    "all by default": a_facility(),
    "backends of ours": with_backends(),
    # To YAML these are numbers; they stay names.
    "numbers for names": a_facility(
        name="123", hub={"namespace": "456"}, dask=[{"selector": {"app": ["1", "2"]}}]
    ),
    "Jaeger": a_facility(
        destinations={"traces": {"jaeger": JAEGER}, "metrics": PROMETHEUS},
    ),
    "any OTLP": a_facility(
        destinations={"traces": {"otlp": {"endpoint": "https://x"}}, "metrics": PROMETHEUS},
    ),
    "gRPC": a_facility(destinations={"traces": {"tempo": GRPC}, "metrics": PROMETHEUS}),
    "headers": a_facility(destinations={"traces": {"tempo": HEADERS}, "metrics": PROMETHEUS}),
    "scraped": a_facility(destinations={"traces": TEMPO, "metrics": {"scrape": "annotations"}}),
    "nothing scraped": a_facility(dask=[], scrape={"hub": False, "dask": False, "nodes": False}),
    "two ways to Dask": a_facility(dask=[DASK, OTHER_DASK]),
    "a token for the hub": a_facility(scrape={"hub_token": {"secret": "hub", "key": "token"}}),
    "odd bounds": a_facility(
        sampling={"share": 1e-7, "slow": "1m30s", "keep_errors": False, "wait": "1m5s"},
        limits={"request": "1.5Gi", "traces": 100},
        collector={"resources": {"limits": {"memory": "3G"}}, "storage": {"size": "500Mi"}},
        privacy={"exception_texts": True},
    ),
    "a hub of many labels": a_facility(
        hub={
            "namespace": "jhub",
            "base_url": "/a/b/",
            "selector": {"app": "jupyterhub", "component": ["hub", "hub-2"]},
        }
    ),
}


@pytest.mark.parametrize("facility", FACILITIES.values(), ids=FACILITIES)
def test_the_collector_accepts_what_is_rendered(facility):
    """Its files in their order, with the container's variables; Secrets are some text."""
    env = {
        name: value if isinstance(value, str) else "some-text"
        for name, value in collector.environment(facility, Facts()).items()
    }
    validate(servers.find("collector").path, collector.files(facility), env)
