"""What checks rely on in files that nobody has validated: where mappings, lists and texts are."""

from __future__ import annotations

from typing import Any

# A mapping of the fields that are looked at (`*`: all of them), a list of the one kind of item that
# it has, a type, or a tuple of any of these. What is absent or null fits everywhere but in lists.
Shape = Any

_CONTAINERS = [{"image": str, "env": [{}]}]
_TEMPLATE = {
    "metadata": {"labels": {}},
    "spec": {"containers": _CONTAINERS, "volumes": [{"secret": {"secretName": str}}]},
}
_SELECTOR = {
    "matchLabels": {},
    "matchExpressions": [{"key": str, "operator": str, "values": [str]}],
}
_PEERS = [
    {
        "ipBlock": {"cidr": str, "except": [str]},
        "namespaceSelector": _SELECTOR,
        "podSelector": _SELECTOR,
    }
]
_EGRESS = [{"to": _PEERS, "ports": [{"port": (int, str), "endPort": int, "protocol": str}]}]
_INGRESS = [{"from": _PEERS, "ports": [{"port": (int, str), "endPort": int, "protocol": str}]}]
_METADATA = {"name": str, "namespace": str, "labels": {}}
OBJECTS: dict[str, Shape] = {
    "Pod": {"metadata": _METADATA, "spec": _TEMPLATE["spec"]},
    "Deployment": {"metadata": _METADATA, "spec": {"template": _TEMPLATE}},
    "StatefulSet": {"metadata": _METADATA, "spec": {"template": _TEMPLATE}},
    "NetworkPolicy": {
        "metadata": _METADATA,
        "spec": {
            "podSelector": _SELECTOR,
            "policyTypes": [str],
            "egress": _EGRESS,
            "ingress": _INGRESS,
        },
    },
    "ConfigMap": {"metadata": _METADATA, "data": {}},
    "Secret": {"metadata": _METADATA, "data": {}, "stringData": {}},
}
_ENV: Shape = ({}, [{}])
_NAMED: Shape = ([{}], {})  # KubeSpawner takes a mapping by name as well
_DASK_POD: Shape = {
    "extraPodConfig": {"initContainers": [{}], "volumes": [{}]},
    "extraContainerConfig": {"volumeMounts": [{}]},
}
_CODE = (str, {"*": str})
CHARTS: dict[str, Shape] = {
    "jupyterhub": {
        "hub": {
            "config": {},
            "extraConfig": _CODE,
            "extraEnv": _ENV,
            "loadRoles": {"*": {"scopes": [str]}},
            "networkPolicy": {"egress": _EGRESS},
        },
        "singleuser": {
            "extraEnv": _ENV,
            "extraLabels": {},
            "extraTolerations": [{}],
            "image": {"pullSecrets": [(str, {})]},
            "initContainers": _NAMED,
            "networkPolicy": {"egress": _EGRESS},
            "nodeSelector": {},
            "profileList": [{}],
            "storage": {"extraVolumes": _NAMED, "extraVolumeMounts": _NAMED},
        },
        "imagePullSecrets": [(str, {})],
    },
    "dask-gateway": {
        "gateway": {
            "backend": {
                "environment": {},
                "imagePullSecrets": [{}],
                "scheduler": _DASK_POD,
                "worker": _DASK_POD,
            },
            "extraConfig": _CODE,
        }
    },
}


def misfit(value: Any, shape: Shape, path: str = "") -> tuple[str, str]:
    """The first thing that has another shape: its dotted path, and what it should be. Both are
    empty where all fits.
    """
    if isinstance(shape, tuple):
        found = [misfit(value, each, path) for each in shape]
        if any(not wanted for _, wanted in found):
            return "", ""
        # What is wrong inside of the right kind tells more than that another kind would do, too.
        inner = next((each for each in found if each[0] != path), None)
        return inner or (path, " or ".join(wanted for _, wanted in found))
    if isinstance(shape, type):
        # To Python, true and false are numbers.
        fits = isinstance(value, shape) and not isinstance(value, bool)
        return ("", "") if fits else (path, _NAMES[shape])
    if not isinstance(value, type(shape)):
        return path, _NAMES[type(shape)]
    if isinstance(shape, list):
        below = [(f"{path}[{number}]", item, shape[0]) for number, item in enumerate(value)]
    else:
        below = [
            (f"{path}.{key}".lstrip("."), item, shape.get(key, shape.get("*")))
            for key, item in value.items()
            if item is not None and (key in shape or "*" in shape)
        ]
    found = [misfit(item, kind, place) for place, item, kind in below]
    return next((each for each in found if each[1]), ("", ""))


_NAMES = {dict: "a mapping", list: "a list", str: "a text", int: "a number"}
