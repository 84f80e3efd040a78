"""Where a facility's telemetry can go: its Prometheus, Tempo and Grafana."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from af_otel.facility.discovery.look import (
    address,
    containers_of,
    labels_of,
    matches,
    name_of,
    namespace_of,
    ports_of,
    template_of,
    variables_of,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from af_otel.facility.discovery.look import Look, Object

_OPERATOR = "monitoring.coreos.com/v1"
_RECEIVES = "--web.enable-remote-write-receiver"
_PREFIX = "--web.route-prefix="
_PROMETHEUS_IMAGE = re.compile(r"(^|/)prometheus([:@]|$)")
_TEMPO_IMAGE = re.compile(r"(^|/)(tempo|grafana-tempo)([:@]|$)")
_GRAFANA_IMAGE = re.compile(r"(^|/)grafana(-oss|-enterprise)?([:@]|$)")
_OTLP_HTTP, _OTLP_GRPC, _PROMETHEUS_PORT = 4318, 4317, 9090
_TEMPO_API = (3200, 3100)  # the second in charts until 2023


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


@dataclass
class Tempo:
    """A Tempo, and its ways in and out."""

    what: str
    endpoint: str
    protocol: str = "http"
    query: str = ""


@dataclass
class Grafana:
    """A Grafana, and what its sidecars look for."""

    what: str
    namespace: str = ""
    """Where they look, if not everywhere."""
    dashboards: dict[str, str] = field(default_factory=dict)
    data_sources: dict[str, str] = field(default_factory=dict)


def prometheuses(look: Look, namespace: str) -> list[Prometheus]:
    """Every Prometheus that may be seen, the operator's first; ours is to run in `namespace`."""
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
    found.labels, note = _wanted(spec.get("serviceMonitorSelector"))
    found.notes += [note] if note else []
    within = spec.get("serviceMonitorNamespaceSelector")
    if within is None:
        found.monitor_namespace = namespace
    elif within:
        wanted, _ = _wanted(within)
        if not matches(wanted, look.namespace_labels(ours)):
            own = matches(wanted, look.namespace_labels(namespace))
            found.monitor_namespace = namespace if own else ""
            if not own:
                listed = ", ".join(f"{key}={value}" for key, value in wanted.items())
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
            and _PROMETHEUS_PORT in ports_of(service)
            and matches(spec.get("selector"), pods)
        ):
            return address(service, _PROMETHEUS_PORT)
    # The operator makes this one for all of its Prometheuses in a namespace.
    return f"http://prometheus-operated.{namespace}:{_PROMETHEUS_PORT}"


def _wanted(selector: dict[str, Any] | None) -> tuple[dict[str, str], str]:
    """Labels that a selector chooses, and what else it asks for."""
    if selector is None:
        return {}, "its serviceMonitorSelector is not set, so it takes no ServiceMonitor"
    labels = dict(selector.get("matchLabels") or {})
    left = []
    for rule in selector.get("matchExpressions") or ():
        key, operator, values = rule["key"], rule["operator"], rule.get("values") or [""]
        if operator == "In":
            labels.setdefault(key, values[0])
        elif operator == "Exists":
            labels.setdefault(key, "true")
        else:
            left.append(f"{key} {operator} {', '.join(values)}".rstrip())
    return labels, f"it also asks for: {'; '.join(left)}" if left else ""


def _plain(look: Look) -> Iterator[Prometheus]:
    for workload in _workloads(look):
        container = _running(workload, _PROMETHEUS_IMAGE)
        labels = labels_of(workload) | (template_of(workload)["metadata"].get("labels") or {})
        if container is None or "operator.prometheus.io/name" in labels:
            continue
        services = _services(look, workload)
        service = next(iter(services), None)
        if service is None:
            continue
        words = words_of(container)
        prefix = next((word[len(_PREFIX) :] for word in words if word.startswith(_PREFIX)), "")
        ports = ports_of(service)
        port = _PROMETHEUS_PORT if _PROMETHEUS_PORT in ports else min(ports)
        base = address(service, port, prefix.rstrip("/"))
        about = f"Prometheus: {_called(workload)}"
        if any(word.split("=")[0] == _RECEIVES and not word.endswith("=false") for word in words):
            yield Prometheus(about, base, remote_write=f"{base}/api/v1/write")
        else:
            note = (
                f"it runs without `{_RECEIVES}`, so it has to fetch: "
                "is it told to by `prometheus.io/…` annotations?"
            )
            yield Prometheus(about, base, scrape="annotations", notes=[note])


def tempos(look: Look) -> list[Tempo]:
    """Every Tempo that may be seen; of the distributed one, the parts together."""
    parts = [item for item in _workloads(look) if _is_tempo(item)]
    services: dict[tuple[str, str], list[Object]] = {}
    for item in parts:
        labels = labels_of(item)
        release = labels.get("app.kubernetes.io/instance") or labels.get("release") or name_of(item)
        for service in _services(look, item):
            known = services.setdefault((namespace_of(item), release), [])
            known += [service] if service not in known else []
    if not parts:
        # Its Service alone will do: it may lead out of the cluster.
        for service in look.all("Service"):
            if "tempo" in name_of(service):
                services.setdefault((namespace_of(service), "tempo"), []).append(service)
    return [
        found
        for (namespace, release), ways in sorted(services.items())
        if (found := _tempo(namespace, release, ways)) is not None
    ]


def _tempo(namespace: str, release: str, services: Sequence[Object]) -> Tempo | None:
    endpoint, protocol = "", "http"
    for port, kind in ((_OTLP_HTTP, "http"), (_OTLP_GRPC, "grpc")):
        takes = [item for item in services if port in ports_of(item)]
        if takes and not endpoint:
            best = min(takes, key=_rank)
            endpoint, protocol = address(best, port), kind
    if not endpoint:
        return None
    query = ""
    for port in _TEMPO_API:
        asks = [item for item in services if port in ports_of(item)]
        if asks and not query:
            # Every part of a distributed Tempo has this port; the frontend is who answers.
            front = [item for item in asks if "query-frontend" in name_of(item)]
            query = address(min(front or asks, key=_rank), port)
    return Tempo(f"Tempo `{release}` in `{namespace}`", endpoint, protocol, query)


def _rank(service: Mapping[str, Any]) -> tuple[bool, int, str]:
    headless = service.get("spec", {}).get("clusterIP") == "None"
    return headless, len(name_of(service)), name_of(service)


def _is_tempo(workload: Object) -> bool:
    return _running(workload, _TEMPO_IMAGE) is not None


def grafanas(look: Look) -> list[Grafana]:
    """Every Grafana that may be seen."""
    return [
        _grafana(item) for item in _workloads(look) if _running(item, _GRAFANA_IMAGE) is not None
    ]


def _grafana(workload: Object) -> Grafana:
    found = Grafana(f"Grafana: {_called(workload)}")
    spec = template_of(workload)["spec"]
    looks_in: set[str] = set()
    for container in [*(spec.get("initContainers") or ()), *containers_of(workload)]:
        variables = variables_of(container)
        label = variables.get("LABEL", "")
        if not label or variables.get("RESOURCE", "both") == "secret":
            continue
        wanted = {label: variables.get("LABEL_VALUE") or "1"}
        kind = f"{container.get('name', '')} {label}".lower()
        if "dashboard" in kind:
            found.dashboards = wanted
        elif "datasource" in kind:
            found.data_sources = wanted
        else:
            continue
        looks_in |= set((variables.get("NAMESPACE") or namespace_of(workload)).split(","))
    if looks_in and "ALL" not in looks_in:
        own = namespace_of(workload)
        found.namespace = own if own in looks_in else min(looks_in)
    return found


def _workloads(look: Look) -> list[Object]:
    return [*look.all("Deployment", "apps/v1"), *look.all("StatefulSet", "apps/v1")]


def _running(workload: Object, image: re.Pattern[str]) -> dict[str, Any] | None:
    for container in containers_of(workload):
        if image.search(str(container.get("image", ""))):
            return container
    return None


def _services(look: Look, workload: Object) -> list[Object]:
    labels = template_of(workload)["metadata"].get("labels") or {}
    found = [
        item
        for item in look.all("Service")
        if namespace_of(item) == namespace_of(workload)
        and matches(item.get("spec", {}).get("selector"), labels)
        and ports_of(item)
    ]
    return sorted(found, key=_rank)


def _called(workload: Object) -> str:
    return f"{workload['kind']} `{name_of(workload)}` in `{namespace_of(workload)}`"
