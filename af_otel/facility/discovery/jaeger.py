"""Jaeger servers in the cluster: of the operators, of the Helm chart, and plain ones."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from af_otel.facility.discovery import jaeger_options, tempo
from af_otel.facility.discovery.look import (
    address,
    containers_of,
    labels_of,
    name_of,
    namespace_of,
)
from af_otel.facility.discovery.servers import port_to, rank, running, services, workloads
from af_otel.facility.discovery.trace_store import TraceStore, otlp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from af_otel.facility.discovery.look import Look, Object

    Group = tuple[str, str]
    """Namespace and name of a Jaeger whose parts belong together."""

_IMAGE = re.compile(
    r"((^|/)jaeger(-all-in-one|-collector|-query)?|jaeger[^/]*/all-in-one)"
    r"(-rhel\d+|-debug|-snapshot)*([:@]|$)"
)
_OPENTELEMETRY = "opentelemetry.io/v1beta1"
_KIND = "OpenTelemetryCollector"
_INSTANCE, _MANAGER = "app.kubernetes.io/instance", "app.kubernetes.io/managed-by"
_COMPONENT = "app.kubernetes.io/component"
_V1_COMPONENTS = {"all-in-one", "collector", "query"}
_PART = re.compile(r"-(collector|query)(-(headless|extension|monitoring))?$")
_QUERY_PORT = 16686
_QUERY_NAMES = ("jaeger-query", "query")  # of the OpenTelemetry operator, and of chart 3
_VERSION = re.compile(r":v?(\d+)\.(\d+)")


@dataclass
class _Part:
    """A workload of a Jaeger: all of it, its collector or its query service."""

    services: list[Object]
    workload: Object = field(default_factory=dict)
    container: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    """Its configuration, where the OpenTelemetry operator has it."""

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All containers of its pods."""
        return containers_of(self.workload)

    @property
    def endpoint(self) -> str:
        """Where it accepts OTLP, if it does."""
        return otlp((service, self.containers) for service in self.services)[0]

    @property
    def queries(self) -> list[tuple[Object, int]]:
        """The Services of its query API, each with the port."""
        return [
            (service, port)
            for service in self.services
            if (port := port_to(service, _QUERY_PORT, _QUERY_NAMES, self.containers))
        ]


def find(look: Look) -> list[TraceStore]:
    """Return every Jaeger; one without an OTLP port is among them, without an endpoint."""
    groups: dict[Group, list[_Part]] = {}
    configs = _operated(look)
    for workload in workloads(look):
        part = _part(look, workload, configs)
        if part is not None:
            groups.setdefault(_group(workload), []).append(part)
    if not groups:
        return _by_service(look)
    _join(groups)
    return [_store(look, group, parts) for group, parts in sorted(groups.items())]


def _operated(look: Look) -> dict[Group, Mapping[str, Any]]:
    """Return the configurations of the OpenTelemetry operator's collectors, by their workloads."""
    if not look.cluster.serves(_OPENTELEMETRY, _KIND):
        return {}
    before = len(look.unread)
    collectors = look.all(_KIND, _OPENTELEMETRY)
    # Their images and ConfigMaps say nearly as much, so they are not reported as unreadable.
    del look.unread[before:]
    return {
        (namespace_of(item), f"{name_of(item)}-collector"): config
        for item in collectors
        if isinstance(config := (item.get("spec") or {}).get("config"), dict)
    }


def _part(look: Look, workload: Object, configs: Mapping[Group, Mapping[str, Any]]) -> _Part | None:
    """Return the part of a Jaeger that a workload is, or None if it is no Jaeger."""
    if running(workload, tempo.IMAGE) is not None:
        return None  # The Tempo operator runs Jaeger's user interface beside Tempo.
    config = configs.get((namespace_of(workload), name_of(workload)))
    container = running(workload, _IMAGE)
    if container is None and (
        _is_operated_v1(workload) or (config and jaeger_options.is_jaeger(config))
    ):
        # From an image with another name.
        container = next(iter(containers_of(workload)), None)
    if container is None:
        return None
    return _Part(services(look, workload), workload, container, config)


def _is_operated_v1(workload: Object) -> bool:
    labels = labels_of(workload)
    return (
        labels.get(_MANAGER) == "jaeger-operator" and labels.get(_COMPONENT, "") in _V1_COMPONENTS
    )


def _group(item: Object) -> Group:
    """Return the Jaeger that a workload or a Service belongs to."""
    namespace, labels = namespace_of(item), labels_of(item)
    instance = labels.get(_INSTANCE) or labels.get("release") or ""
    if labels.get(_MANAGER) == "opentelemetry-operator":
        # One object of the operator for each part, and `NAMESPACE.NAME` as the instance.
        instance = _PART.sub("", instance.removeprefix(f"{namespace}."))
    return namespace, instance or _PART.sub("", name_of(item))


def _join(groups: dict[Group, list[_Part]]) -> None:
    """Join a collector and a query service whose labels do not, if a namespace has one of each."""
    for namespace in {group[0] for group in groups}:
        here = {group: parts for group, parts in groups.items() if group[0] == namespace}
        accepting = [
            group
            for group, parts in here.items()
            if all(part.endpoint and not part.queries for part in parts)
        ]
        answering = [
            group
            for group, parts in here.items()
            if all(part.queries and not part.endpoint for part in parts)
        ]
        if len(accepting) == len(answering) == 1:
            groups[accepting[0]] += groups.pop(answering[0])


def _by_service(look: Look) -> list[TraceStore]:
    """Return what Services alone show: their workloads may be unreadable, or elsewhere."""
    groups: dict[Group, list[_Part]] = {}
    # What these lead to is known not to be a Jaeger.
    others = [service for workload in workloads(look) for service in services(look, workload)]
    for service in look.all("Service"):
        labels = labels_of(service)
        names = (labels.get("app"), labels.get("app.kubernetes.io/name"))
        if service not in others and ("jaeger" in name_of(service) or "jaeger" in names):
            groups.setdefault(_group(service), []).append(_Part([service]))
    stores = [_store(look, group, parts) for group, parts in sorted(groups.items())]
    return [store for store in stores if store.endpoint]


def _store(look: Look, group: Group, parts: Sequence[_Part]) -> TraceStore:
    store = TraceStore("jaeger", f"Jaeger `{group[1]}` in `{group[0]}`")
    store.endpoint, store.protocol = otlp(
        (service, part.containers) for part in parts for service in part.services
    )
    if not store.endpoint:
        store.what += " (no OTLP port)"
        store.notes.append(_lacks_otlp(parts))
    _find_query(look, store, parts)
    version = min(filter(None, map(_version, parts)), default=None)
    if version is not None and _is_too_old(version):
        store.notes.append(
            f"it is version {version[0]}.{version[1]}, and `trace` and `verify` need "
            "2.10 or newer (of Jaeger 1, 1.73)"
        )
    return store


def _lacks_otlp(parts: Sequence[_Part]) -> str:
    note = "add port 4318 (OTLP over HTTP) or 4317 (gRPC) to the Service of its collector"
    charts = [labels_of(part.workload).get("helm.sh/chart", "") for part in parts]
    if any(chart.startswith("jaeger-3") for chart in charts):
        note += ", which its chart does with the values of `collector.service.otlp`"
    return note


def _find_query(look: Look, store: TraceStore, parts: Sequence[_Part]) -> None:
    """Set where a store is queried, or note why that is not known."""
    answering = [(service, port, part) for part in parts for service, port in part.queries]
    direct = [item for item in answering if not _needs_login(item[0])]
    if not direct:
        if any(_needs_login(service) for part in parts for service in part.services):
            store.notes.append("the Service of its query API leads to an OAuth proxy")
        return
    service, port, part = min(direct, key=lambda item: rank(item[0]))
    path = jaeger_options.base_path(
        look, part.workload, part.container, part.config, version=_version(part)
    )
    if path is None:
        store.notes.append("its base path is not known: if it has one, add it to `query`")
    store.query = address(service, port, path or "")


def _needs_login(service: Mapping[str, Any]) -> bool:
    """Return whether a Service leads to the OAuth proxy that chart 3 and the operator can add."""
    return any(
        port.get("name") == "https-query" or "oauth" in str(port.get("targetPort", ""))
        for port in service.get("spec", {}).get("ports") or ()
    )


def _version(part: _Part) -> tuple[int, int] | None:
    """Return the version by the image's tag or else by the chart's label, if either has one."""
    image = str(part.container.get("image", "")).rpartition("/")[2].partition("@")[0]
    label = labels_of(part.workload).get("app.kubernetes.io/version", "")
    match = _VERSION.search(image) or _VERSION.match(f":{label}")
    return (int(match[1]), int(match[2])) if match else None


def _is_too_old(version: tuple[int, int]) -> bool:
    return version < (1, 73) or (2, 0) <= version < (2, 10)
