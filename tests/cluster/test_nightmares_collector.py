"""What an operator fears for the Collector: killed, cut off, refused. Nothing accepted is lost."""

from __future__ import annotations

import threading
import time

import pytest
import yaml

from cluster.collecting import collecting
from servers import wait_for

IMAGE = "otel/opentelemetry-collector-contrib:0.159.0"


@pytest.fixture(scope="module")
def running(cluster):
    with collecting(cluster, "nightmares", sampling={"share": 1, "wait": "3s"}) as made:
        made.pod("jupyter-alice", labels={"component": "singleuser-server"})
        yield made


class Sending(threading.Thread):
    """A pod that sends for some seconds, meanwhile."""

    def __init__(self, running, seconds):
        super().__init__()
        self.running = running
        self.seconds = seconds
        self.accepted = {}

    def run(self):
        self.accepted = self.running.send("jupyter-alice", seconds=self.seconds, spans=20)


def test_collector_killed_under_load_loses_nothing(running):
    """Killed twice while a pod sends and traces are undecided: what it accepted is in Jaeger."""
    sending = Sending(running, 45)
    sending.start()
    for _ in range(2):
        time.sleep(6)
        running.kill()
    sending.join()

    assert len(sending.accepted) > 5
    running.stored(sending.accepted)


def test_jaeger_down_for_the_whole_time_loses_nothing(running):
    """Jaeger is away while a pod sends, and while the Collector's pod is replaced."""
    running.scale("af-otel-jaeger", 0)
    accepted = running.send("jupyter-alice", seconds=10, spans=20)
    # What is undecided is decided on, and waits with the rest on the volume.
    pod = running.collector()
    running.api.delete(pod)
    wait_for(lambda: running.api.get(pod) is None, "the old pod is gone", 120)
    running.ready("af-otel-collector")
    running.scale("af-otel-jaeger", 1)

    assert len(accepted) > 5
    running.stored(accepted)


def test_wrong_credentials_are_told(cluster, running):
    """A destination that refuses the login: its answer is in the log, the loss is counted."""
    namespace = running.facility.hub.namespace
    for item in guarded(namespace):
        cluster.apply(item)
    endpoint = f"http://guarded.{namespace}:4318"
    traces = {"otlp": {"endpoint": endpoint, "auth": {"basic": {"secret": "wrong"}}}}
    with collecting(
        cluster,
        "refused",
        namespace=namespace,  # where its Secret is
        destinations={"traces": traces},
        backends={"prometheus": True},
    ) as refused:
        refused.pod("jupyter-bob", labels={"component": "singleuser-server"})
        refused.send("jupyter-bob")

        failed = "otelcol_exporter_send_failed_spans_total"
        job = f'job="{refused.facility.name}/collector"'
        assert refused.measured(f'{failed}{{{job},exporter="otlp_http/traces"}} > 0')
        log = refused.said()

    assert "HTTP Status Code 401" in log
    assert endpoint in log


def guarded(namespace):
    """A server that takes OTLP from one user only, and the Secret with another password."""
    config = {
        "extensions": {"basicauth": {"htpasswd": {"inline": "collector:right"}}},
        "receivers": {
            "otlp": {
                "protocols": {
                    "http": {
                        "endpoint": "0.0.0.0:4318",
                        "auth": {"authenticator": "basicauth"},
                    }
                }
            }
        },
        "exporters": {"debug": {}},
        "service": {
            "extensions": ["basicauth"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}},
        },
    }
    meta = {"name": "guarded", "namespace": namespace, "labels": {"app": "guarded"}}
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "args": ["--config=env:CONFIG"],
        "env": [{"name": "CONFIG", "value": yaml.safe_dump(config)}],
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"selector": {"app": "guarded"}, "ports": [{"port": 4318}]},
    }
    yield {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "wrong", "namespace": namespace},
        "stringData": {"username": "collector", "password": "wrong"},
    }
