"""How each server is built from its pins, into an empty directory."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError
from af_otel.local import servers
from building import commands, space, toolchains

if TYPE_CHECKING:
    from pathlib import Path

    from building.progress import Progress

# What a build writes in GB, with a margin: programs, downloaded modules, compiled packages.
PROGRAMS_GB = 0.4
NPM_GB = {"configurable-http-proxy": 0.1, "chromium": 0.5, "traceql": 0.1}
MODULES_GB = {
    "collector": 3.0,
    "jaeger": 1.5,
    "prometheus": 1.5,
    "etcd": 0.5,
    "coredns": 2.0,
    "kubernetes": 1.5,
}
PACKAGE_GB = 0.001

OCB = "go.opentelemetry.io/collector/cmd/builder"


def build(kind: servers.Kind, into: Path, log: Path, progress: Progress) -> None:
    """Build one server, with the toolchain it needs."""
    if kind.name == "configurable-http-proxy":
        _build_proxy(kind, into, log, progress)
    elif kind.name == "chromium":
        _build_browser(kind, into, log, progress)
    elif kind.name == "nginx":
        _unpack_debian(kind, into, log, progress)
    elif kind.name == "traceql":
        _build_traceql(kind, into, log, progress)
    else:
        GoBuild(kind, into, log, progress, toolchains.go(progress)).run()


def _build_proxy(kind: servers.Kind, into: Path, log: Path, progress: Progress) -> None:
    node = _npm(kind, into, log, progress)
    _launcher(kind, into, node)


def _build_browser(kind: servers.Kind, into: Path, log: Path, progress: Progress) -> None:
    """Unpack a Chromium that needs nothing of the machine: libraries and a font come with it."""
    node = _npm(kind, into, log, progress)
    progress.phase("unpacking it")
    packed = into / "node_modules" / "@sparticuz" / "chromium" / "bin"
    commands.run(
        [str(node.program), str(servers.CHECKOUT / kind.pins[0] / "unpack.js"), str(packed)],
        cwd=into,
        env=dict(os.environ),
        log=log,
    )
    (packed / "chromium").replace(into / "headless")
    (into / "headless").chmod(0o755)
    for name in ("al2023", "fonts"):
        shutil.unpack_archive(packed / f"{name}.tar", into)
    shutil.copyfile(servers.CHECKOUT / kind.pins[0] / "fonts.conf", into / "fonts.conf")
    shutil.rmtree(into / "node_modules")
    _launcher(kind, into, node)


def _build_traceql(kind: servers.Kind, into: Path, log: Path, progress: Progress) -> None:
    """Install TraceQL's grammar and the script that parses queries by it."""
    node = _npm(kind, into, log, progress)
    shutil.copyfile(servers.CHECKOUT / kind.pins[0] / "parse.js", into / "parse.js")
    _launcher(kind, into, node)


def _unpack_debian(kind: servers.Kind, into: Path, log: Path, progress: Progress) -> None:
    """Take a program out of Debian's package, as installing it would start a service."""
    package = servers.recipe(kind)["package"]
    progress.phase(f"downloading Debian's package `{package}`")

    def run(*command: str) -> None:
        commands.run(command, cwd=into, env=dict(os.environ), log=log)

    try:
        run("apt-get", "download", package)
    except AfOtelError:
        if os.geteuid() != 0:
            raise
        run("apt-get", "update")
        run("apt-get", "download", package)
    (archive,) = into.glob("*.deb")
    run("dpkg-deb", "--extract", archive.name, "unpacked")
    (into / "unpacked" / "usr" / "sbin" / kind.programs[0]).replace(into / kind.programs[0])
    shutil.rmtree(into / "unpacked")
    archive.unlink()


def _npm(kind: servers.Kind, into: Path, log: Path, progress: Progress) -> toolchains.Node:
    """Install a package from its lock file, without running any package's scripts."""
    space.require({servers.cache(): NPM_GB[kind.name]}, f"to install `{kind.name}`")
    node = toolchains.node(progress)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(servers.CHECKOUT / kind.pins[0] / name, into / name)
    progress.phase("installing its packages")
    commands.run(
        [*node.npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=into,
        # Not every npm finds the Node that runs it.
        env={**os.environ, "PATH": f"{node.program.parent}:{os.environ.get('PATH', '')}"},
        log=log,
    )
    return node


def _launcher(kind: servers.Kind, into: Path, node: toolchains.Node) -> None:
    """Write what starts it; a pin as the rest, so that an older one is not taken for it."""
    script = (servers.CHECKOUT / kind.pins[0] / "launcher.sh").read_text(encoding="utf-8")
    program = into / kind.programs[0]
    program.write_text(script.replace("@NODE@", str(node.program)), encoding="utf-8")
    program.chmod(0o755)


@dataclass
class GoBuild:
    """The build of one Go server; its programs, tags and flags are in its recipe."""

    kind: servers.Kind
    into: Path
    log: Path
    progress: Progress
    go: toolchains.Go
    stale: int = field(default=0, init=False)

    def run(self) -> None:
        """Leave the programs, and nothing else, in `into`."""
        pins = servers.CHECKOUT / self.kind.pins[0]
        work = self.into / "work"
        work.mkdir()
        if self.kind.name == "collector":
            self._generate_collector(work)
        # A copy: nothing may be written into the checkout, which another build may be reading.
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(pins / name, work / name)
        self._fetch(work)
        self.progress.phase("compiling packages", of=self.stale)
        # `-v` names each package as it is compiled.
        for program, package in servers.recipe(self.kind)["programs"].items():
            output = str(self.into / program)
            self._go(work, "build", "-v", "-o", output, package, on_line=self._compiled)
        shutil.rmtree(work)

    def _generate_collector(self, work: Path) -> None:
        """Let ocb write the Collector's sources from our manifest; the modules stay our choice."""
        self.progress.phase("generating its sources from builder.yaml")
        ocb = self.into / "ocb"
        commands.run(
            [str(self.go.program), "build", "-o", str(ocb), OCB],
            cwd=servers.CHECKOUT / "tools" / "servers" / "ocb",
            env=self.go.env,
            log=self.log,
        )
        manifest = servers.CHECKOUT / "collector-config" / "builder.yaml"
        commands.run(
            [str(ocb), f"--config={manifest}", "--skip-compilation", "--skip-get-modules"],
            cwd=work,
            env=self.go.env,
            log=self.log,
        )
        ocb.unlink()
        for file in (work / "_build").iterdir():
            file.rename(work / file.name)

    def _fetch(self, work: Path) -> None:
        """Download what is missing, once there is room for it, and count what is to be compiled."""
        template = "{{if .Stale}}stale {{.ImportPath}}{{end}}"
        packages = servers.recipe(self.kind)["programs"].values()
        listing = ("list", "-deps", "-f", template, *packages)
        self.progress.phase("looking into Go's caches")
        try:
            self._go(work, *listing, on_line=self._count, env={"GOPROXY": "off"})
        except AfOtelError:
            self._require_room(MODULES_GB[self.kind.name])
            self.stale = 0
            self.progress.phase("downloading modules")
            self._go(work, *listing, on_line=self._count)
        self._require_room(0)

    def _require_room(self, modules: float) -> None:
        packages = self.stale or 2000  # not known before its modules are there
        space.require(
            {
                servers.cache(): PROGRAMS_GB,
                self.go.module_cache: modules,
                self.go.build_cache: packages * PACKAGE_GB,
            },
            f"to build `{self.kind.name}`",
        )

    def _count(self, line: str) -> None:
        if line.startswith("go: downloading"):
            self.progress.advance()
        elif line.startswith("stale "):
            self.stale += 1

    def _compiled(self, _line: str) -> None:
        self.progress.advance()

    def _go(
        self,
        work: Path,
        command: str,
        *arguments: str,
        on_line: commands.OnLine,
        env: dict[str, str] | None = None,
    ) -> None:
        recipe = servers.recipe(self.kind)
        options = ["-tags", recipe["tags"], "-ldflags", recipe["ldflags"]]
        commands.run(
            [str(self.go.program), command, *options, *arguments],
            cwd=work,
            env={**self.go.env, **(env or {})},
            log=self.log,
            on_line=on_line,
        )
