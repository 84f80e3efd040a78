"""A facility on Kubernetes as a place to verify: a user of the hub's API, in pods of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from af_otel_semconv import carriers, services

from af_otel.errors import AfOtelError
from af_otel.facility.values import seconds
from af_otel.verify import counters, hops, notebook, reach
from af_otel.verify.alone import alone
from af_otel.verify.caller import Caller
from af_otel.verify.door import front_door
from af_otel.verify.hub_token import SCOPES, VARIABLE, HubPod, asking_for_a_token
from af_otel.verify.kernel import Kernel
from af_otel.verify.pods import SESSION_ID, Pods, name
from af_otel.verify.undo import Undo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from af_otel.backends.spans import Span
    from af_otel.backends.store import TraceStore
    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster
    from af_otel.verify.hops import Hop
    from af_otel.verify.place import Cell
    from af_otel.verify.visitor import Visitor

USER = "af-otel-verify"  # no person's name, and so never a person's server
_TOKEN_LIVES = 900  # s; longer only for those who give the verification longer
_CLEAN_UP_TAKES = 300  # s, at most
_KERNEL_TAKES = 60  # s; one that has nothing to do
_SOME_TIME = 60  # s; on the way to the trace store and Prometheus


class ClusterPlace:
    """The facility of a facility.yaml, and a user who is there for the time of the visit.

    Parameters
    ----------
    answers
        To the hub's spawn form; by default the hub's own defaults hold.
    options
        What a command needs to find the same facility, with a space before it.
    """

    enters = "enter the hub"
    notebook = "verify.ipynb"
    poll = 1.0

    def __init__(
        self,
        cluster: Cluster,
        facility: Facility,
        answers: Mapping[str, Any] | None = None,
        options: str = "",
    ) -> None:
        self.name = facility.name
        self.hops: Sequence[Hop] = hops.NOTEBOOK
        # A trace is awaited before it is decided on; pods send as often as others are scraped.
        waits = facility.sampling.wait, facility.scrape.interval
        self.patience = sum(map(seconds, waits)) + _SOME_TIME
        self._cluster = cluster
        self._facility = facility
        self._answers = dict(answers or {})
        self._options = options
        self._undo = Undo()
        self._pods = Pods(cluster, facility)
        self._user: Caller | None = None
        self._synthetic = False
        self._hub_pod = self._user_pod = ""
        self._annotated = False
        # What is looked up at the end had better be there at the beginning.
        self.store: TraceStore | None = None
        self.unproven = ""
        try:
            self.store = self._undo.enter(reach.trace_store(cluster, facility))
        except reach.NotQueryable as error:
            # Only such a store may have no query API; of the others it was forgotten.
            if facility.destinations.traces.kind != "otlp":
                raise
            self.unproven = f"whether traces are stored: {error.where}"
        self.prometheus = self._undo.enter(reach.prometheus(cluster, facility))
        self._before = counters.read(cluster, facility).get("spans", counters.Counters())

    def enter(self, left: Callable[[], float], said: Callable[[str], None]) -> Visitor:
        """Get a token, and with it the synthetic user."""
        hub = self._facility.hub
        self._undo.enter(alone(f"{self._cluster.host} {hub.namespace}", left, said))
        said("the way there is opened")
        door = self._undo.enter(front_door(self._cluster, hub.namespace, hub.proxy, hub.base_url))
        self._hub_pod = name(self._pods.of(services.JUPYTERHUB))
        token = os.environ.get(VARIABLE, "")
        if not token:
            pod = self._find_hub()
            said(f"a token is made in pod `{pod.name}`")
            # Before it is made: who is interrupted meanwhile does not know whether it was.
            self._undo.add("the token", lambda: pod.remove_token(USER))
            token = pod.make_token(USER, max(_TOKEN_LIVES, left() + _CLEAN_UP_TAKES))
        user = self._undo.enter(
            Caller(door.url, USER, token, hub.base_url, self._answers, door.tls)
        )
        model = user.who()
        self._synthetic = bool({"admin:users", f"{SCOPES[0]}!user={USER}"} & set(model["scopes"]))
        if self._synthetic:
            self._undo.add("the user", user.remove)
            if user.exists():
                said("what an earlier verification left is removed")
                user.stop_server()
                user.remove()
            user.create()
        else:
            user.become(_who_may_spawn(model))
            if user.has_server():
                raise AfOtelError(
                    "The user of the token has a server running, which is left alone",
                    where=f"{VARIABLE}",
                    hint="stop the server, or give it the token of another user",
                )
        self._undo.add("the server", user.stop_server)
        self._user, self._pods.user_name = user, user.name
        said(f"as `{user.name}`")
        return user

    def _find_hub(self) -> HubPod:
        hub = self._facility.hub
        return HubPod.find(self._cluster, hub.namespace, hub.selector)

    def cells(self, visitor: Visitor, kernel: Kernel, left: Callable[[], float]) -> list[Cell]:
        """A sum, and one on the Dask that this user has."""
        chosen = notebook.NOTEBOOKS[dask := notebook.dask_of(kernel, left())]
        if dask == notebook.GATEWAY:
            # What the user of a token has there already is theirs.
            keep = [] if self._synthetic else notebook.clusters(kernel, left())

            def stop() -> None:
                with Kernel(visitor, "clean-up.ipynb", kernel.name) as another:
                    notebook.stop_clusters(another, _KERNEL_TAKES, keep)
                    another.shut_down()

            self._undo.add("the gateway's clusters", stop)
            notebook.stop_clusters(kernel, left(), keep)
        sampling = self._facility.sampling
        if not self._synthetic and sampling.share < 1:
            chosen = notebook.for_anybody(chosen, seconds(sampling.slow))
        self.notebook = f"{len(chosen.cells)} cells with {chosen.dask}"
        self.hops = chosen.hops
        return list(chosen.cells)

    def leave(self) -> str:
        """All back, the last first."""
        if self._user is not None:
            self._user.persists = True
        undone = self._undo.all()
        return f"removed: {', '.join(undone)}" if undone else "nothing was made"

    def ran(self, cell: Cell) -> None:
        """Remember the pods that a cell has used: they may be gone when they are asked for."""
        if cell.about:
            self._pods.remember(cell.about)

    def session(self, from_kernel: str) -> str:
        """Return the id that the session is stored under: the hub writes it on the user's pod."""
        carried = carriers.stored_session_id(from_kernel) if from_kernel else ""
        pod = self._pods.of(services.JUPYTER_SERVER)
        self._user_pod = self._user_pod or name(pod)
        annotated = self._pods.session()
        self._annotated = self._annotated or bool(annotated)
        if annotated and carried and annotated != carried:
            raise AfOtelError(
                "The user's kernel and its pod belong to different sessions",
                where=f"pod `{self._user_pod}`: `{SESSION_ID}` is `{annotated}`, "
                f"the kernel's is stored as `{carried}`",
                hint="a hook of the hub's configuration may set BAGGAGE, or the annotation",
            )
        return annotated or carried

    def at_collector(self) -> None:
        """It keeps none; what it counts is `collector`."""

    def heard(self) -> bool:
        """Whether it has counted a span that it received."""
        return self._counted().received > 0

    def collector(self) -> str:
        """What it counted of all that was sent to it meanwhile."""
        pod = counters.pod(self._cluster, self._facility)
        if not pod:
            return f"there is no pod of it in `{self._facility.namespace}`"
        return f"pod `{self._facility.namespace}/{pod}`: {self._counted()}"

    def _counted(self) -> counters.Counters:
        now = counters.read(self._cluster, self._facility)
        return now.get("spans", counters.Counters()).since(self._before)

    def misplaced(self, span: Span) -> str:
        """What the Collector says of the sender is what Kubernetes knows."""
        facility = span.resource.get("service.namespace")
        if facility != self.name:
            return f"is of facility `{facility}` and not of `{self.name}` (`service.namespace`)"
        if not span.pod:
            return "does not say which pod it came from (`k8s.pod.name`)"
        if span.service == services.JUPYTERHUB:
            expected = self._hub_pod
        elif span.service in {services.JUPYTER_SERVER, services.JUPYTER_KERNEL}:
            expected = self._user_pod
            if not self._annotated:
                return f"is of a pod on which the hub has not written `{SESSION_ID}`"
        else:
            return ""
        if expected and span.pod != expected:
            return f"is from pod `{span.pod}` and not from `{expected}`"
        return ""

    def silent(self, about: str) -> bool:
        """What runs in a pod that was not injected is."""
        return self._pods.silent(about)

    def advice(self, about: str) -> str:
        """The log of the pod where it went wrong, and its end."""
        return self._pods.advice(about)

    def look_at(self, session: str) -> str:
        """Return the command that shows a session; the same file says where the store is."""
        return f"trace {session}{self._options}"


def _who_may_spawn(model: dict[str, Any]) -> str:
    """The user whose token it is; a service's must be good for the synthetic user."""
    if model["kind"] != "user":
        raise AfOtelError(
            "The token is not good for a synthetic user",
            where=f"{VARIABLE}: service `{model['name']}`",
            hint=asking_for_a_token(USER),
        )
    return str(model["name"])
