"""The overlay for Zero to JupyterHub: its hub, and its users' pods by KubeSpawner's settings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from af_otel.kubernetes.objects import _pod
from af_otel.kubernetes.objects._labels import COLLECTOR, chosen_by
from af_otel.kubernetes.objects._values import (
    PATH,
    Overlay,
    Values,
    image_of,
    init_step,
    ours_first,
    with_ours,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from af_otel.facility import Facility

_OWN_PATH = "AF_OTEL_OWN_PYTHONPATH"
_OTLP_PORTS = (4317, 4318)
_BYTES = re.compile(r"([0-9.]+)([KMGT]?)")


def z2jh(facility: Facility, values: Values, payload: str) -> Overlay:
    """The overlay for values of such a release."""
    hub, users = values["hub"], values["singleuser"]
    made: Values = {
        "hub": {
            "initContainers": ours_first(
                init_step(
                    image_of(hub, "hub.image"),
                    hub.get("containerSecurityContext"),
                    hub.get("resources"),
                ),
                hub.get("initContainers"),
            ),
            "extraVolumes": with_ours(hub.get("extraVolumes"), _pod.volumes(payload)),
            "extraVolumeMounts": with_ours(hub.get("extraVolumeMounts"), [_pod.mount()]),
            "extraEnv": _env(facility, hub.get("extraEnv")),
        },
        "singleuser": {
            "initContainers": ours_first(
                init_step(image_of(users, "singleuser.image"), _user(users), _limits(users)),
                users.get("initContainers"),
            ),
            "extraEnv": _env(facility, users.get("extraEnv")),
            "storage": _storage(users.get("storage") or {}, payload),
        },
    }
    for name, part in (("hub", hub), ("singleuser", users)):
        network = part.get("networkPolicy") or {}
        private = (network.get("egressAllowRules") or {}).get("privateIPs")
        if network.get("enabled") and not private:
            ours = _egress(facility)
            theirs = [rule for rule in network.get("egress") or () if rule != ours]
            made[name]["networkPolicy"] = {"egress": [*theirs, ours]}
    return Overlay(made, [*_profiles(users)])


def _env(facility: Facility, own: Any) -> Any:
    """Return `extraEnv` in the form that the release has it in.

    No name is twice in it: `helm upgrade` merges a Deployment's variables by their names.
    """
    if not isinstance(own, list):
        return _env_by_name(facility, own or {})
    named = {each["name"]: {**each} for each in own if not _pod.is_former(facility, each)}
    added = _env_by_name(facility, named)
    # Behind what they refer to.
    order = [*(name for name in named if name not in added), *added]
    every = {**named, **added}
    return [
        {**value, "name": name} if isinstance(value, dict) else {"name": name, "value": value}
        for name, value in ((name, every[name]) for name in order)
    ]


def _env_by_name(facility: Facility, own: Mapping[str, Any]) -> Values:
    env = _without_set(_pod.variables(facility), own)
    path = own.get(PATH)
    if isinstance(path, dict) and "value" in path:
        path = path["value"]
    if path is None or _is_our_path(path):
        return {**env, PATH: path or f"{_pod.HOME}:{_pod.IMAGES_OWN}"}
    if isinstance(path, str):
        return {**env, PATH: f"{_pod.HOME}:{path}" if path else _pod.HOME}
    # The charts and KubeSpawner put this one first.
    renamed = {key: value for key, value in path.items() if key != "name"}
    return {_OWN_PATH: renamed, **env, PATH: f"{_pod.HOME}:$({_OWN_PATH})"}


def _without_set(wanted: dict[str, str], own: Mapping[str, Any]) -> Values:
    mine = ({"name": name, "value": value} for name, value in wanted.items())
    return {
        each["name"]: each["value"]
        for each in mine
        if own.get(each["name"]) in (None, each["value"], each)
    }


def _is_our_path(value: Any) -> bool:
    return isinstance(value, str) and value.split(":")[0] == _pod.HOME


def _storage(storage: Mapping[str, Any], payload: str) -> Values:
    ours = {"extraVolumes": _pod.volumes(payload), "extraVolumeMounts": [_pod.mount()]}
    return {
        # Of a mapping the keys mean nothing, and ours is added to them by Helm.
        name: {each["name"]: each for each in items}
        if isinstance(storage.get(name), dict)
        else with_ours(storage.get(name), items)
        for name, items in ours.items()
    }


def _user(users: Mapping[str, Any]) -> Values:
    security: Values = {"runAsUser": users.get("uid")}
    security["allowPrivilegeEscalation"] = users.get("allowPrivilegeEscalation")
    return {name: value for name, value in security.items() if value is not None}


def _limits(users: Mapping[str, Any]) -> Values:
    """What a user's container has, so that quotas and limit ranges let the init step pass."""
    made: Values = {}
    for kind, setting in (("requests", "guarantee"), ("limits", "limit")):
        cpu = (users.get("cpu") or {}).get(setting)
        memory = _bytes((users.get("memory") or {}).get(setting))
        found = {"cpu": str(cpu) if cpu else None, "memory": memory}
        made[kind] = {name: value for name, value in found.items() if value}
    return {kind: value for kind, value in made.items() if value}


def _bytes(amount: Any) -> str | None:
    """JupyterHub's `1G` is what Kubernetes calls `1Gi`."""
    match = _BYTES.fullmatch(str(amount or ""))
    if match is None:
        return None
    return str(int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " ")))


def _egress(facility: Facility) -> Values:
    place = {"kubernetes.io/metadata.name": facility.namespace}
    return {
        "to": [
            {
                "namespaceSelector": {"matchLabels": place},
                "podSelector": {"matchLabels": chosen_by(facility, COLLECTOR)},
            }
        ],
        "ports": [{"port": port, "protocol": "TCP"} for port in _OTLP_PORTS],
    }


def _profiles(users: Mapping[str, Any]) -> Iterator[str]:
    for profile in users.get("profileList") or ():
        overrides = profile.get("kubespawner_override") or {}
        name = profile.get("display_name", "?")
        lists = [
            each
            for each in ("init_containers", "volumes", "volume_mounts")
            if isinstance(overrides.get(each), list)
        ]
        if lists:
            yield (
                f"Profile `{name}` replaces {', '.join(f'`{each}`' for each in lists)}: add ours "
                "there as well, or its servers do not start"
            )
        if PATH in (overrides.get("environment") or {}):
            yield f"Profile `{name}` sets its own {PATH}: its servers run untraced"
    if any("image" in str(profile) for profile in users.get("profileList") or ()):
        yield (
            "Where a profile has another image, the init step still runs in `singleuser.image`: "
            "a PYTHONPATH that such an image sets by itself is not seen"
        )
