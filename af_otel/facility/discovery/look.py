"""Looking around in a cluster with whatever rights there are; what may not be read is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Object = dict[str, Any]
Objects = list[dict[str, Any]]

_FORBIDDEN = 403
_OURS = ("app.kubernetes.io/part-of", "af-otel")


class Live(Protocol):
    """What is asked of a cluster: `af_otel.kubernetes.client.Cluster` has it."""

    version: tuple[int, int]

    @property
    def host(self) -> str:
        """The address of its API."""
        ...

    def list(
        self,
        kind: str,
        api_version: str = "v1",
        namespace: str | None = None,
        labels: Mapping[str, str | Sequence[str]] | str | None = None,
        fields: str = "",
    ) -> Objects:
        """The objects of a kind, none if the kind is not served."""
        ...

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether the cluster knows a kind."""
        ...


@dataclass(frozen=True)
class Unread:
    """What the caller may not read, and what would help."""

    kind: str
    what: str
    hint: str


@dataclass
class Look:
    """A cluster's objects, read once each, without those of ours.

    Parameters
    ----------
    namespaces
        Look in these only; by default in all that may be read.
    instead
        Where to look if neither the whole cluster may be read nor which namespaces it has.
    """

    cluster: Live
    namespaces: Sequence[str] = ()
    instead: Sequence[str] = ()
    unread: list[Unread] = field(default_factory=list)
    narrow: bool = False
    """Whether only some namespaces could be looked at."""
    _known: dict[tuple[str, str], Objects] = field(default_factory=dict)
    _all_namespaces: list[str] | None = None

    def all(self, kind: str, api_version: str = "v1", labels: str = "") -> Objects:
        """Objects of a namespaced kind, wherever they may be read."""
        key = (f"{api_version}/{kind}", labels)
        if key not in self._known:
            found = self._read(kind, api_version, labels)
            self._known[key] = [item for item in found if labels_of(item).get(_OURS[0]) != _OURS[1]]
        return self._known[key]

    def cluster_wide(self, kind: str, api_version: str) -> Objects:
        """Objects of a kind that is in no namespace."""
        key = (f"{api_version}/{kind}", "")
        if key not in self._known:
            self._known[key] = self._tried(kind, api_version, None, "") or []
        return self._known[key]

    def namespace_labels(self, name: str) -> dict[str, str]:
        """Labels of a namespace; its name is one of them in any case."""
        for item in self.cluster_wide("Namespace", "v1"):
            if item["metadata"]["name"] == name:
                return labels_of(item)
        return {"kubernetes.io/metadata.name": name}

    def _read(self, kind: str, api_version: str, labels: str) -> Objects:
        if self.namespaces:
            places: Sequence[str] = self.namespaces
        else:
            before = len(self.unread)
            everywhere = self._tried(kind, api_version, None, labels)
            if everywhere is not None:
                return everywhere
            places = self._every_namespace() or self.instead
            if places:
                del self.unread[before:]  # Namespace by namespace, then.
                self.narrow = True
        found: Objects = []
        refused: list[str] = []
        before = len(self.unread)
        for namespace in places:
            some = self._tried(kind, api_version, namespace, labels)
            refused += [namespace] if some is None else []
            found += some or []
        if len(refused) > 1:
            hint = self.unread[before].hint
            del self.unread[before:]
            names = f"{len(refused)} of {len(places)} namespaces"
            self.unread.append(Unread(kind, f"{_objects(kind, api_version)} in {names}", hint))
        return found

    def _tried(
        self, kind: str, api_version: str, namespace: str | None, labels: str
    ) -> Objects | None:
        try:
            return self.cluster.list(kind, api_version, namespace, labels or None)
        except AfOtelError as error:
            if getattr(error, "status", 0) != _FORBIDDEN:
                raise
            within = f" in `{namespace}`" if namespace else " of the whole cluster"
            what = f"{_objects(kind, api_version)}{within}"
            self.unread.append(Unread(kind, what, error.hint))
            return None

    def _every_namespace(self) -> list[str]:
        if self._all_namespaces is None:
            found = self._tried("Namespace", "v1", None, "") or []
            self._all_namespaces = [item["metadata"]["name"] for item in found]
        return self._all_namespaces


def _objects(kind: str, api_version: str) -> str:
    group = api_version.rpartition("/")[0]
    # Kubernetes' own kinds are known without their group.
    return f"{kind} objects" + (f" of {group}" if "." in group.replace(".k8s.io", "") else "")


def name_of(item: Mapping[str, Any]) -> str:
    """An object's name."""
    return str(item["metadata"].get("name", ""))


def namespace_of(item: Mapping[str, Any]) -> str:
    """An object's namespace."""
    return str(item["metadata"].get("namespace", ""))


def labels_of(item: Mapping[str, Any]) -> dict[str, str]:
    """An object's labels."""
    return item.get("metadata", {}).get("labels") or {}


def annotations_of(item: Mapping[str, Any]) -> dict[str, str]:
    """An object's annotations."""
    return item.get("metadata", {}).get("annotations") or {}


def template_of(workload: Mapping[str, Any]) -> dict[str, Any]:
    """What a workload's pods are made of; a pod is its own template."""
    if workload.get("kind") == "Pod":
        return {"metadata": workload["metadata"], "spec": workload.get("spec") or {}}
    template = workload.get("spec", {}).get("template") or {}
    return {"metadata": template.get("metadata") or {}, "spec": template.get("spec") or {}}


def containers_of(workload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The containers of a workload's pods, without init containers."""
    return list(template_of(workload)["spec"].get("containers") or ())


def words_of(container: Mapping[str, Any]) -> list[str]:
    """A container's command line, as far as the object has it."""
    return [*(container.get("command") or ()), *(container.get("args") or ())]


def variables_of(container: Mapping[str, Any]) -> dict[str, str]:
    """A container's variables that are written out; those from Secrets are not looked at."""
    return {item["name"]: item["value"] for item in container.get("env") or () if item.get("value")}


def matches(selector: Mapping[str, str] | None, labels: Mapping[str, str]) -> bool:
    """Whether an equality selector, which has to select something, chooses these labels."""
    return bool(selector) and (selector or {}).items() <= labels.items()


def services_for(look: Look, workload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The Services that lead to a workload's pods."""
    labels = template_of(workload)["metadata"].get("labels") or {}
    for service in look.all("Service"):
        selected = service.get("spec", {}).get("selector")
        if namespace_of(service) == namespace_of(workload) and matches(selected, labels):
            yield service


def ports_of(service: Mapping[str, Any]) -> dict[int, str]:
    """A Service's ports and their names."""
    ports = service.get("spec", {}).get("ports") or ()
    return {int(item["port"]): str(item.get("name", "")) for item in ports}


def address(service: Mapping[str, Any], port: int, path: str = "") -> str:
    """A Service's address within the cluster."""
    scheme = "https" if port == 443 or ports_of(service).get(port) == "https" else "http"  # noqa: PLR2004
    return f"{scheme}://{name_of(service)}.{namespace_of(service)}:{port}{path}"
