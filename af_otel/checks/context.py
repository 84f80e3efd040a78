"""What checks look at: the facility, its cluster or its files, and what follows from them once."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from af_otel.checks import _config
from af_otel.checks._sources import Chart, Live, charts_in, contents
from af_otel.checks.finding import NotChecked
from af_otel.kubernetes.errors import Forbidden
from af_otel.kubernetes.objects._labels import pods as places_of
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from af_otel.checks._probe import Probes
    from af_otel.checks._sources import Object, Objects
    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.objects._labels import Pods
    from af_otel.kubernetes.objects.facts import Facts

Result = TypeVar("Result")
PROBE = "af-otel.io/probe"  # the label of probe pods
_PROPERTIES = re.compile(r"_PROPERTIES = json\.loads\((\".*\")\)")
_GONE = {"Succeeded", "Failed"}


@dataclass
class Context:
    """One run of the checks."""

    facility: Facility
    objects: Objects
    cluster: Cluster | None = None
    given: Sequence[Chart] = ()  # values out of files
    probes: Probes | None = None
    facts: Callable[[], Facts] | None = None
    # Secrets with configuration that the caller may not read, and what to ask for.
    unread: dict[str, str] = field(default_factory=dict)
    _known: dict[Any, Future[Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def once(self, key: Any, make: Callable[[], Result]) -> Result:
        """Made by whoever asks first; the others wait for it, and for its error too."""
        with self._lock:
            future = self._known.get(key)
            mine = future is None
            if future is None:
                future = self._known[key] = Future()
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
        result: Result = future.result()
        return result

    @property
    def live(self) -> Cluster:
        """The cluster; a check of one says that it is not carried out where there is none."""
        if self.cluster is None:
            raise NotChecked("it needs the cluster")
        return self.cluster

    @property
    def rendered(self) -> list[Object]:
        """What install would apply."""
        return self.once("rendered", self._render)

    def _render(self) -> list[Object]:
        from af_otel.kubernetes.objects import render
        from af_otel.kubernetes.objects.facts import Facts

        if self.facts is None:
            raise NotChecked("it needs the cluster")
        try:
            facts = self.facts()
        except Forbidden:
            # As if every pod were isolated, so that nothing that may be needed is forgotten.
            policies = tuple(_isolating(name) for name in self.facility.injected_namespaces)
            facts = Facts(version=self.live.version, network_policies=policies)
        return render(self.facility, facts)

    # Pods

    @property
    def places(self) -> list[Pods]:
        """The hub's, the users' and Dask's pods: where, and how they are known."""
        return self.once("places", lambda: places_of(self.facility))

    def pods(self, place: Pods) -> list[Object]:
        """The pods that are there, without what has ended and our own probes; newest first."""
        found = self.objects.list("Pod", "v1", place.namespace, place.selector)
        mine = [
            pod
            for pod in found
            if PROBE not in (pod["metadata"].get("labels") or {})
            and pod.get("status", {}).get("phase") not in _GONE
        ]
        return sorted(mine, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))[::-1]

    def configured(self, *charts: str) -> None:
        """Have a check of configuration go on only if there is some.

        Raises
        ------
        NotChecked
            Nothing of these charts' applications can be read.
        """
        known = {chart.name for chart in self.charts} | {config.app for config in self.configs}
        if not known & set(charts):
            where = "is among the files" if self.cluster is None else "was found, or may be read"
            hint = "; ".join(dict.fromkeys(self.unread.values()))
            raise NotChecked(f"no configuration of {' or '.join(charts)} {where}", hint=hint)

    def namespace(self, name: str) -> Object | None:
        """A namespace, if it is there."""
        return self.objects.get(Ref("v1", "Namespace", name))

    def there(self, namespace: str) -> bool:
        """Whether a namespace is there; for who may not look it is, until something fails there."""
        try:
            return self.namespace(namespace) is not None
        except Forbidden:
            return True

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """A namespace's labels, as far as they may be read; its name is always one."""
        try:
            found = self.namespace(namespace) or {"metadata": {}}
        except Forbidden:
            found = {"metadata": {}}
        labels = found["metadata"].get("labels") or {}
        return {"kubernetes.io/metadata.name": namespace, **labels}

    def policies(self, namespace: str) -> Sequence[Object]:
        """The NetworkPolicies of a namespace."""
        return self.objects.list("NetworkPolicy", "networking.k8s.io/v1", namespace)

    # Configuration

    @property
    def charts(self) -> list[Chart]:
        """The values of the hub's and the gateway's charts, as far as they can be read."""
        return self.once("charts", lambda: [*self.given, *self._charts()])

    @property
    def configs(self) -> list[_config.Config]:
        """The configuration in Python that the hub and the gateway run."""
        return self.once("configs", self._configs)

    @property
    def settings(self) -> list[_config.Setting]:
        """What that configuration sets."""
        hubs = [chart for chart in self.charts if chart.name == "jupyterhub"]
        return self.once("settings", lambda: list(_config.settings(self.configs, hubs)))

    def _charts(self) -> Iterator[Chart]:
        for namespace in self._configured():
            for kind in ("Secret", "ConfigMap"):
                for obj in self._list(kind, namespace):
                    yield from _values(obj)

    def _configs(self) -> list[_config.Config]:
        objects = [
            obj
            for namespace in self._configured()
            for kind in ("ConfigMap", "Secret")
            for obj in self._list(kind, namespace)
        ]
        return [*_config.of_charts(self.charts), *_config.of_objects(objects)]

    def _configured(self) -> list[str]:
        return self.facility.injected_namespaces

    def _list(self, kind: str, namespace: str) -> Sequence[Object]:
        """ConfigMaps, and those Secrets that are named like configuration: others are not read."""
        if kind == "ConfigMap":
            return self.objects.list(kind, "v1", namespace)
        names = dict.fromkeys(
            volume["secret"]["secretName"]
            for pod in self._workloads(namespace)
            for volume in pod["spec"].get("volumes") or ()
            if (volume.get("secret") or {}).get("secretName")
        )
        found = (self._secret(name, namespace) for name in names)
        return [obj for obj in found if obj is not None]

    def _secret(self, name: str, namespace: str) -> Object | None:
        try:
            return self.objects.get(Ref("v1", "Secret", name, namespace))
        except Forbidden as error:
            self.unread[f"Secret `{name}` in `{namespace}`"] = error.hint
            return None

    def _workloads(self, namespace: str) -> Iterator[Object]:
        """The hub's pods, or the template they are made of."""
        hub = next(place for place in self.places if place.role == "hub")
        if namespace == hub.namespace:
            yield from self.pods(hub)
            yield from self.templates_in(namespace, hub)

    def templates_in(self, namespace: str, place: Pods) -> Iterator[Object]:
        """The pod templates of workloads there whose pods are of this place."""
        from af_otel.checks._labels import chooses

        for kind in ("Deployment", "StatefulSet"):
            for workload in self._workloads_of(kind, namespace):
                template = workload["spec"].get("template") or {}
                labels = (template.get("metadata") or {}).get("labels") or {}
                if chooses(place.selector, labels) and template.get("spec"):
                    yield template

    def _workloads_of(self, kind: str, namespace: str) -> Sequence[Object]:
        try:
            return self.objects.list(kind, "apps/v1", namespace)
        except Forbidden as error:  # the pods themselves say nearly as much
            self.unread[f"{kind}s in `{namespace}`"] = error.hint
            return ()


def _isolating(namespace: str) -> Object:
    meta = {"name": "any", "namespace": namespace, "uid": "any"}
    return {"metadata": meta, "spec": {"policyTypes": ["Ingress", "Egress"]}}


def _values(obj: Object) -> Iterator[Chart]:
    """Values that charts leave in the cluster for their own use."""
    texts = contents(obj)
    where = f"the release's values (as in {obj['kind']} `{obj['metadata']['name']}`)"
    if "values.yaml" in texts and "values.yaml" in (obj.get("data") or {}):
        try:
            values = yaml.safe_load(texts["values.yaml"])
        except yaml.YAMLError:
            return
        if isinstance(values, dict):
            yield from charts_in(values, where)
    if found := _PROPERTIES.search(texts.get("dask_gateway_config.py", "")):
        values = json.loads(json.loads(found[1]))
        yield from charts_in(values, where)


def live(facility: Facility, cluster: Cluster, facts: Callable[[], Facts]) -> Context:
    """What checks of a live cluster look at."""
    from af_otel.checks._probe import Probes

    return Context(facility, Live(cluster), cluster, probes=Probes(cluster), facts=facts)
