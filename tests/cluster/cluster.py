"""A real Kubernetes of one node: its control plane, its node, and what tests do to them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import ssl
import tempfile
import urllib.request
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes
import yaml

from af_otel.local import servers
from cluster import images, recipes
from cluster.certificates import Authority
from cluster.node import BRIDGE_ADDRESS, HOSTNAME, Node
from servers import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

POD_CIDR = "10.244.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
API_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
MANIFESTS = Path(__file__).parent / "manifests"
CNI = next((p for p in map(Path, ("/usr/lib/cni", "/opt/cni/bin")) if p.is_dir()), Path())
PROGRAMS = ("containerd", "runc", "ctr", "iptables", "conntrack", "nsenter", "unshare", "ip")
MANAGER = "af-otel-tests"


def lacking() -> str:
    """Why no cluster can run here; empty if one can."""
    if os.geteuid() != 0:
        return "a cluster needs root: it makes network links, mounts and control groups"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if not (CNI / "bridge").exists():
        missing.append("the CNI plugins")
    if missing:
        return "a cluster needs " + ", ".join(missing) + ": `make cluster` installs them"
    unbuilt = [name for name in ("etcd", "coredns", "kubernetes") if not _is_built(name)]
    if unbuilt:
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

    @cached_property
    def client(self) -> kubernetes.client.ApiClient:
        return kubernetes.config.new_client_from_config(str(self.kubeconfig))

    @cached_property
    def core(self) -> kubernetes.client.CoreV1Api:
        return kubernetes.client.CoreV1Api(self.client)

    @cached_property
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
        return name in self.node.run("ctr", "-n", "k8s.io", "images", "ls", "-q").split()

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

    def up(self, *, keep: bool = False) -> None:
        """Start everything; unless `keep`, it ends with this process, however that ends."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.node.up(keep=keep)
        self._certificates()
        self._containers()
        self._control_plane()
        self._machine()
        wait_for(self.node_is_ready, "the node is Ready", 90)
        images.load_coredns(self.node)
        self.apply(*system_objects())

    def down(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        self.node.down()

    def _certificates(self) -> None:
        authority = Authority(self.state / "pki")
        authority.signing_key("tokens")
        authority.issue(
            "apiserver",
            "kube-apiserver",
            hosts=[
                *("127.0.0.1", API_ADDRESS, BRIDGE_ADDRESS, self.node.address),
                *("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
                "kubernetes.default.svc.cluster.local",
            ],
        )
        authority.issue("admin", "admin", "system:masters")
        authority.issue("controller-manager", "system:kube-controller-manager")
        authority.issue("scheduler", "system:kube-scheduler")
        authority.issue("proxy", "system:kube-proxy")
        authority.issue(
            "kubelet",
            f"system:node:{HOSTNAME}",
            "system:nodes",
            hosts=[HOSTNAME, BRIDGE_ADDRESS],
        )
        authority.kubeconfig("admin", f"https://{self.node.address}:6443")
        for name in ("controller-manager", "scheduler", "proxy", "kubelet"):
            authority.kubeconfig(name, f"https://{BRIDGE_ADDRESS}:6443")

    def _containers(self) -> None:
        (self.state / "cni").mkdir()
        (self.state / "cni" / "10-pods.conflist").write_text(json.dumps(self._pod_network()))
        config = self.state / "containerd.toml"
        config.write_text(f"""version = 2
root = "{self.state}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE}"
  restrict_oom_score_adj = true  # a machine may not let even root lower it
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI}"
    conf_dir = "{self.state}/cni"
""")
        self.node.start("containerd", "containerd", "-c", config)
        socket = Path(f"/proc/{self.node.init}/root/run/containerd/containerd.sock")
        wait_for(socket.exists, "containerd answers", 60)
        images.load_pause(self.node, self.state)

    def _pod_network(self) -> dict[str, Any]:
        bridge = {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": POD_CIDR}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": str(self.state / "addresses"),
            },
        }
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}

    def _control_plane(self) -> None:
        pki, programs = self.state / "pki", servers.find("kubernetes").path.parent
        self.node.start(
            "etcd",
            servers.find("etcd").path,
            f"--data-dir={self.state}/etcd",
            "--unsafe-no-fsync",
        )
        self.node.start(
            "apiserver",
            programs / "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--advertise-address={BRIDGE_ADDRESS}",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/admin.crt",
            f"--kubelet-client-key={pki}/admin.key",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={pki}/tokens.key",
            f"--service-account-signing-key-file={pki}/tokens.key",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
        )
        wait_for(self.api_is_ready, "kube-apiserver answers", 90)
        # One of each: without an election to lose, they outlive an API that is away.
        self.node.start(
            "controller-manager",
            programs / "kube-controller-manager",
            f"--kubeconfig={pki}/controller-manager.kubeconfig",
            "--leader-elect=false",
            "--use-service-account-credentials",
            "--enable-hostpath-provisioner",
            f"--service-account-private-key-file={pki}/tokens.key",
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
        )
        self.node.start(
            "scheduler",
            programs / "kube-scheduler",
            f"--kubeconfig={pki}/scheduler.kubeconfig",
            "--leader-elect=false",
        )

    def _machine(self) -> None:
        pki, programs = self.state / "pki", servers.find("kubernetes").path.parent
        (self.state / "resolv.conf").write_text("")
        config = self.state / "kubelet.json"
        config.write_text(json.dumps(self._kubelet()))
        self.node.start(
            "kubelet",
            programs / "kubelet",
            f"--config={config}",
            f"--kubeconfig={pki}/kubelet.kubeconfig",
            f"--hostname-override={HOSTNAME}",
            f"--node-ip={BRIDGE_ADDRESS}",
            f"--root-dir={self.state}/kubelet",
        )
        self.node.start(
            "proxy",
            programs / "kube-proxy",
            f"--kubeconfig={pki}/proxy.kubeconfig",
            f"--hostname-override={HOSTNAME}",
            f"--cluster-cidr={POD_CIDR}",
            "--proxy-mode=iptables",
            "--conntrack-max-per-core=0",
        )

    def _kubelet(self) -> dict[str, Any]:
        pki = self.state / "pki"
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{pki}/kubelet.crt",
            "tlsPrivateKeyFile": f"{pki}/kubelet.key",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.node.cgroup}",
            "failCgroupV1": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            # The disk of a machine in a machine may have no statistics.
            "localStorageCapacityIsolation": False,
            "evictionHard": {
                "memory.available": "200Mi",
                "nodefs.available": "1%",
                "imagefs.available": "1%",
            },
            # What is loaded stays: there is no registry to get it from again.
            "imageGCHighThresholdPercent": 100,
            "clusterDNS": [DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self.state / "resolv.conf"),
            "podLogsDir": str(self.state / "podlogs"),
            "maxPods": 200,
        }


def system_objects() -> list[dict[str, Any]]:
    """Names and volumes."""
    return list(yaml.safe_load_all((MANIFESTS / "system.yaml").read_text()))


@contextlib.contextmanager
def running(directory: Path, prefix: str) -> Iterator[Cluster]:
    """A new cluster somewhere below `directory`; those of killed runs there are removed first."""
    for state in directory.glob(f"{prefix}*"):
        if Node(state).is_left_over():
            Cluster.at(state).down()
    cluster = Cluster.at(Path(tempfile.mkdtemp(prefix=prefix, dir=directory)))
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()
