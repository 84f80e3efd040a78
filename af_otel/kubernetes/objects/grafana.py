"""Data sources and dashboards: for a Grafana with a sidecar, or for one that af-otel deploys."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from af_otel.grafana import dashboards
from af_otel.grafana.provisioning import provisioned, settings
from af_otel.grafana.sources import complete, sources
from af_otel.kubernetes.objects import _server
from af_otel.kubernetes.objects._labels import metadata, ours
from af_otel.kubernetes.objects._server import Server

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.grafana.sources import TraceStore
    from af_otel.kubernetes.objects.facts import Facts

GRAFANA = "af-otel-grafana"
_DIRECTORY = "/etc/af-otel"


def grafana(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return our own Grafana, or the ConfigMaps for the facility's."""
    if facility.backends.grafana:
        return [_password(facility, facts), *_server.objects(facility, facts, server(facility))]
    return _sidecar(facility)


def traces(facility: Facility) -> TraceStore | None:
    """Return the trace store that Grafana searches.

    It is None for `otlp`: only the store itself knows whether it answers like a Tempo or a Jaeger,
    and a Grafana data source is one or the other.
    """
    kind = facility.destinations.traces.kind
    return None if kind == "otlp" else kind


def urls(facility: Facility) -> dict[str, str]:
    """Return the query APIs of Prometheus and the trace store by kind, if the facility has them."""
    store = traces(facility)
    addresses = {"prometheus": facility.destinations.metrics.query}
    if store:
        addresses[store] = facility.destinations.traces.store.query
    return {kind: url for kind, url in addresses.items() if url}


def _sidecar(facility: Facility) -> list[dict[str, Any]]:
    options, store, addresses = facility.grafana, traces(facility), urls(facility)
    result = []
    if options.data_sources and addresses:
        content = {"apiVersion": 1, "datasources": sources(addresses, facility.name)}
        result.append(_configmap(facility, "data-sources", options.data_source_labels, content))
    if options.dashboards and dashboards.POSSIBLE:
        choose = not options.data_sources or not complete(addresses, store)
        boards = dashboards.dashboards(facility.name, choose=choose, traces=store)
        result += [
            _configmap(facility, name, options.labels, board) for name, board in boards.items()
        ]
    return result


def _configmap(
    facility: Facility, what: str, labels: dict[str, str], content: dict[str, Any]
) -> dict[str, Any]:
    # A sidecar writes the files of all ConfigMaps into one directory.
    name = f"af-otel-{facility.name}-{what}"
    meta = metadata(facility, name, facility.grafana.namespace or facility.namespace, GRAFANA)
    meta["labels"] |= labels
    if what != "data-sources":
        # Read by a sidecar that is configured to use folders.
        meta["annotations"] = {"grafana_folder": dashboards.FOLDER}
    text = json.dumps(content, indent=1) + "\n"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta,
        # Grafana parses JSON as YAML, but reads data sources only from files with this extension.
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
    """Return Grafana, with a login and just our data sources and dashboards."""
    image = facility.backends.images.grafana
    assert image is not None  # the facility's model requires it with `backends.grafana`
    return Server(
        name=GRAFANA,
        image=image,
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
        files=provisioned(_DIRECTORY, urls(facility), traces(facility)),
        file_directory=_DIRECTORY,
        data="/var/lib/grafana",
        size="1Gi",
        volumes={"scratch": ("/tmp", {"emptyDir": {}})},  # noqa: S108 - in its container
        resources={"requests": {"cpu": "50m", "memory": "192Mi"}, "limits": {"memory": "768Mi"}},
    )
