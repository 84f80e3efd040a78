"""The policy that protects identity: which clients may set what the Collector believes of a pod.

Labels and annotations are chosen by whoever creates or changes a pod. The API server alone knows
who that is, so it has to refuse forgeries: a ValidatingAdmissionPolicy, in Kubernetes since 1.30.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from af_otel_semconv import carriers

from af_otel.kubernetes.objects._labels import metadata
from af_otel.kubernetes.objects._settings import hub_label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Facts, Workload

API = "admissionregistration.k8s.io/v1"
SINCE = (1, 30)
PROTECTED = (carriers.POD_SESSION_ID, carriers.POD_USER_HASH)
# A binding's annotations and labels become the pod's; a status is written with them.
_RESOURCES = ["pods", "pods/status", "pods/binding", "bindings"]
# Those that create pods from templates, or change whose they are. Other service accounts of
# kube-system may be anybody's, an operator's for one.
_CONTROLLERS = [
    "system:kube-controller-manager",  # of control planes whose controllers share one account
    *(
        f"system:serviceaccount:kube-system:{name}"
        for name in (
            "replicaset-controller",
            "statefulset-controller",
            "daemon-set-controller",
            "job-controller",
            "replication-controller",
            "generic-garbage-collector",
        )
    ),
]
_TEMPLATE = "pod-template-hash"


def guarded(facility: Facility, facts: Facts) -> bool:
    """Return whether the policy is installed: the Collector believes what it protects."""
    return facility.privacy.guard and facts.version >= SINCE


def guard_name(facility: Facility) -> str:
    """Return the name of the policy and its binding."""
    return f"af-otel-{facility.name}-identity"


def guard(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return the ValidatingAdmissionPolicy and its binding; nothing if there is to be none."""
    if not guarded(facility, facts):
        return []
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": _RESOURCES,
    }
    name = guard_name(facility)
    validations = [*_annotations(facility, facts.hub), *_hub_label(facility, facts.hub)]
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "variables": _named(_variables()),
        "validations": [
            {"expression": expression, "message": message, "reason": "Forbidden"}
            for expression, message in validations
        ],
    }
    namespaces = {
        "key": "kubernetes.io/metadata.name",
        "operator": "In",
        "values": sorted(facility.injected_namespaces),
    }
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchExpressions": [namespaces]}},
    }
    kind = "ValidatingAdmissionPolicy"
    return [
        {"apiVersion": API, "kind": kind, "metadata": metadata(facility, name), "spec": policy},
        {
            "apiVersion": API,
            "kind": f"{kind}Binding",
            "metadata": metadata(facility, name),
            "spec": binding,
        },
    ]


def _named(expressions: Iterator[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "expression": expression} for name, expression in expressions]


def _variables() -> Iterator[tuple[str, str]]:
    for field in ("annotations", "labels"):
        yield field, f"object.metadata.?{field}.orValue({{}})"
        was = f"oldObject.metadata.?{field}.orValue({{}})"
        yield f"{field}Before", f"oldObject == null ? {{}} : {was}"
    yield "owners", "object.metadata.?ownerReferences.orValue([])"
    before = "oldObject.metadata.?ownerReferences.orValue([])"
    yield "ownersBefore", f"oldObject == null ? [] : {before}"


def _annotations(facility: Facility, hub: Workload | None) -> Iterator[tuple[str, str]]:
    account = f"{facility.hub.namespace}:{hub.account}" if hub else ""
    is_hub = _text(f"system:serviceaccount:{account}") if hub else "''"
    for key in PROTECTED:
        now, before = (f"variables.{each}[?{_text(key)}]" for each in _pair("annotations"))
        only = f"service account {account}" if hub else "the hub, which was not found"
        yield (
            f"{now} == {before} || request.userInfo.username == {is_hub}",
            f"Annotation {key} says whose telemetry a pod sends, and may be set only by {only}",
        )


def _hub_label(facility: Facility, hub: Workload | None) -> Iterator[tuple[str, str]]:
    """Yield the rule for the hub's label: a controller has to create the pod, and names itself as
    the owner. Without a workload of the hub the Collector believes no pod, so there is no rule.
    """
    if hub is None:
        return
    key, value = hub_label(facility)
    labelled, labelled_before = (
        f"(variables.{each}[?{_text(key)}].orValue('') == {_text(value)})"
        for each in _pair("labels")
    )
    template, template_before = (f"variables.{each}[?'{_TEMPLATE}']" for each in _pair("labels"))
    same = f"{template} == {template_before} && variables.owners == variables.ownersBefore"
    allowed = [
        f"request.namespace != {_text(facility.hub.namespace)}",
        # A dry run creates nothing that could send; `install` tries the injection with them.
        "request.?dryRun.orValue(false)",
        f"request.userInfo.username in {_text(_CONTROLLERS)}",
        f"({labelled} == {labelled_before} && (!{labelled} || ({same})))",
    ]
    message = (
        f"Label {key}={value} is the hub's, whose telemetry is believed about every user: only "
        "controllers may create such pods, or change their label or owner"
    )
    yield " ||\n".join(allowed), message


def _pair(field: str) -> tuple[str, str]:
    return field, f"{field}Before"


def _text(value: str | list[str]) -> str:
    return json.dumps(value)
