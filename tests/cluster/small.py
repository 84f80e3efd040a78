"""A facility that is quick to install: its hub is a web server, with a user's pod beside it."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from af_otel.kubernetes.client import Cluster
from af_otel.kubernetes.ownership import FACILITY, MANAGED_BY, cleaned
from af_otel.kubernetes.refs import Ref
from cluster import deploy
from servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

AF_OTEL = str(Path(sys.executable).with_name("af-otel"))
HUB = "localhost/af-otel-test/hub:1"
SERVE = ["python3", "-m", "http.server", "8081"]
USER = {"component": "singleuser-server"}
# Made anew by controllers all the time, or telling of the past: Dask Gateway keeps what has ended.
SHARED = {"Namespace", "PersistentVolume", "Node", "CertificateSigningRequest", "FlowSchema"}
CHURN = {
    "DaskCluster",
    "Event",
    "Lease",
    "EndpointSlice",
    "Endpoints",
    "ControllerRevision",
    "IPAddress",
}


@dataclass
class Small:
    """The facility, its file, and the command as its operator runs it."""

    api: Cluster
    kubeconfig: Path
    directory: Path
    hub: str  # namespace
    written: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.written["name"])

    @property
    def namespace(self) -> str:
        return str(self.written["namespace"])

    @property
    def file(self) -> Path:
        return self.directory / "facility.yaml"

    def write(self, **changes: Any) -> None:
        """Have the operator edit facility.yaml."""
        self.written |= changes
        self.file.write_text(yaml.safe_dump(self.written))

    def start(self, *arguments: str, kubeconfig: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [AF_OTEL, *arguments],
            cwd=self.directory,
            env={**os.environ, "KUBECONFIG": str(kubeconfig or self.kubeconfig)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *arguments: str, code: int = 0, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `af-otel`, and see it end with `code`."""
        process = self.start(*arguments, kubeconfig=kubeconfig)
        out, err = ended(process)
        assert process.returncode == code, f"{process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def install(self, *arguments: str, code: int = 0, **kwargs: Any) -> Any:
        """Install without the proof: a web server has no users who log in."""
        return self.run("install", "--yes", "--skip-verify", *arguments, code=code, **kwargs)

    # What is there

    def hub_pods(self) -> list[dict[str, Any]]:
        found = self.api.list("Pod", namespace=self.hub, labels={"component": "hub"})
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def injected(self) -> list[str]:
        """The version in each of the hub's pods."""
        return [
            (pod["metadata"].get("annotations") or {}).get("af-otel.io/injected", "")
            for pod in self.hub_pods()
        ]

    def ours(self) -> list[dict[str, Any]]:
        """Every object with the labels of this facility's install."""
        wanted = {MANAGED_BY: "af-otel", FACILITY: self.name}
        return [
            item
            for kind in self.api.everything()
            if "list" in kind.verbs and kind.kind not in CHURN
            for item in self.api.list(kind.kind, kind.api_version, labels=wanted)
            if not any(each.get("controller") for each in owners(item))
        ]

    def everything(self) -> dict[Ref, dict[str, Any]]:
        """All objects of this facility's namespaces and of the whole cluster, as wished for.

        What other tests have in this cluster meanwhile is theirs.
        """
        found = {}
        for kind in self.api.everything():
            if "list" not in kind.verbs or kind.kind in CHURN:
                continue
            for item in self.api.list(kind.kind, kind.api_version):
                ref = Ref.of(item)
                if ref.namespace and ref.namespace not in {self.hub, self.namespace, "default"}:
                    continue
                if any(each.get("controller") for each in owners(item)):
                    continue
                found[ref] = cleaned(item)
        return found

    def changed(self, before: dict[Ref, dict[str, Any]]) -> set[Ref]:
        """What of this facility or of the whole cluster is not as it was before.

        Other tests may come and go in the same cluster: of what is made or goes beyond this
        facility's namespaces, that counts which names it. A volume goes some time after its claim.
        """
        found, ends = self._differing(before), time.monotonic() + 60
        while any(ref.kind == "PersistentVolume" for ref in found) and time.monotonic() < ends:
            time.sleep(1)
            found = self._differing(before)
        return found

    def _differing(self, before: dict[Ref, dict[str, Any]]) -> set[Ref]:
        after, found = self.everything(), set()
        for ref in before.keys() | after.keys():
            now, then = after.get(ref), before.get(ref)
            here = ref.namespace or ref.name in {self.hub, self.namespace}
            ours = here or self.name in repr((now, then))
            if now != then and (ours or (now and then and ref.kind not in SHARED)):
                found.add(ref)
        return found

    def user_pod(self, name: str) -> None:
        """Start a user's server, and wait until it answers."""
        self.api.create(pod(name, self.hub, USER))
        self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        ref = Ref("v1", "Pod", name, self.hub)
        wait_for(lambda: ready(self.api.get(ref)), f"{ref} is ready", 90)

    def wait_hub(self) -> None:
        wait_for(
            lambda: self.hub_pods() and all(map(ready, self.hub_pods())), "the hub is ready", 90
        )


def owners(item: dict[str, Any]) -> list[dict[str, Any]]:
    return item["metadata"].get("ownerReferences") or []


def ended(process: subprocess.Popen[str], timeout: float = 240) -> tuple[str, str]:
    try:
        return process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"it goes on and on\n{out}\n{err}") from None


def ready(found: dict[str, Any] | None) -> bool:
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def pod(name: str, namespace: str, labels: dict[str, str], command: Any = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec(command),
    }


def spec(command: Any = None) -> dict[str, Any]:
    return {
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "hub",
                "image": HUB,
                "imagePullPolicy": "IfNotPresent",
                "command": command or SERVE,
                "readinessProbe": {"httpGet": {"path": "/", "port": 8081}, "periodSeconds": 1},
            }
        ],
    }


def a_hub(namespace: str, command: Any = None) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "hub", "namespace": namespace},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"component": "hub"}},
            "template": {"metadata": {"labels": {"component": "hub"}}, "spec": spec(command)},
        },
    }


@contextlib.contextmanager
def small_facility(cluster: Any, directory: Path, command: Any = None) -> Iterator[Small]:
    """A hub that runs, and a facility.yaml about it; whatever is installed is gone afterwards."""
    deploy.load_images(cluster)
    api = Cluster.connect(cluster.kubeconfig)
    with cluster.namespace("small") as hub:
        name = f"small-{secrets.token_hex(3)}"
        small = Small(api, cluster.kubeconfig, directory, hub)
        small.write(
            name=name,
            namespace=f"{name}-af",
            hub={"namespace": hub},
            backends={"jaeger": True, "prometheus": True},
            scrape={"hub": False, "nodes": False},
        )
        api.create(a_hub(hub, command))
        small.wait_hub()
        try:
            yield small
        finally:
            small.start("uninstall", "--yes").communicate(timeout=240)
            for item in small.ours():
                api.delete(item)
            api.delete(Ref("v1", "Namespace", small.namespace))


def caller(small: Small, *rules: tuple[str, dict[str, Any]]) -> Path:
    """A kubeconfig of somebody who may do just this; rules are for a namespace, or "" for all."""
    name = f"caller-{secrets.token_hex(3)}"
    small.api.create(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": small.hub},
        }
    )
    for number, (namespace, rule) in enumerate(rules):
        _grant(small, f"{name}-{number}", namespace, rule, name)
    path = f"/api/v1/namespaces/{small.hub}/serviceaccounts/{name}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = small.api.request("POST", path, body=body)["status"]["token"]
    config = read_config(small.kubeconfig)
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    file = small.directory / f"{name}.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


def _grant(small: Small, name: str, namespace: str, rule: dict[str, Any], account: str) -> None:
    kind = "Role" if namespace else "ClusterRole"
    api = "rbac.authorization.k8s.io"
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    # So that a test's end takes it along.
    meta["labels"] = {MANAGED_BY: "af-otel", FACILITY: small.name}
    if namespace and not small.api.get(Ref("v1", "Namespace", namespace)):
        message = f"no namespace {namespace}"
        raise AssertionError(message)
    small.api.create({"apiVersion": f"{api}/v1", "kind": kind, "metadata": meta, "rules": [rule]})
    small.api.create(
        {
            "apiVersion": f"{api}/v1",
            "kind": f"{kind}Binding",
            "metadata": copy.deepcopy(meta),
            "roleRef": {"apiGroup": api, "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": small.hub}],
        }
    )


def read_config(kubeconfig: Path) -> dict[str, Any]:
    """A kubeconfig that may be written elsewhere."""
    config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
    for holder in (config["clusters"][0]["cluster"], config["users"][0]["user"]):
        for part in ("certificate-authority", "client-certificate", "client-key"):
            if part in holder:
                holder[part] = str(kubeconfig.resolve().parent / holder[part])
    return config


class Wire:
    """A way to the API that can be cut: for who comes this way, the API server is away."""

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        config = read_config(kubeconfig)
        cluster = config["clusters"][0]["cluster"]
        host, _, port = cluster["server"].removeprefix("https://").partition(":")
        self._far = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._cut = False
        cluster["server"] = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        cluster["tls-server-name"] = "kubernetes"
        self.kubeconfig = directory / "wire.kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(config))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._cut = True
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut = False

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            if self._cut:
                near.close()
                continue
            far = socket.create_connection(self._far)
            self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
