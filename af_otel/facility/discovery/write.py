"""What was found, as a facility.yaml that an operator likes to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.facility.discovery.destinations import also, write_destinations
from af_otel.facility.discovery.page import Page
from af_otel.facility.model import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from af_otel.facility.discovery.found import Found

_POLICIES_FROM = "1.36"
_API_PORT = 8081  # the model's default


def write(found: Found, *, name: str = "", schema: str = "") -> Page:
    """The file for what was found; `schema` is where editors find the fields."""
    page = Page()
    if schema:
        page.lines.append(f"# yaml-language-server: $schema={schema}")
    version = ".".join(map(str, found.version))
    page.comment(
        f"A facility for af-otel, found by `af-otel init` on {found.host} (Kubernetes {version}). "
        "Yours to change: what is left out has a default, and `af-otel validate` checks the rest."
    )
    if found.unread:
        unread = "; ".join(dict.fromkeys(item.what for item in found.unread))
        page.comment(f"Could not be read, so have a look yourself: {unread}.")
    page.lines.append("")
    chosen = name or found.hub.facility
    source = (
        "" if name else "the release's name" if chosen == found.hub.release else "its namespace's"
    )
    page.field(
        "name",
        chosen,
        "in all telemetry as `service.namespace`" + (f"; {source}" if source else ""),
    )
    page.field(
        "namespace",
        NAMESPACE,
        "where the Collector will run; for Secrets named here, too",
    )
    _hub(page, found)
    _dask(page, found)
    _injection(page, found, version)
    write_destinations(page, found)
    _collector(page, found)
    _grafana(page, found)
    return page


def _hub(page: Page, found: Found) -> None:
    hub = found.hub
    page.section("hub", f"JupyterHub: {hub}.")
    page.field("namespace", hub.namespace, indent=2)
    page.field("selector", hub.selector, indent=2)
    if hub.service:
        page.field("service", hub.service, f"port {hub.port}", indent=2)
        if hub.port != _API_PORT:
            page.field("port", hub.port, indent=2)
    else:
        page.field(
            "service", "hub", "no Service leads to the hub's pod: name it here", indent=2, off=True
        )
        page.to_do.append("`hub.service`: the Service of the hub's API")
    if hub.proxy:
        page.field("proxy", hub.proxy, "the front door, for `af-otel verify`", indent=2)
    else:
        page.field(
            "proxy",
            "proxy-public",
            "no Service leads to a proxy: name the front door",
            indent=2,
            off=True,
        )
        page.to_do.append("`hub.proxy`: the Service of the front door, for `af-otel verify`")
    if hub.base_url != "/":
        page.field("base_url", hub.base_url, indent=2)
    page.section("users", f"Users' servers: {found.users.note}.")
    page.field("namespaces", found.users.namespaces, indent=2)
    page.field("selector", found.users.selector, indent=2)
    if found.users.of_their_own:
        page.comment("Every user has a namespace here; those that come later are to be added.", 2)
        page.to_do.append("`users.namespaces`: each user has one, and later ones are to be added")


def _dask(page: Page, found: Found) -> None:
    if found.hub.coffea_casa:
        page.lines.append("")
        page.comment(
            "Coffea-Casa: Dask's scheduler runs in the user's pod, and is injected with it."
            + (
                " Its workers run in HTCondor, where the injection does not reach."
                * found.hub.condor
            )
        )
    if not found.dask:
        page.lines.append("")
        page.example(
            "Neither dask-gateway nor dask-kubernetes was found. Where Dask has pods of its own:",
            {"dask": [{"namespaces": [found.hub.namespace], "selector": {"app": "dask"}}]},
        )
        return
    page.section("dask")
    for item in found.dask:
        page.comment(f"{item.what}" + (f"; {item.note}" if item.note else ""), indent=2)
        page.field("- namespaces", item.namespaces, indent=2)
        page.field("  selector", item.selector, indent=2)


def _injection(page: Page, found: Found, version: str) -> None:
    page.lines.append("")
    page.lines.append("injection:")
    if found.policies:
        about = f"`policy`: Kubernetes {version} has MutatingAdmissionPolicy"
    else:
        route = "helm" if found.hub.chart else "env"
        about = f"`{route}`: policies need Kubernetes {_POLICIES_FROM}, and this is {version}"
    page.field("route", "auto", about, indent=2)


def _collector(page: Page, found: Found) -> None:
    known = ", ".join(f"`{name}`" for name in found.storage_classes)
    fields: list[tuple[str, Any, str]] = []
    if found.default_class:
        about = f"Its queue is on disk, of the default storage class, `{found.default_class}`."
        fields.append(("storage", {"size": "5Gi"}, ""))
    elif found.storage_classes:
        about = f"Its queue is on disk; no storage class is the default: one of {known}."
        fields.append(("storage", {"size": "5Gi", "class": found.storage_classes[0]}, ""))
    else:
        unread = any(item.kind == "StorageClass" for item in found.unread)
        about = "Its queue is on disk, if there is a storage class: " + (
            "they could not be read." if unread else "none was found."
        )
    if found.node_selector:
        fields.append(("node_selector", found.node_selector, "as the hub"))
    if found.tolerations:
        fields.append(("tolerations", _tolerations(found.tolerations), "as the hub"))
    if not fields:
        page.lines.append("")
        page.example(
            f"The Collector. {about}", {"collector": {"storage": {"size": "5Gi", "class": "fast"}}}
        )
        return
    page.section("collector", f"The Collector. {about}")
    for name, value, beside in fields:
        page.field(name, value, beside, indent=2)


def _tolerations(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    known = ("key", "operator", "value", "effect", "tolerationSeconds")
    return [{key: item[key] for key in known if item.get(key) is not None} for item in given]


def _grafana(page: Page, found: Found) -> None:
    if not found.grafanas:
        page.lines.append("")
        page.example(
            "No Grafana was found. If there is one with sidecars, what they look for, and where:",
            {
                "grafana": {
                    "namespace": "monitoring",
                    "labels": {"grafana_dashboard": "1"},
                    "data_source_labels": {"grafana_datasource": "1"},
                }
            },
        )
        return
    grafana, *others = found.grafanas
    what = grafana.what + also(others)
    if not grafana.dashboards and not grafana.data_sources:
        page.section(
            "grafana", f"{what} It has no sidecar that would find dashboards or data sources."
        )
        page.field("dashboards", False, indent=2)
        page.field("data_sources", False, indent=2)
        return
    page.section("grafana", what)
    if grafana.dashboards:
        page.field("labels", grafana.dashboards, "what its sidecar looks for", indent=2)
    else:
        page.field("dashboards", False, "no sidecar looks for them", indent=2)
    if grafana.data_sources:
        page.field("data_source_labels", grafana.data_sources, indent=2)
    else:
        page.field("data_sources", False, "no sidecar looks for them", indent=2)
    if grafana.namespace:
        page.field("namespace", grafana.namespace, "where its sidecar looks", indent=2)
