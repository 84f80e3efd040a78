"""All that a look around a cluster brings, and which hub it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.facility.discovery import dask, grafana, hubs, jaeger, prometheus, tempo, users
from af_otel.facility.discovery.look import Look, Unread, annotations_of, name_of, template_of
from af_otel.facility.discovery.trace_store import preference
from af_otel.facility.model import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from af_otel.facility.discovery.look import Live
    from af_otel.facility.discovery.trace_store import TraceStore

_ADMISSION = "admissionregistration.k8s.io/v1"
# The kinds by which a trace store or a Prometheus is found.
_HOLDING = {"Service", "Deployment", "StatefulSet"}
_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


@dataclass
class Found:
    """A facility on a cluster, as far as it could be seen."""

    host: str
    version: tuple[int, int]
    policies: bool
    """Whether the cluster has MutatingAdmissionPolicies."""
    hub: hubs.Hub
    users: users.Users
    dask: list[dask.Dask]
    prometheuses: list[prometheus.Prometheus]
    trace_stores: list[TraceStore]
    """Every Tempo and Jaeger, the most usable first."""
    grafanas: list[grafana.Grafana]
    storage_classes: list[str]
    default_class: str
    unread: list[Unread] = field(default_factory=list)
    partial: bool = False
    """Whether there may be more where nobody looked."""

    @property
    def trace_store(self) -> TraceStore | None:
        """The trace store to send traces to, if one accepts OTLP."""
        return next((store for store in self.trace_stores if store.endpoint), None)

    @property
    def node_selector(self) -> dict[str, str]:
        """Where the hub runs, which will do for the Collector."""
        selected: dict[str, str] = template_of(self.hub.workload)["spec"].get("nodeSelector") or {}
        return selected

    @property
    def tolerations(self) -> list[dict[str, Any]]:
        """What the hub tolerates; what Kubernetes adds to every pod is left out."""
        tolerated = template_of(self.hub.workload)["spec"].get("tolerations") or []
        return [item for item in tolerated if not item.get("key", "").startswith("node.kubernetes")]


def discover(
    cluster: Live, *, namespaces: Sequence[str] = (), hub: str = "", instead: Sequence[str] = ()
) -> Found:
    """Look around in a cluster, with the rights that there are.

    Parameters
    ----------
    namespaces
        Look in these only.
    hub
        The hub's namespace, or `NAMESPACE/NAME`, where there are several.
    instead
        Where to look if neither the whole cluster may be read nor which namespaces it has.

    Raises
    ------
    AfOtelError
        There is no hub, or several and none is named.
    """
    own = hub.partition("/")[0]
    look = Look(cluster, namespaces, [own] if own else instead)
    seen = hubs.find(look)
    chosen = _chosen(look, seen, hub)
    its_users = users.find(look, chosen, seen)
    near = list(dict.fromkeys([chosen.namespace, *its_users.namespaces]))
    classes = look.cluster_wide("StorageClass", "storage.k8s.io/v1")
    return Found(
        host=cluster.host,
        version=cluster.version,
        policies=cluster.serves(_ADMISSION, "MutatingAdmissionPolicy"),
        hub=chosen,
        users=its_users,
        dask=[item for item in dask.find(look, near) if _belongs(item, near, seen)],
        prometheuses=prometheus.find(look, NAMESPACE),
        trace_stores=sorted([*tempo.find(look), *jaeger.find(look)], key=preference),
        grafanas=grafana.find(look),
        storage_classes=sorted(map(name_of, classes)),
        default_class=next((name_of(item) for item in classes if _is_default(item)), ""),
        unread=look.unread,
        partial=bool(namespaces)
        or look.narrow
        or any(item.kind in _HOLDING for item in look.unread),
    )


def _belongs(item: dask.Dask, near: Sequence[str], seen: Sequence[hubs.Hub]) -> bool:
    """Whether Dask is this facility's: anybody's, if there is one hub; else what is near it."""
    return len(seen) == 1 or bool(set(item.namespaces) & set(near))


def _chosen(look: Look, seen: list[hubs.Hub], wanted: str) -> hubs.Hub:
    namespace, _, name = wanted.partition("/")
    fitting = [hub for hub in seen if namespace in {"", hub.namespace} and name in {"", hub.name}]
    if len(fitting) == 1:
        return fitting[0]
    if len(fitting) > 1:
        several = len({hub.namespace for hub in fitting}) < len(fitting)
        first = f"{fitting[0].namespace}/{fitting[0].name}" if several else fitting[0].namespace
        raise AfOtelError(
            f"There are {len(fitting)} JupyterHubs, and a facility has one",
            where="\n         ".join(map(str, fitting)),
            hint=f"say which: `--hub {first}`, for one",
        )
    raise _none(look, seen, wanted)


def _none(look: Look, seen: list[hubs.Hub], wanted: str) -> AfOtelError:
    if seen:
        return AfOtelError(
            f"There is no JupyterHub in `{wanted}`",
            where="\n         ".join(map(str, seen)),
            hint="one of these: `--hub NAMESPACE`",
        )
    places = ", ".join(f"`{name}`" for name in look.namespaces) or "the whole cluster"
    lines = [
        f"{look.cluster.host}, {places}; looked for",
        "- Deployments, StatefulSets and Pods labelled `component: hub` as z2jh's charts have them",
        "- containers that run `jupyterhub`, or an image of that name",
    ]
    pods = users.pods(look)
    if pods:
        spawned = sorted({item["metadata"]["namespace"] for item in pods})
        lines.append(f"- there are users' pods in {', '.join(spawned)}: their hub is elsewhere")
    lines += [f"- could not be read: {item.what} ({item.hint})" for item in look.unread]
    hint = "is this the right cluster? `--kubeconfig`, `--context`"
    if look.unread:
        hint = (
            "name the namespaces that you may read: `--namespace NAME`, more than once if need be"
        )
    return AfOtelError("No JupyterHub was found", where="\n         ".join(lines), hint=hint)


def _is_default(item: dict[str, Any]) -> bool:
    return any(annotations_of(item).get(name) == "true" for name in _DEFAULT_CLASS)
