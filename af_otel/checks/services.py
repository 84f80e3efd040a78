"""The hub is scraped, and `verify` comes in, by Services that facility.yaml names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.checks._registry import check
from af_otel.checks.finding import Finding
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context


@check("Hub and Dask", "Are the hub's Services there that facility.yaml names?")
def services_are_there(context: Context) -> Iterator[Finding]:
    """That of the hub, with its port, and that of its proxy."""
    hub = context.facility.hub
    for field, name, port, lost in (
        ("service", hub.service, hub.port, "The hub's own metrics would be missing"),
        ("proxy", hub.proxy, None, "`af-otel verify` would not get in"),
    ):
        service = context.objects.get(Ref("v1", "Service", name, hub.namespace))
        if service is None:
            there = context.objects.list("Service", "v1", hub.namespace)
            names = ", ".join(f"`{each['metadata']['name']}`" for each in there) or "none"
            yield Finding(
                "warns",
                f"There is no Service `{name}` in `{hub.namespace}`",
                f"`hub.{field}` in facility.yaml; there are: {names}",
                lost,
                f"# in facility.yaml\nhub: {{{field}: NAME}}",
            )
            continue
        ports = [each["port"] for each in service["spec"].get("ports") or ()]
        if port is not None and port not in ports:
            listed = ", ".join(map(str, ports)) or "none"
            yield Finding(
                "warns",
                f"Service `{name}` in `{hub.namespace}` has no port {port}",
                f"`hub.port` in facility.yaml; its ports: {listed}",
                lost,
                f"# in facility.yaml\nhub: {{port: {ports[0] if ports else port}}}",
            )
