"""An install that lacks a right stops halfway; whoever grants rights wants to see exactly which."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from af_otel.checks._registry import check
from af_otel.checks.finding import Finding
from af_otel.kubernetes.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from af_otel.checks._sources import Object
    from af_otel.checks.context import Context
    from af_otel.kubernetes.client import Cluster

NAME = "af-otel-install"
_GROUP = "rbac.authorization.k8s.io"
# To look, to apply (server-side apply of what is new creates it), to take out again.
_VERBS = ("get", "create", "patch", "delete")
_AT_A_TIME = 8


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource, in a namespace or everywhere."""

    namespace: str
    group: str
    resource: str  # with its subresource: `pods/exec`
    verb: str

    def held(self, cluster: Cluster) -> bool:
        """Whether the caller has it."""
        resource, _, subresource = self.resource.partition("/")
        return cluster.may(self.verb, resource, self.group, self.namespace, "", subresource)


@check("Access", "May you do all that an install does?")
def you_may_install(context: Context) -> Iterator[Finding]:
    """Asked of the cluster for each verb on each resource that the rendered objects need."""
    cluster = context.live
    rights = set(_needed(context))
    with ThreadPoolExecutor(max_workers=_AT_A_TIME) as executor:
        wanted = sorted(rights)
        held = dict(zip(wanted, executor.map(lambda each: each.held(cluster), wanted), strict=True))
        missing = [right for right, has in held.items() if not has]
        missing += sorted(_escalation(context, cluster, executor) - set(missing))
    if not missing:
        return
    who = _who(cluster)
    places = dict.fromkeys(
        f"namespace `{each.namespace}`" if each.namespace else "the whole cluster"
        for each in missing
    )
    kinds = dict.fromkeys(each.resource for each in missing)
    yield Finding(
        "blocks",
        f"You (`{who}`) lack {len(missing)} of {len(rights)} rights that an install needs",
        f"in {', '.join(places)}: on " + ", ".join(f"`{kind}`" for kind in kinds),
        "The install would stop where the first of them is needed",
        "# for somebody who may grant them: kubectl apply -f -\n"
        + "---\n".join(
            yaml.safe_dump(obj, sort_keys=False, default_flow_style=None, width=100)
            for obj in _grant(context, missing, who)
        ).rstrip(),
    )


def _needed(context: Context) -> Iterator[Right]:
    """What install, status, verify and uninstall ask of the API."""
    cluster, facility = context.live, context.facility
    for obj in context.rendered:
        try:
            served = cluster.resource(obj["apiVersion"], obj["kind"])
        except NotFound:  # its definition is not there; other checks say so
            continue
        namespace = obj["metadata"].get("namespace", "") if served.namespaced else ""
        yield from _each(namespace, served.group, served.plural, _VERBS)
    # The inventory, and what credentials are taken from.
    yield from _each(facility.namespace, "", "secrets", _VERBS)
    for namespace in dict.fromkeys([facility.namespace, *facility.injected_namespaces]):
        for group, resource, verbs in _EVERYWHERE:
            yield from _each(namespace, group, resource, verbs)
    for namespace in dict.fromkeys([facility.namespace, facility.hub.namespace]):
        yield from _each(namespace, "", "pods/portforward", _STREAM)
    yield from _each(facility.hub.namespace, "", "pods/exec", _STREAM)
    yield Right("", "storage.k8s.io", "storageclasses", "list")
    # Claims that exist are used, though none might be rendered otherwise.
    yield Right(facility.namespace, "", "persistentvolumeclaims", "get")


_STREAM = ("get", "create")  # WebSockets begin with a GET
_EVERYWHERE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("", "namespaces", ("get",)),
    ("", "pods", ("get", "list", "create", "delete")),
    ("", "pods/log", ("get",)),
    ("", "services", ("get",)),
    ("", "events", ("list",)),
    ("networking.k8s.io", "networkpolicies", ("list",)),
)


def _each(namespace: str, group: str, resource: str, verbs: Iterable[str]) -> Iterator[Right]:
    for verb in verbs:
        yield Right(namespace, group, resource, verb)


def _escalation(context: Context, cluster: Cluster, executor: ThreadPoolExecutor) -> set[Right]:
    """Nobody may grant what they do not have, unless they may `escalate` and `bind`."""
    missing: set[Right] = set()
    for obj in context.rendered:
        if obj["kind"] not in {"Role", "ClusterRole"}:
            continue
        namespace = obj["metadata"].get("namespace", "")
        plural = obj["kind"].lower() + "s"
        if all(
            cluster.may(verb, plural, _GROUP, namespace, obj["metadata"]["name"])
            for verb in ("escalate", "bind")
        ):
            continue
        granted = [
            Right(namespace, group, resource, verb)
            for rule in obj.get("rules") or ()
            for group in rule.get("apiGroups") or ()
            for resource in rule.get("resources") or ()
            for verb in rule["verbs"]
        ]
        held = executor.map(lambda each: each.held(cluster), granted)
        missing |= {right for right, has in zip(granted, held, strict=True) if not has}
    return missing


def _who(cluster: Cluster) -> str:
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "SelfSubjectReview",
        "metadata": {},
    }
    said = cluster.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
    return str(said["status"]["userInfo"].get("username", "you"))


def _grant(context: Context, missing: Sequence[Right], who: str) -> Iterator[Object]:
    """Roles with only what is missing, and what binds them to the caller."""
    by_namespace: dict[str, list[Right]] = defaultdict(list)
    for right in missing:
        by_namespace[right.namespace].append(right)
    for namespace, rights in sorted(by_namespace.items()):
        if namespace and not context.there(namespace):
            yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        scope = "" if namespace else "Cluster"
        name = NAME if namespace else f"{NAME}-{context.facility.name}"
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        version = f"{_GROUP}/v1"
        yield {
            "apiVersion": version,
            "kind": f"{scope}Role",
            "metadata": meta,
            "rules": list(_rules(rights)),
        }
        yield {
            "apiVersion": version,
            "kind": f"{scope}RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": _GROUP, "kind": f"{scope}Role", "name": name},
            "subjects": [_subject(who)],
        }


def _rules(rights: Iterable[Right]) -> Iterator[dict[str, Any]]:
    """Few rules: resources of a group that have the same verbs share one."""
    verbs: dict[tuple[str, str], list[str]] = defaultdict(list)
    for right in rights:
        verbs[right.group, right.resource].append(right.verb)
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (group, resource), wanted in verbs.items():
        alike[group, tuple(sorted(wanted))].append(resource)
    for (group, wanted_verbs), resources in sorted(alike.items()):
        yield {"apiGroups": [group], "resources": resources, "verbs": list(wanted_verbs)}


def _subject(who: str) -> Mapping[str, str]:
    parts = who.split(":")
    if parts[:2] == ["system", "serviceaccount"]:
        return {"kind": "ServiceAccount", "namespace": parts[2], "name": parts[3]}
    return {"kind": "User", "apiGroup": _GROUP, "name": who}
