"""All images that a cluster has from its start; unpacked once on a machine, for every cluster."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from af_otel.local import servers
from cluster import images, recipes
from cluster.recipes import exclusive, unfinished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cluster.images import Layer
    from cluster.node import Node

HUB = "localhost/af-otel-test/hub:1"
USER = "localhost/af-otel-test/user:1"
PROXY = "localhost/af-otel-test/proxy:1"
NETWORK_TOOLS = "localhost/af-otel-test/network-tools:1"
LAYERED: dict[str, Callable[[], tuple[list[Layer], dict[str, Any]]]] = {
    NETWORK_TOOLS: lambda: ([recipes.base()], {}),
    PROXY: lambda: ([recipes.base(), recipes.proxy()], {}),
    HUB: lambda: recipes.image("hub"),
    USER: lambda: recipes.image("user"),
}


def load(node: Node) -> None:
    """Have the node know every image; those it knows already are left as they are."""
    there = images.known(node)
    for name, (server, path) in images.SERVERS.items():
        if images.full_name(name) not in there:
            images.load_program(node, name, servers.find(server).path, path)
    for name, recipe in LAYERED.items():
        if name not in there:
            layers, settings = recipe()
            images.load(node, name, layers, **settings)


def provide(node: Node, start: Callable[[], None]) -> None:
    """Start containerd with every image in it: as it was kept, else loaded, and kept."""
    kept = _kept()
    with exclusive(kept.parent / ".unpacked.lock", recipes.say):
        if kept.is_dir():
            _link(kept, node.state / "containerd")
            start()
            return
        start()
        load(node)
        node.stop("containerd")
        with unfinished(kept) as directory:
            _link(node.state / "containerd", directory / "root")
        for other in kept.parent.glob("unpacked-*"):
            if other != kept:
                shutil.rmtree(other)
    start()


def _kept() -> Path:
    digest = hashlib.sha256()
    version = subprocess.run(["containerd", "--version"], check=True, capture_output=True).stdout
    digest.update(version)
    for name, recipe in LAYERED.items():
        layers, settings = recipe()
        digest.update(repr((name, [one.digest for one in layers], settings)).encode())
    for name, (server, path) in images.SERVERS.items():
        digest.update(repr((name, str(servers.find(server).path), path)).encode())
    name = f"unpacked-{digest.hexdigest()[: servers.HASH_LENGTH]}"
    return servers.cache().parent / "images" / name


def _link(source: Path, target: Path) -> None:
    """Share what containerd only ever reads or removes; its databases are copied."""
    inner = source / "root" if (source / "root").is_dir() else source
    subprocess.run(["cp", "--archive", "--link", inner, target], check=True)
    for database in inner.rglob("io.containerd.*/**/*.db"):
        copied = target / database.relative_to(inner)
        copied.unlink()
        shutil.copy(database, copied)
