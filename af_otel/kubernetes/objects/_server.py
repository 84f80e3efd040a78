"""One server of ours in a pod: its Deployment, Service, files and volume.

All of them are alike in what a careful cluster asks for: the pod passes the level `restricted`, may
be killed at any time, and is made anew whenever its configuration changes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from af_otel.facility.values import amount
from af_otel.kubernetes.objects._labels import chosen_by, labels, ours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Facts

MIB = 1024**2
CONFIG_ANNOTATION = "af-otel.io/config"
_SCRATCH = "tmp"


@dataclass(frozen=True)
class Front:
    """A container before a server, in its pod, that takes what comes to some of its ports.

    Parameters
    ----------
    name, image, command
        The container, which needs neither variables nor root.
    ports
        Names of the Service's ports that lead to it.
    resources
        As in a container.
    """

    name: str
    image: str
    command: list[str]
    ports: frozenset[str]
    resources: dict[str, Any]


@dataclass(frozen=True)
class Server:
    """What one of our servers needs to run.

    Parameters
    ----------
    name
        Of its Deployment and Service.
    image, user
        The image, and the number of the user that it is made for.
    args, env
        Its arguments and variables; a variable's value may be a `valueFrom`.
    ports, hidden_ports
        Numbers by name: those of the Service, and those of the pod alone.
    ready, alive
        Port's name and path that tell whether it serves, and whether it lives; without a path it
        lives as long as it takes connections.
    files, file_directory
        Its configuration and where that is mounted.
    data, size
        The directory that should outlive a restart, and how much goes there.
    volumes
        Further ones by name: where each is mounted, and its source.
    annotations
        Of the pod.
    resources
        As in a container.
    grace
        Seconds that it takes to end well.
    account
        Its ServiceAccount, if it talks to the API.
    front
        What takes its connections in its place.
    """

    name: str
    image: str
    user: int
    args: list[str]
    ports: dict[str, int]
    ready: tuple[str, str]
    alive: tuple[str, str]
    data: str
    size: str
    resources: dict[str, Any]
    env: dict[str, str | dict[str, Any]] = field(default_factory=dict)
    hidden_ports: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    file_directory: str = ""
    volumes: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    grace: int = 30
    account: str = ""
    front: Front | None = None


def objects(facility: Facility, facts: Facts, server: Server) -> list[dict[str, Any]]:
    """Return all objects of a server, its Deployment last."""
    made: list[dict[str, Any]] = []
    if server.files:
        made.append(_configmap(facility, server))
    if _on_a_volume(facts, server):
        made.append(_claim(facility, server))
    return [*made, _service(facility, server), _deployment(facility, facts, server)]


def _on_a_volume(facts: Facts, server: Server) -> bool:
    """Return whether there is a volume for its data, or can be one."""
    return facts.storage or server.name in facts.claims


def _configmap(facility: Facility, server: Server) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": ours(facility, server.name, server.name),
        "data": {_key(path): text for path, text in server.files.items()},
    }


def _key(path: str) -> str:
    return path.replace("/", ".")


def _claim(facility: Facility, server: Server) -> dict[str, Any]:
    wanted = facility.collector.storage.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": ours(facility, server.name, server.name),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": server.size}},
            **({"storageClassName": wanted} if wanted else {}),
        },
    }


def _service(facility: Facility, server: Server) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": ours(facility, server.name, server.name),
        "spec": {
            "selector": chosen_by(facility, server.name),
            "ports": [
                {"name": name, "port": number, "targetPort": name, "protocol": "TCP"}
                for name, number in server.ports.items()
            ],
        },
    }


def _deployment(facility: Facility, facts: Facts, server: Server) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(server.files, sort_keys=True).encode()).hexdigest()
    template = {
        "metadata": {
            "labels": labels(facility, server.name),
            # A change of the files alone makes no new pod, and no server of ours rereads them.
            "annotations": {
                CONFIG_ANNOTATION: digest[:12],
                # What `kubectl logs` shows unless asked for another one.
                "kubectl.kubernetes.io/default-container": _name(server),
                **server.annotations,
            },
        },
        "spec": _pod(facility, facts, server),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": ours(facility, server.name, server.name),
        "spec": {
            "replicas": 1,
            # Two pods cannot have the one volume.
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": chosen_by(facility, server.name)},
            "template": template,
        },
    }


def _pod(facility: Facility, facts: Facts, server: Server) -> dict[str, Any]:
    where = facility.collector
    data = (
        {"persistentVolumeClaim": {"claimName": server.name}}
        if _on_a_volume(facts, server)
        else {"emptyDir": {"sizeLimit": server.size}}
    )
    volumes = {"data": (server.data, data), **server.volumes}
    if server.files:
        items = [{"key": _key(path), "path": path} for path in server.files]
        source = {"configMap": {"name": server.name, "items": items}}
        volumes["config"] = (server.file_directory, source)
    spec: dict[str, Any] = {
        "automountServiceAccountToken": bool(server.account),
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": server.user,
            "runAsGroup": server.user,
            "fsGroup": server.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": server.grace,
        "containers": [_container(facility, server, volumes), *_front(facility, server)],
        "volumes": [{"name": name, **source} for name, (_, source) in volumes.items()],
    }
    if server.front:
        spec["volumes"].append({"name": _SCRATCH, "emptyDir": {"sizeLimit": "16Mi"}})
    if server.account:
        spec["serviceAccountName"] = server.account
    if where.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in where.pull_secrets]
    if where.node_selector:
        spec["nodeSelector"] = dict(where.node_selector)
    if where.tolerations:
        spec["tolerations"] = [
            toleration.model_dump(by_alias=True, exclude_none=True)
            for toleration in where.tolerations
        ]
    return spec


def _container(
    facility: Facility, server: Server, volumes: Mapping[str, tuple[str, dict[str, Any]]]
) -> dict[str, Any]:
    return {
        "name": _name(server),
        "image": server.image,
        "imagePullPolicy": facility.collector.pull_policy,
        "args": server.args,
        "env": [
            {"name": name, **({"value": value} if isinstance(value, str) else {"valueFrom": value})}
            for name, value in (server.env | _memory(server)).items()
        ],
        "ports": [
            {"name": name, "containerPort": number, "protocol": "TCP"}
            for name, number in (server.ports | server.hidden_ports).items()
            if server.front is None or name not in server.front.ports
        ],
        "resources": server.resources,
        "securityContext": _confined(),
        # Old data may take minutes to read; until it has started once, it is not killed for that.
        "startupProbe": _probe(server.ready, periodSeconds=2, failureThreshold=150),
        "readinessProbe": _probe(server.ready, periodSeconds=5, failureThreshold=3),
        "livenessProbe": _probe(server.alive, periodSeconds=20, failureThreshold=6),
        "volumeMounts": [
            {"name": name, "mountPath": path, **({"readOnly": True} if _read(source) else {})}
            for name, (path, source) in volumes.items()
        ],
    }


def _name(server: Server) -> str:
    """Return the name of a server's own container."""
    return server.name.removeprefix("af-otel-")


def _front(facility: Facility, server: Server) -> list[dict[str, Any]]:
    front = server.front
    if front is None:
        return []
    ports = {name: number for name, number in server.ports.items() if name in front.ports}
    serves = (next(iter(ports)), "")
    return [
        {
            "name": front.name,
            "image": front.image,
            "imagePullPolicy": facility.collector.pull_policy,
            "command": front.command,
            "ports": [
                {"name": name, "containerPort": number, "protocol": "TCP"}
                for name, number in ports.items()
            ],
            "resources": front.resources,
            "securityContext": _confined(),
            "startupProbe": _probe(serves, periodSeconds=2, failureThreshold=30),
            "readinessProbe": _probe(serves, periodSeconds=5, failureThreshold=3),
            "livenessProbe": _probe(serves, periodSeconds=20, failureThreshold=6),
            "volumeMounts": [
                {"name": "config", "mountPath": server.file_directory, "readOnly": True},
                {"name": _SCRATCH, "mountPath": "/tmp"},  # noqa: S108 - in its container
            ],
        }
    ]


def _confined() -> dict[str, Any]:
    """Return a container's security context, as the level `restricted` asks for."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def _read(source: Mapping[str, Any]) -> bool:
    return bool({"configMap", "secret"} & set(source))


def _memory(server: Server) -> dict[str, str]:
    # All of them are written in Go, which knows nothing of its container's limit by itself.
    limit = amount(server.resources["limits"]["memory"])
    return {"GOMEMLIMIT": f"{int(limit * 0.8 / MIB)}MiB"}


def _probe(asked: tuple[str, str], **times: int) -> dict[str, Any]:
    port, path = asked
    how: dict[str, Any] = (
        {"httpGet": {"path": path, "port": port}} if path else {"tcpSocket": {"port": port}}
    )
    return {**how, "timeoutSeconds": 5, **times}
