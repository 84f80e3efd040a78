"""The parts of a cluster, and how each is started on its node."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from af_otel.local import servers
from cluster import images
from cluster.certificates import Authority
from cluster.node import BRIDGE, BRIDGE_ADDRESS, HOSTNAME
from servers import wait_for

if TYPE_CHECKING:
    from cluster.node import Node

POD_CIDR = "10.244.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
API_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
CNI = next((p for p in map(Path, ("/usr/lib/cni", "/opt/cni/bin")) if p.is_dir()), Path())
CONTAINERD = """version = 2
root = "{state}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true  # a machine may not let even root lower it
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{state}/cni"
"""


def write_certificates(node: Node) -> None:
    authority = Authority(node.state / "pki")
    authority.signing_key("tokens")
    authority.issue(
        "apiserver",
        "kube-apiserver",
        hosts=[
            *("127.0.0.1", API_ADDRESS, BRIDGE_ADDRESS, node.address),
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
    authority.kubeconfig("admin", f"https://{node.address}:6443")
    for name in ("controller-manager", "scheduler", "proxy", "kubelet"):
        authority.kubeconfig(name, f"https://{BRIDGE_ADDRESS}:6443")


def start_containerd(node: Node) -> None:
    (node.state / "cni").mkdir(exist_ok=True)
    network = node.state / "cni" / "10-pods.conflist"
    network.write_text(json.dumps(_pod_network(node)))
    config = node.state / "containerd.toml"
    config.write_text(CONTAINERD.format(state=node.state, pause=images.PAUSE, cni=CNI))
    node.start("containerd", "containerd", "-c", config)
    wait_for(lambda: node.can("ctr", "version"), "containerd answers", 60)
    images.load_pause(node)


def _pod_network(node: Node) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": POD_CIDR}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(node.state / "addresses"),
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}


def start_api(node: Node) -> None:
    pki = node.state / "pki"
    node.start(
        "etcd",
        servers.find("etcd").path,
        f"--data-dir={node.state}/etcd",
        "--unsafe-no-fsync",
    )
    node.start(
        "apiserver",
        _program("kube-apiserver"),
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


def start_others(node: Node) -> None:
    """Start what talks to the API only. One of each: there is no election to lose meanwhile."""
    pki = node.state / "pki"
    node.start(
        "controller-manager",
        _program("kube-controller-manager"),
        f"--kubeconfig={pki}/controller-manager.kubeconfig",
        "--leader-elect=false",
        "--use-service-account-credentials",
        "--enable-hostpath-provisioner",
        f"--service-account-private-key-file={pki}/tokens.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
    )
    for ours in ("volumes", "policies"):
        program = Path(__file__).with_name(f"{ours}.py")
        node.start(ours, sys.executable, program, f"{pki}/admin.kubeconfig")
    node.start(
        "scheduler",
        _program("kube-scheduler"),
        f"--kubeconfig={pki}/scheduler.kubeconfig",
        "--leader-elect=false",
    )
    (node.state / "resolv.conf").write_text("")
    config = node.state / "kubelet.json"
    config.write_text(json.dumps(_kubelet(node)))
    node.start(
        "kubelet",
        _program("kubelet"),
        f"--config={config}",
        f"--kubeconfig={pki}/kubelet.kubeconfig",
        f"--hostname-override={HOSTNAME}",
        f"--node-ip={BRIDGE_ADDRESS}",
        f"--root-dir={node.state}/kubelet",
    )
    node.start(
        "proxy",
        _program("kube-proxy"),
        f"--kubeconfig={pki}/proxy.kubeconfig",
        f"--hostname-override={HOSTNAME}",
        f"--cluster-cidr={POD_CIDR}",
        "--proxy-mode=iptables",
        "--conntrack-max-per-core=0",
    )


def _kubelet(node: Node) -> dict[str, Any]:
    pki = node.state / "pki"
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
        "cgroupRoot": f"/{node.cgroup}",
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
        "resolvConf": str(node.state / "resolv.conf"),
        "podLogsDir": str(node.state / "podlogs"),
        "maxPods": 200,
    }


def _program(name: str) -> Path:
    return servers.find("kubernetes").path.with_name(name)
