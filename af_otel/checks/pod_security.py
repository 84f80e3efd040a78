"""A namespace may refuse pods by their security: ours pass `restricted`, and what is added to a
facility's own pods copies theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.checks._registry import check
from af_otel.checks.finding import Finding, NotChecked
from af_otel.kubernetes.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks._sources import Object
    from af_otel.checks.context import Context

_ENFORCE = "pod-security.kubernetes.io/enforce"


@check("Cluster", "Do the namespaces admit the pods of an install?", source="files")
def namespaces_admit_our_pods(context: Context) -> Iterator[Finding]:
    """Each pod of ours is offered to the API server as a dry run, which applies every policy."""
    facility = context.facility
    if context.cluster is None:
        yield from _by_reading(context)
        return
    for obj in context.rendered:
        template = obj.get("spec", {}).get("template")
        if obj["kind"] not in {"Deployment", "StatefulSet", "DaemonSet", "Job"} or not template:
            continue
        namespace = obj["metadata"]["namespace"]
        if not context.there(namespace):
            continue  # it is made as ours like it
        try:
            context.cluster.create(_pod(obj, template), dry_run=True)
        except Invalid as refusal:
            if "serviceaccount" in refusal.where.lower():
                continue  # made by the install, just before
            if "exceeded quota" in refusal.where:
                continue  # `quota.py` says of what there is too little
            level = context.labels_of(namespace).get(_ENFORCE, "")
            yield Finding(
                "blocks",
                f"Namespace `{namespace}` refuses the pod of `{obj['metadata']['name']}`",
                refusal.where,
                "It would never start" + (f"; the namespace enforces `{level}`" if level else ""),
                f"kubectl get validatingadmissionpolicies,validatingwebhookconfigurations\n"
                f"kubectl get namespace {namespace} -o yaml"
                if "PodSecurity" not in refusal.where
                else f"# or another `namespace` in facility.yaml\n"
                f"kubectl label --overwrite namespace {namespace} {_ENFORCE}=baseline",
            )
    yield from _restricted(context, facility.injected_namespaces)


def _restricted(context: Context, namespaces: list[str]) -> Iterator[Finding]:
    for name in namespaces:
        if (level := context.labels_of(name).get(_ENFORCE, "")) == "restricted":
            yield Finding(
                "info",
                f"Namespace `{name}` enforces pod security `{level}`",
                f"label `{_ENFORCE}`",
                "Our init container has the security context of the pod's first container, and "
                "needs nothing more: what passes today will pass",
            )


def _by_reading(context: Context) -> Iterator[Finding]:
    if not any(context.namespace(name) for name in context.facility.injected_namespaces):
        raise NotChecked("no namespace is among the files")
    yield from _restricted(context, context.facility.injected_namespaces)


def _pod(obj: Object, template: dict[str, Any]) -> Object:
    spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
    meta = {
        "generateName": f"{obj['metadata']['name']}-",
        "namespace": obj["metadata"]["namespace"],
        "labels": template["metadata"].get("labels") or {},
        "annotations": template["metadata"].get("annotations") or {},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
