"""Pods are known by labels: a selector that is wrong chooses nobody, or somebody else's pods."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from af_otel.checks import _templates
from af_otel.checks._labels import chooses, text
from af_otel.checks._registry import check
from af_otel.checks.finding import Finding, NotChecked
from af_otel.kubernetes.objects._labels import FACILITY, both
from af_otel.kubernetes.objects.injection import CHOOSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks._sources import Object
    from af_otel.checks.context import Context
    from af_otel.kubernetes.objects._labels import Pods

_FIELDS = {"hub": "hub.selector", "user": "users.selector", "dask": "dask"}


@check("Pods and images", "Do the selectors choose pods that are there?", source="files")
def selectors_choose_pods(context: Context) -> Iterator[Finding]:
    """The hub's must; users and Dask clusters may be away just now."""
    for place in context.places:
        if context.cluster is None and place.role != "hub":
            continue
        if context.cluster is not None and not context.there(place.namespace):
            yield Finding(
                "blocks",
                f"There is no namespace `{place.namespace}`",
                f"`{_FIELDS[place.role].split('.', maxsplit=1)[0]}` in facility.yaml",
                "Nothing there can be injected",
                "kubectl get pods -A -l component=hub  # shows where the hub is",
            )
            continue
        if context.pods(place) or list(context.templates_in(place.namespace, place)):
            continue
        if context.cluster is None and not context.objects.list("Deployment", "apps/v1"):
            raise NotChecked("no workload is among the files")
        yield _nobody(context, place)


def _nobody(context: Context, place: Pods) -> Finding:
    names = {
        f"`{key}: {value}`"
        for pod in context.objects.list("Pod", "v1", place.namespace)
        for key, value in (pod["metadata"].get("labels") or {}).items()
        if key.endswith("component")
    }
    seen = f"; pods there have {', '.join(sorted(names))}" if names else "; no pod is there"
    hub = place.role == "hub"
    return Finding(
        "blocks" if hub else "info",
        f"No pod in `{place.namespace}` is chosen for {_templates.ROLES[place.role]}",
        f"`{_FIELDS[place.role]}` in facility.yaml (`{text(place.selector)}`){seen}",
        "The hub would not be injected, and no session be traced"
        if hub
        else "None runs just now, or the selector is wrong: what is injected cannot be told yet",
        f"kubectl -n {place.namespace} get pods --show-labels",
    )


@check("Pods and images", "Is every pod chosen once?")
def pods_are_chosen_once(context: Context) -> Iterator[Finding]:
    """By one role, and by one facility."""
    for place in context.places:
        for other in context.places:
            if (other.role, other.namespace) <= (place.role, place.namespace):
                continue
            both = [
                pod["metadata"]["name"]
                for pod in context.pods(place)
                if other.namespace == place.namespace
                and chooses(other.selector, pod["metadata"].get("labels") or {})
            ]
            if both:
                yield Finding(
                    "warns",
                    f"Pod `{both[0]}` is chosen as one of {_templates.ROLES[place.role]} and of "
                    f"{_templates.ROLES[other.role]}",
                    f"`{text(place.selector)}` and `{text(other.selector)}` in `{place.namespace}`",
                    "Its telemetry would be taken for the wrong one's",
                    "# in facility.yaml, selectors that tell them apart",
                )
    hub = next(place for place in context.places if place.role == "hub")
    owners = {
        reference["name"]
        for pod in context.pods(hub)
        for reference in pod["metadata"].get("ownerReferences") or ()
    }
    if len(owners) > 1:
        yield Finding(
            "warns",
            f"{len(owners)} hubs in `{hub.namespace}` are chosen by one selector",
            f"`{text(hub.selector)}`: " + ", ".join(f"`{name}`" for name in sorted(owners)),
            "Their users would be one facility's",
            "# in facility.yaml, with the release's name\n"
            "hub: {selector: {component: hub, release: NAME}}",
        )
    yield from _others(context)


def _others(context: Context) -> Iterator[Finding]:
    """Other facilities whose policies choose the same pods, or could."""
    mine = context.facility.name
    kind, version = "MutatingAdmissionPolicyBinding", "admissionregistration.k8s.io/v1"
    for binding in context.live.list(kind, version, labels=FACILITY):
        other = binding["metadata"]["labels"][FACILITY]
        if other == mine:
            continue
        place, selector = _shared(context, binding) or (None, {})
        if place is None:
            continue
        role, now = _templates.ROLES[place.role], _are_there(context, place, selector)
        yield Finding(
            "blocks" if now else "warns",
            f"Facility `{other}` {'injects' if now else 'would inject'} {role} in "
            f"`{place.namespace}` as well",
            f"`{text(place.selector)}`, and `{text(selector) or 'every pod'}` of {kind} "
            f"`{binding['metadata']['name']}`",
            "Which of the two a pod reports to would be chance",
            "# in facility.yaml, selectors that tell them apart; or, with the facility.yaml of "
            f"`{other}`\naf-otel uninstall",
        )


def _shared(context: Context, binding: Object) -> tuple[Pods, dict[str, Any]] | None:
    """A place of ours where another facility's policy chooses the same pods, and its selector;
    one that has such pods now, if there is one.
    """
    namespaces = (binding["spec"].get("matchResources") or {}).get("namespaceSelector")
    told = _told(binding)
    found = [
        (place, each["selector"])
        for place in context.places
        if chooses(namespaces, context.labels_of(place.namespace))
        # One that does not tell may choose every pod.
        for each in told or [{"namespace": place.namespace, "selector": {}}]
        if each["namespace"] == place.namespace and both(place.selector, each["selector"])
    ]
    return max(found, key=lambda each: _are_there(context, *each), default=None)


def _told(binding: Object) -> list[dict[str, Any]]:
    """Which pods a policy is for, as its binding tells; none where that cannot be read."""
    try:
        told = json.loads((binding["metadata"].get("annotations") or {})[CHOOSES])
        return [{key: each[key] for key in ("namespace", "selector")} for each in told]
    except (KeyError, TypeError, ValueError):  # of an older version, or edited since
        return []


def _are_there(context: Context, place: Pods, selector: dict[str, Any]) -> bool:
    return any(
        chooses(selector, pod["metadata"].get("labels") or {}) for pod in context.pods(place)
    )
