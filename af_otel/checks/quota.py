"""A namespace may have a quota that is used up, or bounds that a pod of ours does not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.checks._registry import check
from af_otel.checks.context import PROBE
from af_otel.checks.finding import Finding
from af_otel.facility.values import amount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from af_otel.checks._sources import Object
    from af_otel.checks.context import Context

_COUNTS = {
    "Pod": ("pods", "count/pods"),
    "ConfigMap": ("configmaps", "count/configmaps"),
    "Secret": ("secrets", "count/secrets"),
    "Service": ("services", "count/services"),
    "PersistentVolumeClaim": ("persistentvolumeclaims", "count/persistentvolumeclaims"),
    "Deployment": ("count/deployments.apps",),
}


@check("Cluster", "Is there room in the namespaces' quotas?")
def quotas_have_room(context: Context) -> Iterator[Finding]:
    """What is rendered for each namespace, against what its quotas have left."""
    needs: dict[str, dict[str, float]] = {}
    bare: dict[str, set[str]] = {}
    for obj in context.rendered:
        namespace = obj["metadata"].get("namespace")
        if namespace and context.live.get(obj) is None:
            _add(needs.setdefault(namespace, {}), bare.setdefault(namespace, set()), obj)
    for namespace, wanted in needs.items():
        ranges = context.objects.list("LimitRange", "v1", namespace)
        lacking = bare[namespace] - set(_defaults(ranges))
        quotas = context.objects.list("ResourceQuota", "v1", namespace)
        probes = _of_probes(context, namespace) if quotas else {}
        for quota in quotas:
            yield from _exceeded(namespace, quota, wanted, lacking, probes)
        for limits in ranges:
            yield from _out_of_bounds(context, namespace, limits)


def _of_probes(context: Context, namespace: str) -> dict[str, float]:
    """What the pods of other checks take up meanwhile; they are gone before an install."""
    found: dict[str, float] = {}
    probe = {"matchExpressions": [{"key": PROBE, "operator": "Exists"}]}
    for kind in ("Pod", "ConfigMap"):
        for obj in context.objects.list(kind, "v1", namespace, probe):
            _add(found, set(), obj)
    return found


def _defaults(ranges: Iterable[Object]) -> Iterator[str]:
    """What a container gets that says nothing of it."""
    for item in (each for limits in ranges for each in limits["spec"].get("limits") or ()):
        if item.get("type") == "Container":
            for name in item.get("default") or ():
                yield from (f"limits.{name}", f"requests.{name}")
            yield from (f"requests.{name}" for name in item.get("defaultRequest") or ())


def _add(needs: dict[str, float], bare: set[str], obj: Object) -> None:
    for name in _COUNTS.get(obj["kind"], ()):
        needs[name] = needs.get(name, 0) + 1
    spec = obj.get("spec", {})
    if obj["kind"] in {"Deployment", "StatefulSet"} and spec.get("template"):
        _add(needs, bare, {"kind": "Pod", "spec": spec["template"]["spec"]})
    for container in spec["containers"] if obj["kind"] == "Pod" else ():
        resources = container.get("resources") or {}
        for kind in ("requests", "limits"):
            for name in ("cpu", "memory"):
                value = (resources.get(kind) or {}).get(name)
                if value is None:
                    bare.add(f"{kind}.{name}")
                    continue
                key = f"{kind}.{name}"
                needs[key] = needs.get(key, 0) + _amount(value)
    if obj["kind"] == "PersistentVolumeClaim":
        size = obj["spec"]["resources"]["requests"]["storage"]
        needs["requests.storage"] = needs.get("requests.storage", 0) + _amount(size)


def _exceeded(
    namespace: str,
    quota: Object,
    wanted: Mapping[str, float],
    bare: set[str],
    probes: Mapping[str, float],
) -> Iterator[Finding]:
    if quota["spec"].get("scopes") or quota["spec"].get("scopeSelector"):
        return
    status = quota.get("status") or {}
    hard: Mapping[str, Any] = status.get("hard") or quota["spec"].get("hard") or {}
    used = status.get("used") or {}
    name = quota["metadata"]["name"]
    for key, most in hard.items():
        plain = f"requests.{key}" if key in {"cpu", "memory"} else key
        need = wanted.get(plain, 0)
        taken = max(0, _amount(used.get(key, "0")) - probes.get(plain, 0))
        # Thousandths are no round numbers to Python: three of 0.1 are more than 0.3.
        if round(taken + need, 3) > _amount(most):
            yield Finding(
                "blocks",
                f"The quota of `{namespace}` has no room for what an install adds: `{key}`",
                f"ResourceQuota `{name}`: {_shown(key, taken)} of {most} are used, "
                f"{_shown(key, need)} more are needed",
                "Pods or objects of ours would be refused",
                f"kubectl -n {namespace} edit resourcequota {name}  # at least "
                f"{_shown(key, taken + need)} for {key}",
            )
        elif plain in bare:
            yield Finding(
                "blocks",
                f"The quota of `{namespace}` asks every pod for `{plain}`, which ours lack",
                f"ResourceQuota `{name}`",
                "The Collector's pod would be refused",
                "# in facility.yaml\ncollector: {resources: {limits: {cpu: '1'}}}",
            )


def _out_of_bounds(context: Context, namespace: str, limits: Object) -> Iterator[Finding]:
    if namespace != context.facility.namespace:
        return
    resources = context.facility.collector.resources.model_dump(exclude_none=True)
    for item in limits["spec"].get("limits") or ():
        if item.get("type") != "Container":
            continue
        for bound, kind in (("max", "limits"), ("min", "requests")):
            for name, value in (item.get(bound) or {}).items():
                mine = resources[kind].get(name)
                if mine is None:
                    continue
                over = _amount(mine) > _amount(value)
                if over if bound == "max" else _amount(mine) < _amount(value):
                    change = f"{{resources: {{{kind}: {{{name}: {value}}}}}}}"
                    yield Finding(
                        "blocks",
                        f"`{namespace}` allows a container {'at most' if over else 'no less than'} "
                        f"{value} of `{name}`, and the Collector's {kind} are {mine}",
                        f"LimitRange `{limits['metadata']['name']}`",
                        "The Collector's pod would be refused",
                        f"# in facility.yaml\ncollector: {change}",
                    )


def _amount(quantity: Any) -> float:
    try:
        return amount(str(quantity))
    except AssertionError:
        return float(quantity)


def _shown(key: str, value: float) -> str:
    if "memory" in key or "storage" in key:
        return f"{value / 2**20:.0f}Mi"
    return f"{value:g}"
