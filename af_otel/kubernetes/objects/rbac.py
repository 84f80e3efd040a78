"""What the Collector may read of the cluster: the pods of the facility's namespaces, no more.

It needs them to know who sent what (`k8s_attributes`) and to find what it scrapes. Nodes, which are
in no namespace, only where their metrics are wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.kubernetes.objects._labels import COLLECTOR, metadata, ours

if TYPE_CHECKING:
    from af_otel.facility import Facility

GROUP = "rbac.authorization.k8s.io"
READ = ["get", "list", "watch"]


def access(facility: Facility) -> list[dict[str, Any]]:
    """Return the ServiceAccount of the Collector, its Roles and what binds them."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": ours(facility, COLLECTOR, COLLECTOR),
    }
    made = [account]
    for namespace in facility.injected_namespaces:
        made += _granted(facility, [_rule("pods", READ)], namespace)
    if facility.scrape.nodes:
        # The second is what a kubelet asks the API about before it answers.
        rules = [_rule("nodes", READ), _rule("nodes/metrics", ["get"])]
        made += _granted(facility, rules)
    return made


def _granted(
    facility: Facility, rules: list[dict[str, Any]], namespace: str | None = None
) -> list[dict[str, Any]]:
    # Several facilities may share a namespace that is none's own.
    name = f"{COLLECTOR}-{facility.name}"
    scope = "" if namespace else "Cluster"
    role = {"kind": f"{scope}Role", "name": name, "apiGroup": GROUP}
    account = {"kind": "ServiceAccount", "name": COLLECTOR, "namespace": facility.namespace}
    version = {"apiVersion": f"{GROUP}/v1"}

    def meta() -> dict[str, Any]:
        return metadata(facility, name, namespace, COLLECTOR)

    return [
        {**version, "kind": f"{scope}Role", "metadata": meta(), "rules": rules},
        {
            **version,
            "kind": f"{scope}RoleBinding",
            "metadata": meta(),
            "roleRef": role,
            "subjects": [account],
        },
    ]


def _rule(resource: str, verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [""], "resources": [resource], "verbs": verbs}
