"""Where a hub's users' servers run, and how to know them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from af_otel.facility.discovery.look import (
    annotations_of,
    containers_of,
    labels_of,
    matches,
    name_of,
    namespace_of,
    template_of,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from af_otel.facility.discovery.hubs import Hub
    from af_otel.facility.discovery.look import Look, Object

USERNAME = "hub.jupyter.org/username"
_USUAL = {"component": "singleuser-server"}
# Labels that differ from user to user, or from pod to pod.
_PERSONAL = ("hub.jupyter.org/", "pod-template-hash", "controller-", "jhub_user")


@dataclass
class Users:
    """Users' servers of one hub."""

    namespaces: list[str]
    selector: dict[str, str]
    running: int = 0
    note: str = ""
    of_their_own: bool = False
    """Whether every user has a namespace, which is made when they first come."""


def pods(look: Look) -> list[Object]:
    """Every user's pod that may be seen."""
    return [item for item in look.all("Pod") if USERNAME in annotations_of(item) | labels_of(item)]


def find(look: Look, hub: Hub, hubs: Sequence[Hub]) -> Users:
    """The users of `hub`, by their pods and by what its service account may do elsewhere."""
    mine = [pod for pod in pods(look) if _hub_namespace(pod, hubs) == hub.namespace]
    granted = _granted(look, hub)
    told = hub.settings.get("KubeSpawner.namespace", "")
    seen = sorted({namespace_of(pod) for pod in mine} | ({told} if told and mine else set()))
    places = seen or ([told] if told else granted) or [hub.namespace]
    users = Users(places, _selector(mine, hub), len(mine))
    users.of_their_own = hub.settings.get("KubeSpawner.enable_user_namespaces") == "True"
    elsewhere = [name for name in places if name != hub.namespace]
    if mine:
        users.note = "known by their pods, which run there"
    elif told:
        users.note = "none runs; `c.KubeSpawner.namespace` says where they will"
    elif granted and elsewhere:
        users.note = "none runs; the hub's service account may make pods there"
    else:
        users.note = "none runs; KubeSpawner's namespace is the hub's by default"
    return users


def _hub_namespace(pod: Object, hubs: Sequence[Hub]) -> str:
    """The namespace of the hub that a user's pod reports to."""
    places = {hub.namespace for hub in hubs}
    for container in containers_of(pod):
        url = variables_of(container).get("JUPYTERHUB_API_URL", "")
        host = (urlsplit(url).hostname or "") if "://" in url else ""
        parts = host.split(".")
        if len(parts) > 1 and parts[1] in places:
            return parts[1]
    if namespace_of(pod) in places:
        return namespace_of(pod)
    return next(iter(places)) if len(places) == 1 else ""


def _granted(look: Look, hub: Hub) -> list[str]:
    """Namespaces in which the hub's service account may make pods."""
    account = template_of(hub.workload)["spec"].get("serviceAccountName") or "default"
    before = len(look.unread)
    api = "rbac.authorization.k8s.io/v1"
    roles = {(namespace_of(item), name_of(item)): item for item in look.all("Role", api)}
    found = set()
    for binding in look.all("RoleBinding", api):
        subjects = binding.get("subjects") or ()
        bound = any(
            item.get("kind") == "ServiceAccount"
            and item.get("name") == account
            and item.get("namespace") == hub.namespace
            for item in subjects
        )
        role = roles.get((namespace_of(binding), binding["roleRef"]["name"]), {})
        if bound and any(
            "pods" in (rule.get("resources") or ())
            and {"create", "*"} & set(rule.get("verbs") or ())
            for rule in role.get("rules") or ()
        ):
            found.add(namespace_of(binding))
    # It helps where nobody is logged in; without it the default holds.
    del look.unread[before:]
    return sorted(found)


def _selector(mine: Sequence[Object], hub: Hub) -> dict[str, str]:
    labelled = hub.settings.get("KubeSpawner.component_label", "")
    if not mine and labelled:
        return {"component": labelled}
    if not mine or all(matches(_USUAL, labels_of(pod)) for pod in mine):
        return dict(_USUAL)
    common = dict(labels_of(mine[0]))
    for pod in mine[1:]:
        common = dict(common.items() & labels_of(pod).items())
    own = template_of(hub.workload)["metadata"].get("labels") or {}
    told = {
        key: value
        for key, value in sorted(common.items())
        if not key.startswith(_PERSONAL) and own.get(key) != value
    }
    for key in ("component", "app.kubernetes.io/component", "app.kubernetes.io/name", "app"):
        if key in told:
            return {key: told[key]}
    return told or dict(_USUAL)
