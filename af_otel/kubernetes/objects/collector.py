"""The Collector: one pod that everything goes through, with a queue on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from af_otel.collector import config, destinations
from af_otel.kubernetes.objects import _server
from af_otel.kubernetes.objects._labels import COLLECTOR
from af_otel.kubernetes.objects._server import Server
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


def collector(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return the Collector's objects but for its ServiceAccount and NetworkPolicies."""
    return _server.objects(facility, facts, server(facility, facts))


def server(facility: Facility, facts: Facts) -> Server:
    """The Collector as a pod; one of it, as tail sampling has to see whole traces."""
    read = files(facility)
    ports = {"otlp-grpc": 4317, "otlp-http": 4318, SELF_METRICS: SELF_METRICS_PORT}
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
        files=read,
        file_directory=_CONFIG,
        data=QUEUE,
        size=facility.collector.storage.size,
        volumes=destinations.mounts(facility),
        annotations=pod_annotations(facility),
        resources=facility.collector.resources.model_dump(exclude_none=True),
        # What waits for its trace to be whole is decided on and queued; the queue stays on disk.
        grace=60,
        account=COLLECTOR,
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
    return {**settings(facility, facts.hub, guarded=guarded(facility, facts)), **secret}
