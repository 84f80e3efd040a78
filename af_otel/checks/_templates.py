"""Pods like the facility's: copied from those that run, else from what the spawners are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from af_otel.checks._labels import chooses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from af_otel.checks._config import Setting
    from af_otel.checks._sources import Chart
    from af_otel.checks.context import Context
    from af_otel.kubernetes.objects._labels import Pods

MOST = 4  # images of a kind that are looked at; each is a pod
# Labels that tie a pod to something that would take care of it: a controller, an account.
_TIES = {
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "job-name",
    "controller-uid",
    "gateway.dask.org/cluster",
    "dask.org/cluster-name",
    "dask.org/workergroup-name",
    "dask.org/worker-name",
    "hub.jupyter.org/username",
    "hub.jupyter.org/servername",
}
_SHARED = (
    "app",
    "release",
    "chart",
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "helm.sh/chart",
)
_SPEC = (
    "nodeSelector",
    "tolerations",
    "affinity",
    "serviceAccountName",
    "securityContext",
    "imagePullSecrets",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "dnsPolicy",
    "dnsConfig",
)


@dataclass(frozen=True)
class Template:
    """What one of the facility's pods is like, as far as a probe copies it."""

    place: Pods
    role: str  # in words: "users' pods"
    image: str
    where: str  # it was learnt from
    labels: Mapping[str, str]
    spec: Mapping[str, Any]  # the pod's, with its first container alone

    @property
    def container(self) -> Mapping[str, Any]:
        """The container that everything of ours is for."""
        container: Mapping[str, Any] = self.spec["containers"][0]
        return container


ROLES = {"hub": "the hub", "user": "users' pods", "dask": "Dask's pods"}


def of(context: Context, place: Pods) -> list[Template]:
    """One template for each image that pods of a place have, the newest first."""
    found: dict[str, Template] = {}
    for template in _all(context, place):
        found.setdefault(template.image, template)
    return list(found.values())


def _all(context: Context, place: Pods) -> Iterator[Template]:
    role = ROLES[place.role]
    for pod in context.pods(place):
        where = f"Pod `{pod['metadata']['name']}` in `{place.namespace}`"
        yield _copy(place, role, where, pod["metadata"].get("labels") or {}, pod["spec"])
    for template in context.templates_in(place.namespace, place):
        where = f"a workload's template in `{place.namespace}`"
        labels = template["metadata"].get("labels") or {}
        yield _copy(place, role, where, labels, template["spec"])
    for chart in context.charts:
        if place.role == "user" and chart.name == "jupyterhub":
            yield from _users(context, place, chart)
        elif place.role == "dask" and chart.name == "dask-gateway":
            yield from _gateway(place, chart)
    for setting in context.settings:
        image = setting.value if isinstance(setting.value, str) else ""
        mine = {"user": "KubeSpawner", "dask": "KubeClusterConfig"}.get(place.role, "")
        if image and setting.name == f"{mine}.image":
            yield _set(context, place, image, mine, setting)


def _copy(
    place: Pods, role: str, where: str, labels: Mapping[str, str], spec: Mapping[str, Any]
) -> Template:
    first = spec["containers"][0]
    container = {
        key: first[key] for key in ("image", "imagePullPolicy", "securityContext") if key in first
    }
    made = {key: spec[key] for key in _SPEC if spec.get(key)}
    kept = {key: value for key, value in labels.items() if not tied(key)}
    return Template(
        place, role, first.get("image", ""), where, kept, {**made, "containers": [container]}
    )


def tied(label: str) -> bool:
    """Whether a label would make others take a probe for one of theirs."""
    return label in _TIES or label.startswith("batch.kubernetes.io/")


def _users(context: Context, place: Pods, chart: Chart) -> Iterator[Template]:
    """The servers that z2jh's KubeSpawner makes; and those of its profiles."""
    name, release = chart.value("nameOverride", "jupyterhub"), chart.value("Release.Name")
    wanted = {
        "app": name,
        "app.kubernetes.io/name": name,
        **({"release": release, "app.kubernetes.io/instance": release} if release else {}),
        **_of_release(context),
        "app.kubernetes.io/component": "singleuser-server",
        **chart.value("singleuser.extraLabels", {}),
        **_selected(place),
    }
    labels = {key: str(value) for key, value in wanted.items() if "{" not in str(value)}
    spec: dict[str, Any] = {
        "securityContext": {"fsGroup": chart.value("singleuser.fsGid", 100)},
        "imagePullSecrets": [
            {"name": name}
            for name in [
                *chart.value("imagePullSecrets", []),
                *chart.value("singleuser.image.pullSecrets", []),
            ]
            if isinstance(name, str)
        ],
        "nodeSelector": chart.value("singleuser.nodeSelector", {}),
        "tolerations": chart.value("singleuser.extraTolerations", []),
        "serviceAccountName": chart.value("singleuser.serviceAccountName", ""),
    }
    security = {"allowPrivilegeEscalation": False, "runAsUser": chart.value("singleuser.uid", 1000)}
    name, tag = chart.value("singleuser.image.name"), chart.value("singleuser.image.tag")
    images = {f"{name}:{tag}" if tag else str(name): "singleuser.image"} if name else {}
    for image in _images(chart.value("singleuser.profileList", [])):
        images.setdefault(image, "singleuser.profileList")
    for image, key in images.items():
        container = {"image": image, "securityContext": security}
        made = {key: value for key, value in spec.items() if value}
        yield Template(
            place, ROLES["user"], image, chart.at(key), labels, {**made, "containers": [container]}
        )


def _images(found: Any) -> Iterator[str]:
    """The images of profiles and of the choices in them."""
    if isinstance(found, list):
        for item in found:
            yield from _images(item)
    elif isinstance(found, dict):
        override = found.get("kubespawner_override")
        if isinstance(override, dict) and isinstance(override.get("image"), str):
            yield override["image"]
        for value in found.values():
            yield from _images(value)


def _gateway(place: Pods, chart: Chart) -> Iterator[Template]:
    name, tag = (chart.value(f"gateway.backend.image.{key}") for key in ("name", "tag"))
    if name:
        image = f"{name}:{tag}" if tag else str(name)
        at = chart.at("gateway.backend.image")
        spec = {
            "imagePullSecrets": chart.value("gateway.backend.imagePullSecrets", []),
            "containers": [{"image": image}],
        }
        made = {key: value for key, value in spec.items() if value}
        yield Template(place, ROLES["dask"], image, at, _selected(place), made)


def _set(context: Context, place: Pods, image: str, mine: str, setting: Setting) -> Template:
    """A spawner that no chart configures."""
    known = {each.name: each.value for each in context.settings}
    labels = _of_release(context) if place.role == "user" else {}
    for trait in ("common_labels", "extra_labels"):
        if isinstance(more := known.get(f"{mine}.{trait}"), dict):
            labels |= {key: value for key, value in more.items() if isinstance(value, str)}
    container: dict[str, Any] = {"image": image}
    if isinstance(uid := known.get(f"{mine}.uid"), int):
        container["securityContext"] = {"runAsUser": uid, "allowPrivilegeEscalation": False}
    if isinstance(policy := known.get(f"{mine}.image_pull_policy"), str):
        container["imagePullPolicy"] = policy
    spec: dict[str, Any] = {"containers": [container]}
    if isinstance(group := known.get(f"{mine}.fs_gid"), int):
        spec["securityContext"] = {"fsGroup": group}
    if isinstance(account := known.get(f"{mine}.service_account"), str):
        spec["serviceAccountName"] = account
    plain = {key: value for key, value in labels.items() if "{" not in value}
    return Template(
        place, ROLES[place.role], image, setting.where, {**plain, **_selected(place)}, spec
    )


def _of_release(context: Context) -> dict[str, str]:
    """Labels that a chart gives the hub and, by KubeSpawner, users' pods; policies ask for them."""
    hub = next(place for place in context.places if place.role == "hub")
    for pod in [*context.pods(hub), *context.templates_in(hub.namespace, hub)]:
        labels = pod["metadata"].get("labels") or {}
        return {key: labels[key] for key in _SHARED if key in labels}
    return {}


def _selected(place: Pods) -> dict[str, str]:
    """Labels that the facility's own selector asks for."""
    labels = dict(place.selector.get("matchLabels") or {})
    for each in place.selector.get("matchExpressions") or ():
        if each["operator"] == "In":
            labels[each["key"]] = each["values"][-1]
    assert chooses(place.selector, labels)
    return labels


def bare(place: Pods, labels: Mapping[str, str]) -> Template:
    """Pods of which nothing is known but how they are chosen."""
    return Template(place, ROLES[place.role], "", "", labels, {"containers": [{}]})
