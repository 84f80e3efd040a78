"""Prometheus servers in the cluster: those of the Prometheus operator, and plain ones."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from af_otel.facility.discovery.look import (
    address,
    labels_of,
    matches,
    name_of,
    namespace_of,
    ports_of,
    template_of,
    words_of,
)
from af_otel.facility.discovery.servers import called, running, services, workloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.facility.discovery.look import Look, Object

_OPERATOR = "monitoring.coreos.com/v1"
_RECEIVES = "--web.enable-remote-write-receiver"
_PREFIX = "--web.route-prefix="
_IMAGE = re.compile(r"(^|/)prometheus([:@]|$)")
_PORT = 9090


@dataclass
class Prometheus:
    """A Prometheus, and how metrics get into it."""

    what: str
    query: str
    remote_write: str = ""
    scrape: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    monitor_namespace: str = ""
    notes: list[str] = field(default_factory=list)


def find(look: Look, namespace: str) -> list[Prometheus]:
    """Return every Prometheus, the operator's first; our Collector will run in `namespace`."""
    operated = [_operated(look, item, namespace) for item in look.all("Prometheus", _OPERATOR)]
    return [*operated, *_plain(look)]


def _operated(look: Look, item: Object, ours: str) -> Prometheus:
    namespace, spec = namespace_of(item), item.get("spec") or {}
    prefix = str(spec.get("routePrefix") or "/").rstrip("/")
    base = _operated_address(look, item) + prefix
    found = Prometheus(f"Prometheus `{name_of(item)}` of the operator in `{namespace}`", base)
    if spec.get("enableRemoteWriteReceiver"):
        found.remote_write = f"{base}/api/v1/write"
        return found
    found.scrape = "service_monitor"
    found.labels, note = _selected(spec.get("serviceMonitorSelector"))
    found.notes += [note] if note else []
    within = spec.get("serviceMonitorNamespaceSelector")
    if within is None:
        found.monitor_namespace = namespace
    elif within:
        required, _ = _selected(within)
        if not matches(required, look.namespace_labels(ours)):
            own = matches(required, look.namespace_labels(namespace))
            found.monitor_namespace = namespace if own else ""
            if not own:
                listed = ", ".join(f"{key}={value}" for key, value in required.items())
                found.notes.append(f"it looks in namespaces labelled {listed} only")
    return found


def _operated_address(look: Look, item: Object) -> str:
    namespace, name = namespace_of(item), name_of(item)
    pods = {
        "operator.prometheus.io/name": name,
        "prometheus": name,
        "app.kubernetes.io/name": "prometheus",
        "app.kubernetes.io/instance": name,
    }
    for service in look.all("Service"):
        spec = service.get("spec") or {}
        if (
            namespace_of(service) == namespace
            and spec.get("clusterIP") != "None"
            and _PORT in ports_of(service)
            and matches(spec.get("selector"), pods)
        ):
            return address(service, _PORT)
    # The operator makes this one for all of its Prometheuses in a namespace.
    return f"http://prometheus-operated.{namespace}:{_PORT}"


def _selected(selector: dict[str, Any] | None) -> tuple[dict[str, str], str]:
    """Return labels that a selector matches, and a note on what they do not satisfy."""
    if selector is None:
        return {}, "its serviceMonitorSelector is not set, so it takes no ServiceMonitor"
    labels = dict(selector.get("matchLabels") or {})
    remaining = []
    for rule in selector.get("matchExpressions") or ():
        key, operator, values = rule["key"], rule["operator"], rule.get("values") or [""]
        if operator == "In":
            labels.setdefault(key, values[0])
        elif operator == "Exists":
            labels.setdefault(key, "true")
        else:
            remaining.append(f"{key} {operator} {', '.join(values)}".rstrip())
    return labels, f"it also asks for: {'; '.join(remaining)}" if remaining else ""


def _plain(look: Look) -> Iterator[Prometheus]:
    for workload in workloads(look):
        container = running(workload, _IMAGE)
        labels = labels_of(workload) | (template_of(workload)["metadata"].get("labels") or {})
        if container is None or "operator.prometheus.io/name" in labels:
            continue
        service = next(iter(services(look, workload)), None)
        if service is None:
            continue
        words = words_of(container)
        prefix = next((word[len(_PREFIX) :] for word in words if word.startswith(_PREFIX)), "")
        ports = ports_of(service)
        port = _PORT if _PORT in ports else min(ports)
        base = address(service, port, prefix.rstrip("/"))
        about = f"Prometheus: {called(workload)}"
        if any(word.split("=")[0] == _RECEIVES and not word.endswith("=false") for word in words):
            yield Prometheus(about, base, remote_write=f"{base}/api/v1/write")
        else:
            note = (
                f"it runs without `{_RECEIVES}`, so it has to fetch: "
                "does its configuration follow `prometheus.io/…` annotations?"
            )
            yield Prometheus(about, base, scrape="annotations", notes=[note])
