"""Data sources and dashboards: for a Grafana that has a sidecar, or for one of our own."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from af_otel.grafana import dashboards
from af_otel.grafana.provisioning import provisioned, settings
from af_otel.grafana.sources import sources
from af_otel.kubernetes.objects import _server
from af_otel.kubernetes.objects._labels import metadata, ours
from af_otel.kubernetes.objects._server import Server

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Facts

GRAFANA = "af-otel-grafana"
_DIRECTORY = "/etc/af-otel"


def grafana(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return our own Grafana, or what the facility's takes from ConfigMaps."""
    if facility.backends.grafana:
        return [_password(facility, facts), *_server.objects(facility, facts, server(facility))]
    return _sidecar(facility)


def urls(facility: Facility) -> dict[str, str]:
    """Return where Prometheus and Tempo are asked, as far as the facility says it."""
    asked = {
        "prometheus": facility.destinations.metrics.query,
        "tempo": facility.destinations.traces.query,
    }
    return {name: url for name, url in asked.items() if url}


def _sidecar(facility: Facility) -> list[dict[str, Any]]:
    wanted = facility.grafana
    made = []
    asked = urls(facility)
    if wanted.data_sources and asked:
        content = {"apiVersion": 1, "datasources": sources(asked, facility.name)}
        made.append(_configmap(facility, "data-sources", wanted.data_source_labels, content))
    if wanted.dashboards and dashboards.POSSIBLE:
        choose = not wanted.data_sources or not asked.keys() >= {"prometheus", "tempo"}
        boards = dashboards.dashboards(facility.name, choose=choose)
        made += [_configmap(facility, name, wanted.labels, board) for name, board in boards.items()]
    return made


def _configmap(
    facility: Facility, what: str, labels: dict[str, str], content: dict[str, Any]
) -> dict[str, Any]:
    # A sidecar puts the files of all ConfigMaps into one directory.
    name = f"af-otel-{facility.name}-{what}"
    meta = metadata(facility, name, facility.grafana.namespace or facility.namespace, GRAFANA)
    meta["labels"] |= labels
    if what != "data-sources":
        # What a sidecar goes by that was told to keep folders.
        meta["annotations"] = {"grafana_folder": dashboards.FOLDER}
    text = json.dumps(content, indent=1) + "\n"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta,
        # For Grafana JSON is YAML, and data sources are read from files of the one name only.
        "data": {f"{name}.{'yaml' if what == 'data-sources' else 'json'}": text},
    }


def _password(facility: Facility, facts: Facts) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": ours(facility, GRAFANA, GRAFANA),
        "type": "Opaque",
        "data": {"password": base64.b64encode(facts.grafana_password.encode()).decode()},
    }


def server(facility: Facility) -> Server:
    """Grafana, with a login and nothing in it but ours."""
    return Server(
        name=GRAFANA,
        image=facility.backends.images.grafana,
        user=472,
        args=[],
        env={
            **settings(_DIRECTORY),
            "GF_SECURITY_ADMIN_PASSWORD": {"secretKeyRef": {"name": GRAFANA, "key": "password"}},
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_LOG_MODE": "console",
        },
        ports={"http": 3000},
        ready=("http", "/api/health"),
        alive=("http", ""),
        files=provisioned(_DIRECTORY, urls(facility)),
        file_directory=_DIRECTORY,
        data="/var/lib/grafana",
        size="1Gi",
        volumes={"scratch": ("/tmp", {"emptyDir": {}})},  # noqa: S108 - in a container of its own
        resources={"requests": {"cpu": "50m", "memory": "192Mi"}, "limits": {"memory": "768Mi"}},
    )
