"""The pods of a visit: which one is whose, and what its log said last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel_semconv import services

from af_otel.errors import AfOtelError
from af_otel.kubernetes.pods import is_injected
from af_otel.verify import counters
from af_otel.verify.place import COLLECTOR, PROMETHEUS, TRACE_STORE

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster

# What KubeSpawner writes on every user's pod, and what our hub's instrumentation adds.
USER_NAME = "hub.jupyter.org/username"
SESSION_ID = "af-otel.io/session-id"
_LINES = 6  # of a log: enough for the end of a traceback
_WIDTH = 300  # characters of one line
_USERS = {services.JUPYTER_SERVER, services.JUPYTER_KERNEL}

Pod = dict[str, Any]


class Pods:
    """Pods by the service that runs in them."""

    def __init__(self, cluster: Cluster, facility: Facility) -> None:
        self._cluster = cluster
        self._facility = facility
        self.user_name = ""
        self._remembered: dict[str, str] = {}

    def remember(self, about: str) -> None:
        """Keep what can be said of a service's pod now, for when it is gone."""
        self._remembered[about] = self.advice(about)

    def of(self, about: str) -> Pod | None:
        """The newest pod in which a service runs, or the Collector."""
        facility = self._facility
        found: list[Pod] = []
        if about in {COLLECTOR, TRACE_STORE, PROMETHEUS}:
            found = self._list([facility.namespace], {"app.kubernetes.io/name": counters.NAME})
        elif about == services.JUPYTERHUB:
            found = self._list([facility.hub.namespace], facility.hub.selector)
        elif about in _USERS:
            found = [
                pod
                for pod in self._list(facility.users.namespaces, facility.users.selector)
                if _annotation(pod, USER_NAME) == self.user_name
            ]
        else:
            component = {about, about.removeprefix("dask-")}
            found = [
                pod
                for entry in facility.dask
                for pod in self._list(entry.namespaces, entry.selector)
                if component & set(pod["metadata"].get("labels", {}).values())
            ]
        return max(found, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)

    def _list(self, namespaces: list[str], labels: Any) -> list[Pod]:
        return [
            pod
            for namespace in namespaces
            for pod in self._cluster.list("Pod", namespace=namespace, labels=labels)
        ]

    def session(self) -> str:
        """The session's id that the hub has written on the user's pod."""
        pod = self.of(services.JUPYTER_SERVER)
        return _annotation(pod, SESSION_ID) if pod else ""

    def silent(self, about: str) -> bool:
        """Whether the hub's or the user's pod is there and was not injected; of Dask's pods the
        newest may be another user's.
        """
        pod = self.of(about) if about in {services.JUPYTERHUB, *_USERS} else None
        return pod is not None and not is_injected(pod)

    def advice(self, about: str) -> str:
        """Which log to read, and how it ends."""
        try:
            pod = self.of(about)
            if pod is None and about in self._remembered:
                return f"its pod is gone; while it ran: {self._remembered[about]}"
            if pod is None:
                return f"no pod of `{about}` is there: `kubectl get pods -A` shows which are"
            said = self._log(pod)
        except AfOtelError as error:
            return f"read the log of the pod of `{about}`: {error.what}"
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        lacks = ""
        if about not in {COLLECTOR, TRACE_STORE, PROMETHEUS} and not is_injected(pod):
            lacks = f"pod `{name}` was not injected, see `af-otel status`; "
        return f"{lacks}read `kubectl -n {namespace} logs {name}`" + (
            f", which ends:\n{said}" if said else ", which is empty"
        )

    def _log(self, pod: Pod) -> str:
        meta = pod["metadata"]
        containers = [each["name"] for each in pod["spec"]["containers"]]
        container = "hub" if "hub" in containers else containers[0]
        text = self._cluster.logs(meta["namespace"], meta["name"], container, tail=_LINES)
        return "\n".join(f"         {line[:_WIDTH]}" for line in text.splitlines() if line.strip())


def name(pod: Pod | None) -> str:
    """`namespace/name`."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" if pod else ""


def _annotation(pod: Pod, key: str) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(key, ""))
