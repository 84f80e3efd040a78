"""JupyterHubs: of z2jh, of charts around it such as Coffea-Casa's, and of no chart at all."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from af_otel.facility.discovery.look import (
    annotations_of,
    containers_of,
    labels_of,
    matches,
    name_of,
    namespace_of,
    ports_of,
    services_for,
    template_of,
    variables_of,
    words_of,
)
from af_otel.facility.discovery.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from af_otel.facility.discovery.look import Look, Object

API_PORT = 8081
_IMAGE = re.compile(r"(^|/)(k8s-hub|jupyterhub)([:@]|$)")
_COMMAND = re.compile(r"(^|[\s;&|/])jupyterhub([\s;&|]|$)")
_INSTALL = re.compile(r"\b(pip|uv|conda|mamba|apt-get|apt)\b[^;&|]*\binstall\b[^;&|]*")
# What else z2jh's charts run, some of it from images with `jupyterhub` in their names.
_OTHERS = re.compile(
    r"^(proxy|autohttps|user-scheduler|user-placeholder|.*image-puller|singleuser.*)$"
)
_PROXY_IMAGE = re.compile(r"configurable-http-proxy|/chp([:@]|$)|traefik")
_GENERIC = {"hub", "jupyterhub", "jhub", "jupyter", "default"}


@dataclass
class Hub:
    """A hub, and what is known of it."""

    workload: Object
    selector: dict[str, str]
    service: str = ""
    port: int = API_PORT
    proxy: str = ""
    base_url: str = "/"
    chart: str = ""
    release: str = ""
    around: str = ""
    """Chart that has the hub's as a part, with its version."""
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """Where it runs."""
        return namespace_of(self.workload)

    @property
    def name(self) -> str:
        """The workload's name."""
        return name_of(self.workload)

    @property
    def coffea_casa(self) -> bool:
        """Whether it is Coffea-Casa's."""
        return self.around.startswith("coffea-casa") or "CONDOR_ENABLED" in self._variables()

    @property
    def condor(self) -> bool:
        """Whether Dask's workers run in HTCondor, as Coffea-Casa can have them."""
        return self._variables().get("CONDOR_ENABLED", "").lower() == "true"

    def _variables(self) -> dict[str, str]:
        containers = containers_of(self.workload)
        return {key: value for each in containers for key, value in variables_of(each).items()}

    @property
    def facility(self) -> str:
        """A name for the facility: the release's, or the namespace's where that says nothing."""
        name = self.namespace if self.release in _GENERIC or not self.release else self.release
        return name.replace(".", "-")  # Helm allows dots.

    def __str__(self) -> str:
        made = f"{self.workload['kind']} `{self.name}` in `{self.namespace}`"
        if self.around:
            made += f", chart {self.around} with {self.chart or 'jupyterhub'}"
        elif self.chart:
            made += f", chart {self.chart}"
        elif not self.release:
            made += ", made by no chart"
        return made + (f", release `{self.release}`" if self.release else "")


def find(look: Look) -> list[Hub]:
    """Every hub that may be seen."""
    workloads = [*look.all("Deployment", "apps/v1"), *look.all("StatefulSet", "apps/v1")]
    found = [item for item in workloads if is_hub(item)]
    for pod in look.all("Pod"):
        known = any(
            namespace_of(pod) == namespace_of(item)
            and matches(item["spec"]["selector"].get("matchLabels"), labels_of(pod))
            for item in found
            if item["kind"] != "Pod"
        )
        # Of a Deployment that may not be read, or of none.
        if not known and is_hub(pod):
            found.append(pod)
    hubs = [_described(look, item) for item in found]
    return sorted(hubs, key=lambda hub: (hub.namespace, hub.name))


def is_hub(workload: Mapping[str, Any]) -> bool:
    """Whether a workload's pods run JupyterHub."""
    labels = template_of(workload)["metadata"].get("labels") or {}
    component = labels.get("component") or labels.get("app.kubernetes.io/component") or ""
    if _OTHERS.match(component):
        return False
    chart = labels.get("app.kubernetes.io/name") or labels.get("app") or ""
    if component == "hub" and ("jupyterhub" in chart or _spawns(labels)):
        return True
    return any(_runs_hub(each) for each in containers_of(workload))


def _spawns(labels: Mapping[str, str]) -> bool:
    # z2jh puts it on the hub's pod, whatever its chart is called.
    return labels.get("hub.jupyter.org/network-access-singleuser") == "true"


def _runs_hub(container: Mapping[str, Any]) -> bool:
    words = words_of(container)
    said = any(_COMMAND.search(_INSTALL.sub("", word)) for word in words)
    image = str(container.get("image", ""))
    return said or (not container.get("command") and bool(_IMAGE.search(image)))


def _described(look: Look, workload: Object) -> Hub:
    labels = template_of(workload)["metadata"].get("labels") or {}
    own = labels | labels_of(workload)
    hub = Hub(workload, _selector(look, workload, labels), settings=settings(look, workload))
    hub.chart = own.get("helm.sh/chart") or own.get("chart") or ""
    hub.release = (
        annotations_of(workload).get("meta.helm.sh/release-name")
        or own.get("app.kubernetes.io/instance")
        or own.get("release")
        or ""
    )
    if hub.release:
        installed = _installed_chart(look, hub)
        if installed and not installed.startswith("jupyterhub-"):
            hub.around = installed
        elif installed:
            hub.chart = installed
    _ways_in(look, hub)
    return hub


def _selector(look: Look, workload: Object, labels: dict[str, str]) -> dict[str, str]:
    """As few labels as tell the hub's pod from the others of its namespace."""
    exact = workload.get("spec", {}).get("selector", {}).get("matchLabels") or {
        key: value for key, value in labels.items() if key != "pod-template-hash"
    }
    others = [
        template_of(item)["metadata"].get("labels") or {}
        for kind, version in (("Deployment", "apps/v1"), ("StatefulSet", "apps/v1"))
        for item in look.all(kind, version)
        if namespace_of(item) == namespace_of(workload) and name_of(item) != name_of(workload)
    ]
    for key in ("component", "app.kubernetes.io/component", "app.kubernetes.io/name", "app"):
        few = {key: labels.get(key, "")}
        if labels.get(key) and not any(matches(few, other) for other in others):
            return few
    return dict(exact)


def _ways_in(look: Look, hub: Hub) -> None:
    services = list(services_for(look, hub.workload))
    with_api = [item for item in services if API_PORT in ports_of(item)]
    # A hub that runs its proxy itself has one Service for both.
    for service in (with_api or services)[:1]:
        ports = ports_of(service)
        hub.service = name_of(service)
        hub.port = API_PORT if API_PORT in ports else min(ports, default=API_PORT)
        path = annotations_of(service).get("prometheus.io/path", "")
        if path.endswith("/hub/metrics"):
            hub.base_url = path.removesuffix("hub/metrics") or "/"
    configured = hub.settings.get("JupyterHub.base_url", "").strip("/")
    if configured:
        hub.base_url = f"/{configured}/"
    proxies = [item for item in look.all("Service") if namespace_of(item) == hub.namespace]
    behind = [
        item
        for item in proxies
        if labels_of(item).get("component") == "proxy-public"
        and labels_of(item).get("release", hub.release) == hub.release
    ] or [item for item in proxies if _leads_to_proxy(look, item)]
    # The proxy's own API is no way in.
    front = [item for item in behind if set(ports_of(item)) - {8001}]
    if not front and not any(API_PORT not in ports_of(item) for item in services):
        return
    hub.proxy = name_of((front or [item for item in services if API_PORT not in ports_of(item)])[0])


def _leads_to_proxy(look: Look, service: Object) -> bool:
    workloads = [*look.all("Deployment", "apps/v1"), *look.all("StatefulSet", "apps/v1")]
    return any(
        namespace_of(item) == namespace_of(service)
        and matches(
            service["spec"].get("selector"), template_of(item)["metadata"].get("labels") or {}
        )
        and any(
            _PROXY_IMAGE.search(str(each.get("image", "")))
            or "configurable-http-proxy" in " ".join(words_of(each))
            for each in containers_of(item)
        )
        for item in workloads
    )


def _installed_chart(look: Look, hub: Hub) -> str:
    """Name and version of the chart that Helm installed, by its own record if that may be read."""
    before = len(look.unread)
    records = look.all("Secret", labels=f"owner=helm,name={hub.release}")
    # Few may read Secrets, and only a version is lost: nothing to tell anybody.
    del look.unread[before:]
    mine = [record for record in records if namespace_of(record) == hub.namespace]
    # The last one, also if its upgrade is said to have failed.
    newest = max(mine, key=_revision, default=None)
    return next(_charts(newest), "") if newest else ""


def _revision(record: Object) -> tuple[int, str]:
    number = labels_of(record).get("version", "")
    return len(number), number


def _charts(record: Object) -> Iterator[str]:
    try:
        packed = base64.b64decode(base64.b64decode(record["data"]["release"]))
        # The record has the release's values, too: nothing but the chart's name leaves this line.
        about = json.loads(gzip.decompress(packed))["chart"]["metadata"]
        yield f"{about['name']}-{about['version']}"
    except (KeyError, TypeError, ValueError, binascii.Error, OSError, EOFError):
        return
