"""A Collector on the cluster as install would make it, what is behind it, and pods that send."""

from __future__ import annotations

import contextlib
import json
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import kubernetes
from rendered import DASK, a_facility

from af_otel.backends.connect import connect
from af_otel.kubernetes import facts
from af_otel.kubernetes.client import Cluster as Api
from af_otel.kubernetes.objects import render
from af_otel.kubernetes.proof import prove_guard
from af_otel.kubernetes.refs import Ref
from servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from af_otel.backends.spans import Span
    from af_otel.backends.store import TraceStore
    from af_otel.facility import Facility
    from cluster.cluster import Cluster

USER = "localhost/af-otel-test/user:1"
COLLECTOR = "af-otel-collector"

# Sends spans for some seconds; what was accepted is its output: each trace's id and its spans'.
SEND = textwrap.dedent("""
    import json, secrets, sys, time, urllib.request

    url, seconds, count, attributes = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    attributes = [
        {"key": key, "value": {"stringValue": value}}
        for key, value in json.loads(attributes).items()
    ]
    resource = {"attributes": [
        {"key": "service.name", "value": {"stringValue": "jupyter-kernel"}}, *attributes,
    ]}
    accepted, ends = {}, time.monotonic() + seconds
    while True:
        trace, now = secrets.token_hex(16), time.time_ns()
        spans = [{
            "traceId": trace, "spanId": secrets.token_hex(8), "name": "execute cell", "kind": 1,
            "startTimeUnixNano": str(now - 1000000), "endTimeUnixNano": str(now),
            "attributes": attributes,
        } for _ in range(count)]
        body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}
        request = urllib.request.Request(
            url + "/v1/traces", json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            accepted[trace] = [span["spanId"] for span in spans]
            time.sleep(0.1)
        if time.monotonic() > ends and (accepted or time.monotonic() > ends + 20):
            break
    print(json.dumps(accepted))
""")

POST = textwrap.dedent("""
    import sys, urllib.request

    request = urllib.request.Request(
        sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=20).close()
""")


@dataclass
class Collecting:
    """A facility's Collector, and what is behind it."""

    cluster: Cluster
    api: Api
    facility: Facility

    @property
    def url(self) -> str:
        return f"http://{COLLECTOR}.{self.facility.namespace}:4318"

    def pod(
        self,
        name: str,
        namespace: str = "",
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        account: str = "",
    ) -> None:
        """Have a service account of the hub's namespace start a pod that can send, by default the
        hub's own, and wait until the pod runs.
        """
        namespace = namespace or self.facility.hub.namespace
        body = a_pod(name, labels, annotations)
        self.acting_as(account or "hub").create_namespaced_pod(namespace, body)
        self.runs(name, namespace)

    def acting_as(self, account: str) -> kubernetes.client.CoreV1Api:
        """Return an API for a service account of the hub's namespace, with its rights."""
        client = kubernetes.config.new_client_from_config(str(self.cluster.kubeconfig))
        user = f"system:serviceaccount:{self.facility.hub.namespace}:{account}"
        client.set_default_header("Impersonate-User", user)
        return kubernetes.client.CoreV1Api(client)

    def runs(self, name: str, namespace: str) -> None:
        wait_for(
            lambda: (
                self.cluster.core.read_namespaced_pod(name, namespace).status.phase == "Running"
            ),
            f"pod {name} runs",
            90,
        )

    def post(self, pod: str, path: str, body: Mapping[str, Any]) -> None:
        """Have a pod of the hub's namespace send OTLP of any content."""
        command = ["python3", "-c", POST, self.url + path, json.dumps(body)]
        said = self.api.exec(self.facility.hub.namespace, pod, command, timeout=60)
        assert said.code == 0, said.err

    def send(
        self,
        pod: str,
        namespace: str = "",
        *,
        seconds: float = 0,
        spans: int = 2,
        attributes: Mapping[str, str] | None = None,
    ) -> dict[str, list[str]]:
        """Have a pod send traces of `execute cell`; what was accepted, by trace: nothing, if 20
        seconds more do not bring a first one.
        """
        command = ["python3", "-c", SEND, self.url, str(seconds), str(spans)]
        command.append(json.dumps(dict(attributes or {})))
        namespace = namespace or self.facility.hub.namespace
        said = self.api.exec(namespace, pod, command, timeout=seconds + 120)
        assert said.code == 0, said.err
        accepted: dict[str, list[str]] = json.loads(said.out)
        return accepted

    def trace(self, trace: str) -> list[Span]:
        """A trace's spans as soon as Jaeger has it."""
        with self.jaeger() as store:
            return wait_for(lambda: store.trace(trace), f"trace {trace} in Jaeger", 120)

    def stored(self, accepted: Mapping[str, list[str]], timeout: float = 180) -> None:
        """Wait until Jaeger has every span that was accepted."""
        left = dict(accepted)
        with self.jaeger() as store:

            def all_there() -> bool:
                for trace, spans in list(left.items()):
                    if not set(spans) <= {span.span_id for span in store.trace(trace)}:
                        return False
                    del left[trace]
                return True

            wait_for(all_there, f"{len(accepted)} traces in Jaeger", timeout)

    @contextlib.contextmanager
    def jaeger(self) -> Iterator[TraceStore]:
        with self.api.forward(self.facility.namespace, "service/af-otel-jaeger", 16686) as url:
            yield connect("jaeger", url)

    def measured(self, query: str, timeout: float = 120) -> list[dict[str, Any]]:
        """What Prometheus has, as soon as it has any."""
        with self.prometheus() as ask:
            return wait_for(lambda: ask(query), f"{query} in Prometheus", timeout)

    def has(self, query: str) -> bool:
        """Return whether Prometheus has anything just now."""
        with self.prometheus() as ask:
            return bool(ask(query))

    @contextlib.contextmanager
    def prometheus(self) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
        namespace = self.facility.namespace
        with self.api.forward(namespace, "service/af-otel-prometheus", 9090) as url:

            def ask(query: str) -> list[dict[str, Any]]:
                answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, timeout=20)
                found: list[dict[str, Any]] = answer.json()["data"]["result"]
                return found

            yield ask

    def collector(self) -> dict[str, Any]:
        """The Collector's pod."""
        labels = {"app.kubernetes.io/name": COLLECTOR}
        (pod,) = self.api.list("Pod", namespace=self.facility.namespace, labels=labels)
        return pod

    def said(self) -> str:
        """The Collector's log."""
        name = self.collector()["metadata"]["name"]
        return self.api.logs(self.facility.namespace, name, "collector")

    def _status(self) -> dict[str, Any]:
        """Return the status of the Collector's container."""
        statuses: list[dict[str, Any]] = self.collector()["status"]["containerStatuses"]
        return next(status for status in statuses if status["name"] == "collector")

    def kill(self) -> None:
        """SIGKILL to the Collector; its pod stays, and starts it again."""
        status = self._status()
        container = status["containerID"].removeprefix("containerd://")
        self.cluster.node.run("ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", container)
        restarts = status["restartCount"]

        def again() -> bool:
            now = self._status()
            return bool(now["ready"] and now["restartCount"] > restarts)

        wait_for(again, "the Collector runs again", 120)

    def scale(self, name: str, replicas: int) -> None:
        ref = {"apiVersion": "apps/v1", "kind": "Deployment",
               "metadata": {"name": name, "namespace": self.facility.namespace}}  # fmt: skip
        self.cluster.apply({**ref, "spec": {"replicas": replicas}})
        self.ready(name, replicas)

    def ready(self, name: str, replicas: int = 1) -> None:
        ref = Ref("apps/v1", "Deployment", name, self.facility.namespace)

        def as_wanted() -> bool:
            status = (self.api.get(ref) or {}).get("status", {})
            numbers = ("replicas", "readyReplicas", "updatedReplicas")
            return [status.get(number, 0) for number in numbers] == [replicas] * 3

        wait_for(as_wanted, f"{name} has {replicas} ready pods", 180)


def a_pod(
    name: str,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return a pod that is not injected, and does nothing of its own."""
    return {
        "metadata": {
            "name": name,
            "labels": dict(labels or {}),
            "annotations": {"af-otel.io/inject": "false", **(annotations or {})},
        },
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": USER,
                    "imagePullPolicy": "Never",
                    "command": ["sleep", "infinity"],
                }
            ],
            "terminationGracePeriodSeconds": 0,
        },
    }


def a_deployment(name: str, labels: Mapping[str, str], account: str = "") -> dict[str, Any]:
    """Return a Deployment of one such pod."""
    template = a_pod("", labels)
    del template["metadata"]["name"]
    if account:
        template["spec"]["serviceAccountName"] = account
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": dict(labels)}, "template": template},
    }


def may_create_pods(account: str) -> list[dict[str, Any]]:
    """Return a service account and its right to create and change pods in any way."""
    group = "rbac.authorization.k8s.io"
    pods = ["pods", "pods/status", "pods/binding"]
    verbs = ["get", "list", "create", "update", "patch", "delete"]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}},
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": {"name": account},
            "rules": [{"apiGroups": [""], "resources": pods, "verbs": verbs}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": account},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account}],
        },
    ]


@contextlib.contextmanager
def collecting(cluster: Cluster, name: str, **sections: Any) -> Iterator[Collecting]:
    """A Collector, Jaeger and Prometheus for a facility in namespaces of its own."""
    api = Api.connect(cluster.kubeconfig)
    with cluster.namespace(name) as hub, cluster.namespace(f"{name}-dask") as dask:
        written = {
            "name": hub,
            "namespace": f"{hub}-af-otel",
            "hub": {"namespace": hub},
            "dask": [{**DASK, "namespaces": [dask]}],
            "scrape": {"interval": "2s"},
            "destinations": {},
            "backends": {"jaeger": True, "prometheus": True},
            "sampling": {"share": 1, "wait": "2s"},
        }
        facility = a_facility(**written | sections)
        made = Collecting(cluster, api, facility)
        if facility.hub.namespace == hub:
            cluster.apply(*may_create_pods("hub"), namespace=hub)
            cluster.apply(a_deployment("hub", {"component": "hub"}, "hub"), namespace=hub)
        objects = render(facility, facts.read(api, facility))
        try:
            for item in objects:
                api.apply(item)
            for item in objects:
                if item["kind"] == "Deployment":
                    made.ready(item["metadata"]["name"])
            assert prove_guard(api, facility) == []
            yield made
        finally:
            for item in reversed(objects):
                api.delete(item)
