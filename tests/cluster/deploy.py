"""A facility on the cluster, as Zero to JupyterHub and the chart of Dask Gateway deploy one."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import string
import textwrap
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import kubernetes
import yaml
from jupyters import Jupyter

from cluster import catalog
from cluster.cluster import MANIFESTS
from servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.cluster import Cluster

USER = catalog.USER  # the image of users and of their Dask
TOKENS = (
    "password",
    "hub.config.ConfigurableHTTPProxy.auth_token",
    "hub.config.JupyterHub.cookie_secret",
    "hub.services.dask-gateway.apiToken",
    "hub.services.tests.apiToken",
)


@dataclass(frozen=True)
class DeployedFacility:
    """A hub with KubeSpawner, its proxy, and Dask Gateway, in a namespace."""

    cluster: Cluster
    namespace: str
    release: str
    token: str  # of the hub's service `tests`, which may do anything to users and their servers
    password: str  # of every user
    url: str  # the front door, for this machine

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the hub's API; what it says, from JSON."""
        return self.ask(method, f"/hub/api{path}", body)

    def ask(self, method: str, path: str, body: Any = None, timeout: float = 30) -> Any:
        """Ask the front door with the hub's token."""
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def start_server(self, user: str, options: Any = None, timeout: float = 180) -> str:
        """Have the hub start the user's server; the name of its pod, once it is ready."""
        try:
            self.call("POST", f"/users/{user}")
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
        self.call("POST", f"/users/{user}/server", options or {})

        def server() -> Any:
            time.sleep(0.3)  # the hub has other things to do than to answer
            found = self.call("GET", f"/users/{user}")["servers"].get("")
            assert found is not None, f"the server of {user} failed: see the hub's log"
            return found if found["ready"] else None

        pod: str = wait_for(server, f"the server of {user}", timeout)["state"]["pod_name"]
        return pod

    def notebook(self, user: str) -> Jupyter:
        """The user's running server as the user reaches it: through the front door."""
        token = self.call("POST", f"/users/{user}/tokens", {"note": "a test"})["token"]
        url = f"{self.url}/user/{user}"
        return Jupyter(user, [], {}, self.cluster.state, url, url=url, token=token)

    def stop_server(self, user: str, timeout: float = 60) -> None:
        self.call("DELETE", f"/users/{user}/server")
        wait_for(
            lambda: "" not in self.call("GET", f"/users/{user}").get("servers", {}),
            f"the end of the server of {user}",
            timeout,
        )


def load_images(cluster: Cluster) -> None:
    """Have a cluster that was started bare know the facility's images."""
    catalog.load(cluster.node)


def deploy(
    cluster: Cluster,
    namespace: str = "jhub",
    release: str = "jhub",
    extra_config: Mapping[str, str] | None = None,
) -> DeployedFacility:
    """Deploy a facility, or bring the one there to this state, and wait until it answers."""
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    tokens = _tokens(cluster, namespace)
    config = {"jupyterhub_config.py": (MANIFESTS / "jupyterhub_config.py").read_text()}
    for name, text in (extra_config or {}).items():
        config["jupyterhub_config.py"] += f"\n# {name}\n{text}\n"
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "hub", "namespace": namespace},
            "data": config,
        }
    )
    names = {"namespace": namespace, "release": release}
    hub = _objects("jupyterhub", **names, checksum=_digest(config["jupyterhub_config.py"]))
    router = textwrap.indent((MANIFESTS / "router.py").read_text(), " " * 4)
    settings = (MANIFESTS / "dask-gateway.yaml").read_text() + router
    gateway = _objects("dask-gateway", **names, router=router, checksum=_digest(settings))
    cluster.apply(*hub, *gateway, namespace=namespace)
    wait_until_deployed(cluster, namespace)
    service = cluster.core.read_namespaced_service("proxy-public", namespace)
    facility = DeployedFacility(
        cluster,
        namespace,
        release,
        token=tokens["hub.services.tests.apiToken"],
        password=tokens["password"],
        url=f"http://{cluster.node.address}:{service.spec.ports[0].node_port}",
    )
    wait_for(lambda: _answers(facility), "the hub answers through the proxy", 60)
    return facility


def wait_until_deployed(cluster: Cluster, namespace: str, timeout: float = 180) -> None:
    """Wait until every Deployment of the namespace is what it is meant to be."""
    apps = kubernetes.client.AppsV1Api(cluster.client)

    def unready() -> list[str]:
        return [
            deployment.metadata.name
            for deployment in apps.list_namespaced_deployment(namespace).items
            if deployment.status.observed_generation != deployment.metadata.generation
            or deployment.status.updated_replicas != deployment.spec.replicas
            or deployment.status.available_replicas != deployment.spec.replicas
            or deployment.status.replicas != deployment.spec.replicas
        ]

    wait_for(lambda: not unready(), f"the Deployments of `{namespace}`", timeout)


def _tokens(cluster: Cluster, namespace: str) -> dict[str, str]:
    try:
        there = cluster.core.read_namespaced_secret("hub", namespace).data
        return {name: base64.b64decode(there[name]).decode() for name in TOKENS}
    except kubernetes.client.ApiException as error:
        if error.status != 404:
            raise
    tokens = {name: secrets.token_hex(32) for name in TOKENS}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "hub", "namespace": namespace},
            "stringData": tokens,
        }
    )
    return tokens


def _objects(name: str, **values: str) -> list[dict[str, Any]]:
    text = (MANIFESTS / f"{name}.yaml").read_text()
    return list(yaml.safe_load_all(string.Template(text).safe_substitute(values)))


def _digest(text: str) -> str:
    """Of what a pod reads when it starts: with another one, its Deployment makes a new pod."""
    return hashlib.sha256(text.encode()).hexdigest()


def _answers(facility: DeployedFacility) -> bool:
    try:
        return bool(facility.call("GET", "/"))
    except OSError:
        return False
