"""A real Kubernetes of one node: its control plane, its node, and what tests do to them."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import ssl
import tempfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes
import yaml

from af_otel.local import servers
from cluster import catalog, images, parts, recipes
from cluster.node import HOSTNAME, Node, NodeFailed
from servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MANIFESTS = Path(__file__).parent / "manifests"
PROGRAMS = (
    "containerd",
    "runc",
    "ctr",
    "iptables",
    "conntrack",
    "debootstrap",
    "nsenter",
    "unshare",
    "ip",
)
MANAGER = "af-otel-tests"
PREFIX = "t-"  # short, as sockets lie below: the kernel takes 107 characters


def clusters() -> Path:
    """Where clusters have their files: beside the images, which they share by links."""
    return servers.cache().parent / "clusters"


def lacking(*, built: bool = True) -> str:
    """Why no cluster can run here; empty if one can, or could once its parts are built."""
    if os.geteuid() != 0:
        return "a cluster needs root: it makes network links, mounts and control groups"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if not (parts.CNI / "bridge").exists():
        missing.append("the CNI plugins")
    if missing:
        return "a cluster needs " + ", ".join(missing) + ": `make cluster` installs them"
    unbuilt = [name for name in ("etcd", "coredns", "kubernetes") if not _is_built(name)]
    if built and unbuilt:
        return f"{', '.join(unbuilt)} not built: `make cluster` builds them"
    return ""


def _is_built(name: str) -> bool:
    try:
        return bool(servers.find(name))
    except servers.ServerNotFound:
        return False


class Cluster:
    """What `kubeconfig` leads to; with `state`, the one whose processes run there."""

    def __init__(self, kubeconfig: Path, state: Path) -> None:
        self.kubeconfig = kubeconfig
        self.state = state
        self.node = Node(state)

    @classmethod
    def at(cls, state: Path) -> Cluster:
        """The cluster whose files are in this directory, or will be."""
        return cls(state / "pki" / "admin.kubeconfig", state)

    @classmethod
    def named(cls, kubeconfig: Path) -> Cluster:
        """A cluster of ours that another process has started, by its kubeconfig."""
        return cls.at(kubeconfig.resolve().parents[1])

    # --- the API ---

    @functools.cached_property
    def client(self) -> kubernetes.client.ApiClient:
        return kubernetes.config.new_client_from_config(str(self.kubeconfig))

    @functools.cached_property
    def core(self) -> kubernetes.client.CoreV1Api:
        return kubernetes.client.CoreV1Api(self.client)

    @functools.cached_property
    def api(self) -> kubernetes.dynamic.DynamicClient:
        """For every kind, custom ones included."""
        cache = self.state / f"discovery-{os.getpid()}.json"
        return kubernetes.dynamic.DynamicClient(self.client, cache_file=str(cache))

    def apply(self, *objects: dict[str, Any], namespace: str | None = None) -> None:
        for body in objects:
            kind = self.api.resources.get(api_version=body["apiVersion"], kind=body["kind"])
            where = body["metadata"].get("namespace", namespace) if kind.namespaced else None
            kind.server_side_apply(
                body, namespace=where, field_manager=MANAGER, force_conflicts=True
            )

    def api_is_ready(self) -> bool:
        pki = self.state / "pki"
        context = ssl.create_default_context(cafile=pki / "ca.crt")
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        with contextlib.suppress(OSError):
            url = f"https://{self.node.address}:6443/readyz"
            with urllib.request.urlopen(url, context=context, timeout=5) as answer:
                return answer.status == 200
        return False

    def node_is_ready(self) -> bool:
        with contextlib.suppress(kubernetes.client.ApiException):
            return any(
                condition.type == "Ready" and condition.status == "True"
                for condition in self.core.read_node(HOSTNAME).status.conditions or ()
            )
        return False

    @contextlib.contextmanager
    def namespace(self, prefix: str, labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """A namespace of the caller's own, which is deleted afterwards."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        body = {"metadata": {"name": name, "labels": dict(labels or {})}}
        self.core.create_namespace(body)
        try:
            yield name
        finally:
            with contextlib.suppress(kubernetes.client.ApiException):
                # What is ended hard here is nobody's: its test is over.
                self.core.delete_collection_namespaced_pod(name, grace_period_seconds=0)
            self.core.delete_namespace(name)

    # --- what tests do to it ---

    def image(self, name: str, tree: Path, upon: str = "", **config: Any) -> None:
        """Load a directory tree as the image `name`, upon one of "base", "hub", "user" if named.

        A file `.wh.NAME` removes NAME, which lies below it. See `images.load` for the rest.
        """
        below, settings = recipes.image(upon) if upon else ([], {})
        packed = images.layer(tree, self.state)
        try:
            images.load(self.node, name, [*below, packed], **{**settings, **config})
        finally:
            packed.path.unlink()

    def has_image(self, name: str) -> bool:
        return images.full_name(name) in images.known(self.node)

    def stop_api(self) -> None:
        """Let the API be away; what runs on the node goes on."""
        self.node.stop("apiserver")

    def start_api(self) -> None:
        self.node.start_again("apiserver")
        wait_for(self.api_is_ready, "kube-apiserver answers again", 60)

    @contextlib.contextmanager
    def dropped(self, sources: Sequence[str], destinations: Sequence[str]) -> Iterator[None]:
        """Lose every packet between these addresses, as a policy without a matching rule does."""
        rules = [
            ("-s", one, "-d", other, "-j", "DROP") for one in sources for other in destinations
        ]
        done = []
        try:
            for rule in rules:
                self.node.run("iptables", "-w", "-I", "FORWARD", *rule)
                done.append(rule)
            yield
        finally:
            for rule in done:
                self.node.run("iptables", "-w", "-D", "FORWARD", *rule)

    def addresses(self, namespace: str, selector: str) -> list[str]:
        """Where the pods of a label selector are."""
        pods = self.core.list_namespaced_pod(namespace, label_selector=selector).items
        return [pod.status.pod_ip for pod in pods if pod.status.pod_ip]

    # --- up and down ---

    def up(self, *, keep: bool = False, bare: bool = False) -> None:
        """Start everything; unless `keep`, it ends with this process, however that ends.

        A `bare` one has no images but its own.
        """
        self.state.mkdir(parents=True, exist_ok=True)
        self.node.up(keep=keep)
        parts.write_certificates(self.node)
        start = functools.partial(parts.start_containerd, self.node)
        start() if bare else catalog.provide(self.node, start)
        parts.start_api(self.node)
        self._ready("apiserver", self.api_is_ready)
        parts.start_others(self.node)
        self._ready("kubelet", self.node_is_ready)
        images.load_coredns(self.node)
        self.apply(*system_objects())

    def _ready(self, part: str, condition: Callable[[], bool]) -> None:
        """Wait for it; fail with the last words of this part, at once if it has ended."""
        try:
            wait_for(lambda: condition() or self.node.process(part) is None, part, 120)
            failed = self.node.process(part) is None
        except AssertionError:
            failed = True
        if failed:
            words = (self.node.logs / f"{part}.log").read_text(errors="replace")
            raise NodeFailed(f"{part} is not ready: {words[-2000:]}")

    def down(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        self.node.down()


def system_objects() -> list[dict[str, Any]]:
    """Names and volumes."""
    return list(yaml.safe_load_all((MANIFESTS / "system.yaml").read_text()))


@contextlib.contextmanager
def running(*, bare: bool = False) -> Iterator[Cluster]:
    """A new cluster; what killed runs have left of theirs is removed first."""
    directory = clusters()
    directory.mkdir(parents=True, exist_ok=True)
    for state in directory.glob(f"{PREFIX}*"):
        if Node(state).is_left_over():
            Cluster.at(state).down()
    cluster = Cluster.at(Path(tempfile.mkdtemp(prefix=PREFIX, dir=directory)))
    try:
        cluster.up(bare=bare)
        yield cluster
    finally:
        cluster.down()
