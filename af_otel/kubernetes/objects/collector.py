"""The Collector: one pod that everything goes through, with a queue on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from af_otel.collector import config, destinations
from af_otel.kubernetes.objects import _server
from af_otel.kubernetes.objects._labels import COLLECTOR
from af_otel.kubernetes.objects._server import Front, Server
from af_otel.kubernetes.objects._settings import QUEUE, settings
from af_otel.kubernetes.objects._yaml import Dumper
from af_otel.kubernetes.objects.guard import guarded
from af_otel.kubernetes.objects.monitors import (
    METRICS,
    METRICS_PORT,
    SELF_METRICS,
    SELF_METRICS_PORT,
    pod_annotations,
)

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Facts

HEALTH_PORT = 13133
_CONFIG = "/etc/af-otel"
_OTLP = {"otlp-grpc": 4317, "otlp-http": 4318}
# Where nginx.conf looks for the Collector.
_BEHIND_NGINX = {
    "AF_OTEL_OTLP_HTTP": "127.0.0.1:14318",
    "AF_OTEL_OTLP_GRPC": "127.0.0.1:14317",
    "AF_OTEL_SENDER": "metadata.x-real-ip",
}


def collector(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return the Collector's objects but for its ServiceAccount and NetworkPolicies."""
    return _server.objects(facility, facts, server(facility, facts))


def server(facility: Facility, facts: Facts) -> Server:
    """The Collector as a pod; one of it, as tail sampling has to see whole traces."""
    read = files(facility)
    limits = facility.collector.sender_limits
    ports = {**_OTLP, SELF_METRICS: SELF_METRICS_PORT}
    if facility.destinations.metrics.scrape:
        ports[METRICS] = METRICS_PORT
    return Server(
        name=COLLECTOR,
        image=facility.collector.image,
        user=10001,
        args=[*(f"--config={_CONFIG}/{name}" for name in read), config.FLAGS],
        env=environment(facility, facts),
        ports=ports,
        hidden_ports={"health": HEALTH_PORT},
        ready=("health", "/"),
        alive=("health", "/"),
        files=read | ({config.NGINX: config.nginx()} if limits.enabled else {}),
        file_directory=_CONFIG,
        data=QUEUE,
        size=facility.collector.storage.size,
        volumes=destinations.mounts(facility),
        annotations=pod_annotations(facility),
        resources=facility.collector.resources.model_dump(exclude_none=True),
        # What waits for its trace to be whole is decided on and queued; the queue stays on disk.
        grace=60,
        account=COLLECTOR,
        front=_nginx(facility) if limits.enabled else None,
    )


def _nginx(facility: Facility) -> Front:
    return Front(
        name="nginx",
        image=facility.collector.sender_limits.image,
        command=["nginx", "-e", "stderr", "-c", f"{_CONFIG}/{config.NGINX}", "-g", "daemon off;"],
        ports=frozenset(_OTLP),
        resources={
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"memory": "128Mi"},
        },
    )


def files(facility: Facility) -> dict[str, str]:
    """Return the configuration by file name, in the order in which the Collector reads it."""
    overlay = yaml.dump(destinations.overlay(facility), Dumper=Dumper, sort_keys=False)
    return {**config.plain(), "facility.yaml": overlay}


def environment(facility: Facility, facts: Facts) -> dict[str, str | dict[str, Any]]:
    """Return its variables: what the configuration asks for, and what is secret."""
    secret = {
        item["name"]: item.get("value") or item["valueFrom"]
        for item in destinations.secret_env(facility)
    }
    behind = _BEHIND_NGINX if facility.collector.sender_limits.enabled else {}
    return {**settings(facility, facts.hub, guarded=guarded(facility, facts)), **behind, **secret}
