"""Names and labels that all objects of a facility share, and the pods that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from af_otel.facility import Facility

FACILITY = "af-otel.io/facility"
OURS = {"app.kubernetes.io/managed-by": "af-otel", "app.kubernetes.io/part-of": "af-otel"}
COLLECTOR = "af-otel-collector"


@dataclass(frozen=True)
class Pods:
    """Some pods that send telemetry: what they are, where, and how they are known."""

    role: str
    namespace: str
    selector: dict[str, Any]


def labels(facility: Facility, component: str = "") -> dict[str, str]:
    """The labels of an object; with `component`, which part of ours it belongs to."""
    made = {**OURS, FACILITY: facility.name}
    return made | chosen_by(facility, component) if component else made


def chosen_by(facility: Facility, component: str) -> dict[str, str]:
    """The labels that choose the pods of a part of ours: a workload's selector never changes."""
    return {"app.kubernetes.io/name": component, FACILITY: facility.name}


def metadata(
    facility: Facility, name: str, namespace: str | None = None, component: str = ""
) -> dict[str, Any]:
    """The metadata of an object in `namespace`, or of one that is the whole cluster's."""
    where = {"namespace": namespace} if namespace else {}
    return {"name": name, **where, "labels": labels(facility, component)}


def ours(facility: Facility, name: str, component: str = "") -> dict[str, Any]:
    """The metadata of an object in the facility's own namespace."""
    return metadata(facility, name, facility.namespace, component)


def pods(facility: Facility) -> list[Pods]:
    """All pods that are injected: the hub's, the users', Dask's, by namespace."""
    made = [Pods("hub", facility.hub.namespace, label_selector(facility.hub.selector))]
    users = label_selector(facility.users.selector)
    made += [Pods("user", namespace, users) for namespace in facility.users.namespaces]
    for entry in facility.dask:
        selector = label_selector(entry.selector)
        made += [Pods("dask", namespace, selector) for namespace in entry.namespaces]
    return made


def label_selector(selector: Mapping[str, str | Iterable[str]]) -> dict[str, Any]:
    """Write `key: value` and `key: [values]` as Kubernetes' LabelSelector."""
    made: dict[str, Any] = {}
    for key, value in selector.items():
        if isinstance(value, str):
            made.setdefault("matchLabels", {})[key] = value
        else:
            wanted = {"key": key, "operator": "In", "values": list(value)}
            made.setdefault("matchExpressions", []).append(wanted)
    return made


def chooses(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector chooses what has these labels; an empty one chooses everything."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(each, labels) for each in selector.get("matchExpressions") or ())


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the LabelSelector of what both choose; nothing if no pod can have the labels."""
    wanted, more = _values(first), _values(second)
    if any(not values & more[key] for key, values in wanted.items() if key in more):
        return None
    equal = {**(first.get("matchLabels") or {}), **(second.get("matchLabels") or {})}
    expressions = [
        *(first.get("matchExpressions") or ()),
        *(second.get("matchExpressions") or ()),
    ]
    made: dict[str, Any] = {"matchLabels": equal} if equal else {}
    if expressions:
        made["matchExpressions"] = expressions
    return made


def _values(selector: Mapping[str, Any]) -> dict[str, set[str]]:
    """The values that a selector allows, by label."""
    made = {key: {value} for key, value in (selector.get("matchLabels") or {}).items()}
    for expression in selector.get("matchExpressions") or ():
        if expression["operator"] == "In":
            allowed = set(expression["values"])
            made[expression["key"]] = made.get(expression["key"], allowed) & allowed
    # Charts know the label by either name: a proxy is no Dask worker, though no one label says so.
    for key in [key for key in made if key.endswith("/component")]:
        values = made.pop(key)
        made["component"] = made.get("component", values) & values
    return made
