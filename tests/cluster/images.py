"""Container images out of directory trees: no registry, no container engine, no Dockerfile."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from af_otel.local import servers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cluster.node import Node

PAUSE = "localhost/af-otel-test/pause:1"
COREDNS = "localhost/af-otel-test/coredns:1"
# The names that manifests ask a registry for; entry points are those of the images there.
SERVERS = {
    "otel/opentelemetry-collector-contrib:0.159.0": ("collector", "/otelcol-contrib"),
    "jaegertracing/jaeger:2.13.0": ("jaeger", "/cmd/jaeger/jaeger-linux"),
    "prom/prometheus:v3.16.0": ("prometheus", "/bin/prometheus"),
    "nginxinc/nginx-unprivileged:1.28.0-alpine": ("nginx", "/usr/sbin/nginx"),
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Layer:
    """A tar archive and its digest."""

    path: Path
    digest: str


def layer(tree: Path, directory: Path) -> Layer:
    """Pack a tree into `directory`; everything in it belongs to root, but what names its owner."""
    with tempfile.NamedTemporaryFile(dir=directory, suffix=".tar", delete=False) as file:
        subprocess.run(["tar", "-C", tree, "--numeric-owner", "-c", "."], stdout=file, check=True)
    return Layer(Path(file.name), digest_of(Path(file.name)))


def digest_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        for block in iter(lambda: content.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def load(
    node: Node,
    name: str,
    layers: Sequence[Layer],
    *,
    entrypoint: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    user: str = "",
    directory: str = "/",
) -> None:
    """Have the node know an image of this name, as if it had pulled it."""
    config = json.dumps(
        {
            "architecture": ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": {
                "Entrypoint": list(entrypoint) or None,
                "Env": [f"{key}={value}" for key, value in {"PATH": PATH, **(env or {})}.items()],
                "User": user,
                "WorkingDir": directory,
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one.digest}" for one in layers]},
            "history": [{"created_by": "af-otel tests"} for _ in layers],
        }
    ).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest: list[dict[str, Any]] = [
        {
            "Config": config_name,
            "RepoTags": [name],
            "Layers": [f"{one.digest}.tar" for one in layers],
        }
    ]
    archive = node.state / f"image-{config_name[:12]}.tar"
    try:
        with tarfile.open(archive, "w") as tar:
            for member, data in (
                (config_name, config),
                ("manifest.json", json.dumps(manifest).encode()),
            ):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            for one in layers:
                tar.add(one.path, f"{one.digest}.tar")
        node.run("ctr", "-n", "k8s.io", "images", "import", archive, timeout=300)
    finally:
        archive.unlink(missing_ok=True)


def load_program(
    node: Node, name: str, program: Path, path: str, arguments: Sequence[str] = ()
) -> None:
    """Load a program, with the libraries of this machine that it needs, as an image."""
    with tempfile.TemporaryDirectory(dir=node.state) as directory:
        tree = Path(directory)
        tree.chmod(0o755)
        for file, target in {**_libraries(program), program: path}.items():
            copy = tree / target.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        (tree / "tmp").mkdir()
        (tree / "tmp").chmod(0o1777)
        packed = layer(tree, node.state)
    try:
        load(node, name, [packed], entrypoint=[path, *arguments])
    finally:
        packed.path.unlink()


def _libraries(program: Path) -> dict[Path, str]:
    """Return the shared libraries that a program is linked with; none for a static one."""
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return {Path(word): word for word in linked.split() if word.startswith("/")}


def load_pause(node: Node) -> None:
    """Load what holds a pod's namespaces."""
    sleep = shutil.which("sleep") or "/bin/sleep"
    load_program(node, PAUSE, Path(sleep), sleep, ["infinity"])


def load_coredns(node: Node) -> None:
    load_program(node, COREDNS, servers.find("coredns").path, "/coredns")


def known(node: Node) -> set[str]:
    """The full names of all images that the node knows."""
    return set(node.run("ctr", "-n", "k8s.io", "images", "ls", "-q").split())


def full_name(name: str) -> str:
    """With the registry that is meant where none is named."""
    first = name.partition("/")[0]
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"
