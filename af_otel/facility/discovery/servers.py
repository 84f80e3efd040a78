"""Workloads that run a server, and the Services that lead to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.facility.discovery.look import (
    containers_of,
    name_of,
    namespace_of,
    ports_of,
    services_for,
    template_of,
)

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Mapping, Sequence

    from af_otel.facility.discovery.look import Look, Object


def workloads(look: Look) -> list[Object]:
    """Return every Deployment and StatefulSet that may be read."""
    return [*look.all("Deployment", "apps/v1"), *look.all("StatefulSet", "apps/v1")]


def running(workload: Object, image: re.Pattern[str]) -> dict[str, Any] | None:
    """Return the first container of a workload with such an image."""
    for container in containers_of(workload):
        if image.search(str(container.get("image", ""))):
            return container
    return None


def services(look: Look, workload: Object) -> list[Object]:
    """Return the Services of a workload that have ports, the most general first."""
    return sorted(filter(ports_of, services_for(look, workload)), key=rank)


def rank(service: Mapping[str, Any]) -> tuple[bool, int, str]:
    """Return a key that sorts Services with an address before headless ones, then by name."""
    return _headless(service), len(name_of(service)), name_of(service)


def called(workload: Object) -> str:
    """Return a workload's kind, name and namespace, for people."""
    return f"{workload['kind']} `{name_of(workload)}` in `{namespace_of(workload)}`"


def mounted_texts(look: Look, workload: Object) -> Iterator[str]:
    """Yield what is in the ConfigMaps that a workload mounts, as far as they may be read."""
    mounted = set()
    for volume in template_of(workload)["spec"].get("volumes") or ():
        sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
        mounted |= {(item.get("configMap") or {}).get("name") for item in sources}
    if not any(mounted):
        return
    before = len(look.unread)
    maps = look.all("ConfigMap")
    # Callers do without them, so they are not reported as unreadable.
    del look.unread[before:]
    for item in maps:
        if namespace_of(item) == namespace_of(workload) and name_of(item) in mounted:
            yield from (item.get("data") or {}).values()


def port_to(
    service: Mapping[str, Any],
    number: int,
    names: Sequence[str] = (),
    containers: Sequence[Mapping[str, Any]] = (),
) -> int:
    """Return the port of a Service that leads to a port of its pods, or 0 if none does.

    Parameters
    ----------
    number
        Port on which the pods listen by default; it may also be the Service's own.
    names
        Names of the Service's port that identify it under any number.
    containers
        Containers of the pods, which resolve target ports that are names.
    """
    numbers = {
        port.get("name"): int(port["containerPort"])
        for container in containers
        for port in container.get("ports") or ()
    }
    candidates: list[tuple[bool, bool, int]] = []
    for port in service.get("spec", {}).get("ports") or ():
        own, target = int(port["port"]), port.get("targetPort") or port["port"]
        target = numbers.get(target, 0) if isinstance(target, str) else int(target)
        if number in {own, target} or port.get("name") in names:
            # The name of a headless Service leads to its pods directly, past its own ports.
            reached = target if _headless(service) and target else own
            candidates.append((own != number, target != number, reached))
    return min(candidates, default=(False, False, 0))[2]


def _headless(service: Mapping[str, Any]) -> bool:
    return bool(service.get("spec", {}).get("clusterIP") == "None")
