"""The Collector as on a cluster, with kubernetes.yaml, before destinations of the test's own."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
import urllib.parse
import urllib.request
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from af_otel.collector import config
from servers import (
    COLLECTOR_CONFIGS,
    ROOT,
    Collector,
    Server,
    free_port,
    program,
    running_collector,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

CONFIGS = (
    ROOT / "collector-config" / "base.yaml",
    ROOT / "collector-config" / "kubernetes.yaml",
)
NO_CLUSTER = ROOT / "tests" / "config" / "collector-no-cluster.yaml"
# Of the traces that are neither slow nor failed.
ALL = {"AF_OTEL_SHARE_PERCENT": "100"}
NONE = {"AF_OTEL_SHARE_PERCENT": "0"}


@contextlib.contextmanager
def running_gateway(
    directory: Path,
    env: Mapping[str, str] | None = None,
    overlays: Sequence[Path] = (NO_CLUSTER,),
) -> Iterator[Collector]:
    """A Collector with kubernetes.yaml that decides on traces after 2 s."""
    settings = {
        "AF_OTEL_LOOPBACK": f"127.0.0.1:{free_port()}",
        "AF_OTEL_QUEUE_DIR": str(directory / "queue"),
        "AF_OTEL_SELF_METRICS_HOST": "127.0.0.1",
        "AF_OTEL_DECISION_WAIT": "2s",
        "AF_OTEL_SPAN_METRICS_INTERVAL": "500ms",
        "AF_OTEL_SCRAPE_INTERVAL": "1s",
        "AF_OTEL_FACILITY": "testing",
        "AF_OTEL_TRACES_OTLP": f"http://127.0.0.1:{free_port()}",
        "AF_OTEL_PROMETHEUS_WRITE": f"http://127.0.0.1:{free_port()}/api/v1/write",
    }
    with running_collector(directory, (*CONFIGS, *overlays), settings | (env or {})) as running:
        yield running


@contextlib.contextmanager
def running_store(directory: Path) -> Iterator[Collector]:
    """Whatever takes OTLP in Tempo's place and can be counted exactly: all it gets is in a file."""
    with running_collector(directory, COLLECTOR_CONFIGS) as running:
        yield running


@dataclass
class Pods:
    """What the Kubernetes API says of pods, by namespace.

    Their addresses are of the loopback, so that a test can send as any of them.
    """

    kubeconfig: Path
    pods: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(
        self,
        namespace: str,
        name: str,
        address: str,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        owner: tuple[str, str] | None = None,
    ) -> None:
        """Say that there is a pod, before the Collector starts."""
        owners = [{"kind": owner[0], "name": owner[1], "uid": f"uid-{owner[1]}", "controller": True,
                   "apiVersion": "apps/v1"}] if owner else []  # fmt: skip
        self.pods.setdefault(namespace, []).append({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": namespace,
                "name": name,
                "uid": f"uid-{name}",
                "resourceVersion": "1",
                "labels": dict(labels or {}),
                "annotations": dict(annotations or {}),
                "ownerReferences": owners,
            },
            "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "image"}]},
            "status": {
                "phase": "Running",
                "podIP": address,
                "podIPs": [{"ip": address}],
                "startTime": "2026-01-01T00:00:00Z",
            },
        })  # fmt: skip

    @property
    def env(self) -> dict[str, str]:
        """What makes the Collector ask here."""
        return {
            "AF_OTEL_KUBERNETES_AUTH": "kubeConfig",
            "AF_OTEL_KUBECONFIG": str(self.kubeconfig),
            "KUBECONFIG": str(self.kubeconfig),
            "AF_OTEL_GUARDED": "true",
        }


def selected(selector: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a pod has the labels of a `labelSelector`."""
    wanted = re.findall(r"([^=,\s]+)(?:=([^,]*)| in \(([^)]*)\))", selector)

    def matches(pod: dict[str, Any]) -> bool:
        labels = pod["metadata"]["labels"]
        return all(
            labels.get(key) in (values.split(",") if values else [value])
            for key, value, values in wanted
        )

    return matches


@contextlib.contextmanager
def kubernetes_pods(directory: Path) -> Iterator[Pods]:
    """A Kubernetes API that knows pods and nothing else."""
    directory.mkdir(parents=True, exist_ok=True)
    made = Pods(directory / "kubeconfig")
    stopped = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            match = re.match(r"/api/v1(?:/namespaces/([^/]+))?/pods\?(.*)", self.path)
            if match is None or "sendInitialEvents=true" in match[2]:
                self._answer(400 if match else 404, {"kind": "Status", "apiVersion": "v1",
                             "status": "Failure", "reason": "Invalid", "code": 400})  # fmt: skip
            elif "watch=" in match[2]:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                stopped.wait(60)
                self.close_connection = True
            else:
                names = [match[1]] if match[1] else list(made.pods)
                wanted = selected(urllib.parse.parse_qs(match[2]).get("labelSelector", [""])[0])
                items = [pod for name in names for pod in made.pods.get(name, ()) if wanted(pod)]
                self._answer(200, {"kind": "PodList", "apiVersion": "v1",
                             "metadata": {"resourceVersion": "1"}, "items": items})  # fmt: skip

        def _answer(self, status: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.kubeconfig.write_text(json.dumps({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c",
                      "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }))  # fmt: skip
    try:
        yield made
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


def self_metrics(gateway: Collector) -> dict[str, float]:
    """What the Collector says of itself: `name{labels}` to value."""
    with urllib.request.urlopen(gateway.metrics_url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in lines
        if line and not line.startswith("#")
    }


def stored_names(store: Collector) -> list[str]:
    return sorted(span["name"] for span in store.spans())


@contextlib.contextmanager
def limited_gateway(directory: Path, env: Mapping[str, str]) -> Iterator[Collector]:
    """Run a Collector behind nginx, as in its pod; its endpoints are nginx's."""
    settings = {**env, "AF_OTEL_SENDER": "metadata.x-real-ip"}
    with running_gateway(directory / "collector", settings, ()) as gateway:
        http, grpc, ready = (free_port() for _ in range(3))
        behind = {
            "127.0.0.1:14318": gateway.endpoint.removeprefix("http://"),
            "127.0.0.1:14317": gateway.grpc_endpoint,
            "listen 4318": f"listen 127.0.0.1:{http}",
            "listen 4317": f"listen 127.0.0.1:{grpc}",
            "/tmp/": f"{directory}/",
        }
        text = config.nginx()
        for known, here in behind.items():
            assert known in text
            text = text.replace(known, here)
        (directory / "nginx.conf").write_text(
            # As the last server of `http`, only so that a test knows when to begin.
            text.rstrip().removesuffix("}")
            + f"server {{ listen 127.0.0.1:{ready}; location / {{ return 204; }} }}\n}}\n"
        )
        nginx = Server(
            name="nginx",
            command=[
                *(program("nginx", "AF_OTEL_NGINX"), "-e", "stderr", "-g", "daemon off;"),
                *("-c", str(directory / "nginx.conf")),
            ],
            env={},
            directory=directory,
            ready_url=f"http://127.0.0.1:{ready}/",
        )
        nginx.start()
        try:
            yield replace(
                gateway,
                endpoint=f"http://127.0.0.1:{http}",
                grpc_endpoint=f"127.0.0.1:{grpc}",
            )
        finally:
            nginx.stop()
