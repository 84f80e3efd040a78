"""Jaeger and Prometheus for a facility that has no servers of its own: one pod each.

Neither authenticates its clients, so only the Collector and Grafana may reach them.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

from af_otel.backends.jaeger import READY
from af_otel.facility.model import JAEGER, PROMETHEUS
from af_otel.facility.values import amount
from af_otel.kubernetes.objects import _server
from af_otel.kubernetes.objects._labels import COLLECTOR, chosen_by, ours
from af_otel.kubernetes.objects._server import MIB, Server
from af_otel.kubernetes.objects.grafana import GRAFANA
from af_otel.kubernetes.objects.network import NAMESPACE

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Facts

# Of its volume: what Prometheus is writing comes on top of what it says it keeps.
_KEPT = 0.8


def backends(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return the objects of Jaeger and Prometheus, as far as the facility asks for them."""
    made = []
    if facility.backends.jaeger:
        made += [_closed(facility, JAEGER), *_server.objects(facility, facts, jaeger(facility))]
    if facility.backends.prometheus:
        made += [
            _closed(facility, PROMETHEUS),
            *_server.objects(facility, facts, prometheus(facility)),
        ]
    return made


def jaeger(facility: Facility) -> Server:
    """Return Jaeger, configured as in the local facility but listening on its pod's address."""
    return Server(
        name=JAEGER,
        image=facility.backends.images.jaeger,
        user=10001,
        args=["--config=/etc/jaeger/jaeger.yaml"],
        env={
            "AF_OTEL_JAEGER_DATA": "/var/jaeger",
            "AF_OTEL_JAEGER_RETENTION": facility.backends.retention,
            "AF_OTEL_JAEGER_HTTP": "0.0.0.0:16686",
            "AF_OTEL_JAEGER_OTLP_HTTP": "0.0.0.0:4318",
        },
        ports={"http": 16686, "otlp-http": 4318},
        ready=("http", READY),
        alive=("http", ""),
        files={"jaeger.yaml": _text("jaeger.yaml")},
        file_directory="/etc/jaeger",
        data="/var/jaeger",
        size=facility.backends.size,
        resources=_resources("2Gi", "256Mi"),
        # It compacts its files before it ends. A kill loses nothing that it has accepted.
        grace=30,
    )


def prometheus(facility: Facility) -> Server:
    """Prometheus that is written to and scrapes nothing: the Collector does."""
    config = _config("prometheus.yaml")
    config.pop("scrape_configs", None)
    return Server(
        name=PROMETHEUS,
        image=facility.backends.images.prometheus,
        user=65534,
        args=[
            "--config.file=/etc/prometheus/prometheus.yaml",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=30d",
            f"--storage.tsdb.retention.size={int(amount(facility.backends.size) * _KEPT / MIB)}MB",
            "--web.enable-remote-write-receiver",
            "--enable-feature=exemplar-storage",
        ],
        ports={"http": 9090},
        ready=("http", "/-/ready"),
        alive=("http", "/-/healthy"),
        files={"prometheus.yaml": yaml.safe_dump(config, sort_keys=False)},
        file_directory="/etc/prometheus",
        data="/prometheus",
        size=facility.backends.size,
        resources=_resources("2Gi", "256Mi"),
        grace=60,
    )


def _config(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(_text(name))
    return config


def _text(name: str) -> str:
    return (resources.files("af_otel") / "local" / "config" / name).read_text(encoding="utf-8")


def _resources(most: str, least: str) -> dict[str, Any]:
    return {"requests": {"cpu": "50m", "memory": least}, "limits": {"memory": most}}


def _closed(facility: Facility, name: str) -> dict[str, Any]:
    senders: list[dict[str, Any]] = [
        {"podSelector": {"matchLabels": chosen_by(facility, sender)}}
        for sender in (COLLECTOR, GRAFANA)
    ]
    elsewhere = facility.grafana.namespace
    if elsewhere and facility.grafana.data_sources and not facility.backends.grafana:
        senders.append({"namespaceSelector": {"matchLabels": {NAMESPACE: elsewhere}}})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": ours(facility, name, name),
        "spec": {
            "podSelector": {"matchLabels": chosen_by(facility, name)},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": senders}],
        },
    }
