"""The real servers of a facility on one machine: which versions fit, and where each one is."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from af_otel.errors import AfOtelError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT: Final = Path(__file__).parents[2]
HASH_LENGTH = 12
MADE_BY = {"up": "servers", "cluster": "cluster", "tests": "browser"}  # targets of the Makefile
VERSION_TIMEOUT = 20  # seconds; Node on a cold disk takes a few

# Besides where its files are and on which port it listens; tests start it in the same way.
PROMETHEUS_FLAGS: Final = (
    "--web.enable-remote-write-receiver",
    "--enable-feature=exemplar-storage",
    "--storage.tsdb.retention.time=7d",
    "--storage.tsdb.retention.size=2GB",
    "--log.level=warn",
)
# Of a request of version 2 Prometheus stores the valid part; of version 1, all or nothing.
COLLECTOR_ENV: Final = {
    "AF_OTEL_REMOTE_WRITE": "io.prometheus.write.v2.Request",
    # Half the default's garbage collection, and all that is needed below the 384 MiB from which on
    # the Collector refuses telemetry.
    "GOGC": "200",
    "GOMEMLIMIT": "360MiB",
}
# Without a limit, Go lets the memory of Badger's caches grow to several times of this.
JAEGER_ENV: Final = {"GOMEMLIMIT": "200MiB"}


@dataclass(frozen=True)
class Kind:
    """A server that we know how to find; with `pins`, also how to build.

    Parameters
    ----------
    programs
        What it may be called on PATH; the first name is that of our own build.
    fits
        The versions that our configuration files work with.
    answer
        What `--version` prints; the version may be empty, as in a build of one's own.
    pins
        Files below the checkout that decide what is built.
    used_by
        `up`; or `cluster`, if it is a part of the Kubernetes of one node that `make cluster`
        starts; or `tests` alone.
    asked
        The option that prints the version.
    """

    name: str
    setting: str
    programs: tuple[str, ...]
    fits: str
    answer: str
    pins: tuple[str, ...] = ()
    used_by: Literal["up", "cluster", "tests"] = "up"
    asked: str = "--version"


@dataclass(frozen=True)
class Server:
    """A server's program, and how it was found: `setting`, `PATH` or `cache`."""

    name: str
    path: Path
    version: str
    source: str


class ServerNotFound(AfOtelError):
    """A server is nowhere on this machine."""


class ServerUnfit(AfOtelError):
    """A setting names a server that cannot be used."""


KNOWN: Final = {
    kind.name: kind
    for kind in (
        Kind(
            "collector",
            "AF_OTEL_COLLECTOR",
            ("af-otelcol", "otelcol-contrib"),
            # 0.159 has `delta_to_cumulative` under this name.
            ">=0.159,<1",
            r"otelcol\S* version v?(\S*)",
            ("tools/servers/collector", "tools/servers/ocb", "collector-config/builder.yaml"),
        ),
        Kind(
            "prometheus",
            "AF_OTEL_PROMETHEUS",
            ("prometheus",),
            ">=3.0,<4",
            r"prometheus, version (\d\S*)?",
            ("tools/servers/prometheus",),
        ),
        Kind(
            "tempo",
            "AF_OTEL_TEMPO",
            ("tempo",),
            # Tempo 3 has no ingester: our settings for it would be refused.
            ">=2.8.dev0,<3",
            r"tempo, version (\d\S*)?",
        ),
        Kind(
            "jaeger",
            "AF_OTEL_JAEGER",
            ("jaeger",),
            # 2.10 is the first whose query API answers OTLP JSON on `/api/v3/traces`.
            ">=2.10,<3",
            r"jaeger version v?(\d\S*)?",
            ("tools/servers/jaeger",),
        ),
        Kind(
            "configurable-http-proxy",
            "AF_OTEL_PROXY",
            ("configurable-http-proxy",),
            ">=4.6,<6",
            r"^(\d\S*)",
            ("tools/proxy",),
        ),
        Kind(
            "grafana",
            "AF_OTEL_GRAFANA",
            ("grafana", "grafana-server"),
            ">=11",
            r"(?i)version (\d\S*)",
        ),
        Kind(
            "etcd",
            "AF_OTEL_ETCD",
            ("etcd",),
            ">=3.5.13,<4",
            r"etcd Version: (\d\S*)",
            ("tools/servers/etcd",),
            used_by="cluster",
        ),
        Kind(
            "coredns",
            "AF_OTEL_COREDNS",
            ("coredns",),
            ">=1.11,<2",
            r"CoreDNS-(\d\S*)",
            ("tools/servers/coredns",),
            used_by="cluster",
        ),
        Kind(
            "kubernetes",
            "AF_OTEL_KUBERNETES",
            # The others of the control plane and the node's are beside it.
            ("kube-apiserver",),
            # Older ones have no MutatingAdmissionPolicy.
            ">=1.36,<2",
            r"Kubernetes v(\d\S*)",
            ("tools/servers/kubernetes",),
            used_by="cluster",
        ),
        Kind(
            "chromium",
            "AF_OTEL_CHROMIUM",
            ("chromium", "chromium-browser", "google-chrome"),
            ">=120",
            r"(?:Chromium|Google Chrome) (\d\S*)",
            ("tools/browser",),
            used_by="tests",
        ),
        Kind(
            "nginx",
            "AF_OTEL_NGINX",
            ("nginx",),
            # `-e` is of 1.19.5.
            ">=1.20,<2",
            r"nginx version: nginx/(\d\S*)",
            ("tools/servers/nginx",),
            used_by="tests",
            asked="-v",
        ),
        Kind(
            "traceql",
            "AF_OTEL_TRACEQL",
            ("af-otel-traceql",),
            ">=1.0,<2",
            r"lezer-traceql (\d\S*)",
            ("tools/traceql",),
            used_by="tests",
        ),
    )
}


def known(name: str) -> Kind:
    """The server of this name; an error lists the names there are."""
    if name not in KNOWN:
        raise ServerNotFound(
            f"Server `{name}` is unknown",
            hint="known are " + ", ".join(f"`{name}`" for name in KNOWN),
        )
    return KNOWN[name]


def cache() -> Path:
    """Where built servers are kept, for all checkouts of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "af-otel" / "servers"


def find(name: str) -> Server:
    """The server to use: what its setting names, else what fits on PATH, else what was built."""
    kind = known(name)
    if os.environ.get(kind.setting):
        return _named(kind, os.environ[kind.setting])
    for path, version in _on_path(kind):
        if version is not None and _fits(kind, version):
            return Server(name, path, version, "PATH")
    built = _built(kind)
    if built is not None:
        return built
    where = "; ".join(unfit_on_path(kind)) or "not on `PATH`"
    raise ServerNotFound(
        f"Server `{name}` ({kind.fits}) was not found",
        where=where + (f", not in `{cache()}`" if kind.pins else ""),
        hint=(f"run `make {MADE_BY[kind.used_by]}`, or " if kind.pins else "")
        + f"set `{kind.setting}` to its path",
    )


def unfit_on_path(kind: Kind) -> list[str]:
    """What is on PATH under a name of this server's, and why each is not used."""
    return [
        f"`{path}` is {version or f'no {kind.name}'}"
        for path, version in _on_path(kind)
        if not _fits(kind, version)
    ]


def target(kind: Kind) -> Path:
    """Where this checkout's pins say that the server is built to."""
    digest = hashlib.sha256()
    for file in sorted(_pinned_files(kind)):
        digest.update(file.relative_to(CHECKOUT).as_posix().encode() + b"\0")
        digest.update(file.read_bytes() + b"\0")
    name = f"{recipe(kind)['version']}-{digest.hexdigest()[:HASH_LENGTH]}"
    return cache() / kind.name / name


def recipe(kind: Kind) -> dict[str, Any]:
    """How a server is built: `recipe.json` in the first of its pinned directories."""
    text = (CHECKOUT / kind.pins[0] / "recipe.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def can_build(kind: Kind) -> bool:
    """Whether this is a checkout, which has the pins; an installed package has not."""
    return bool(kind.pins) and (CHECKOUT / kind.pins[0]).is_dir()


def _named(kind: Kind, value: str) -> Server:
    found = shutil.which(value)
    if found is None:
        raise ServerUnfit(
            f"`{kind.setting}` names no program: `{value}`",
            where=f"the environment variable `{kind.setting}`",
            hint=f"unset it, or set it to {kind.name} {kind.fits}",
        )
    version = _version(kind, found)
    if version is None or not _fits(kind, version):
        raise ServerUnfit(
            f"`{kind.setting}` names "
            + (f"{kind.name} {version}" if version else f"what is no {kind.name}")
            + f"; needed is {kind.fits}",
            where=f"`{found}`",
            hint=f"unset `{kind.setting}` and run `make {MADE_BY[kind.used_by]}`, or name another",
        )
    return Server(kind.name, Path(found).absolute(), version, "setting")


def _version(kind: Kind, program: str) -> str | None:
    """What the program says; empty for a build without a version, None if it is something else."""
    try:
        result = subprocess.run(
            [program, kind.asked],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(kind.answer, result.stdout + result.stderr, re.MULTILINE)
    return (match.group(1) or "") if match else None


def _on_path(kind: Kind) -> Iterator[tuple[Path, str | None]]:
    for program in kind.programs:
        found = shutil.which(program)
        if found is not None:
            yield Path(found), _version(kind, found)


def _fits(kind: Kind, version: str | None) -> bool:
    if not version:
        # Empty for a build of one's own, which whoever made it answers for.
        return version is not None
    try:
        return SpecifierSet(kind.fits).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _built(kind: Kind) -> Server | None:
    if not kind.pins:
        return None
    directory = target(kind) if can_build(kind) else _newest(kind)
    if directory is None:
        return None
    program = directory / kind.programs[0]
    if not program.exists():
        return None
    return Server(kind.name, program, directory.name.rpartition("-")[0], "cache")


def _newest(kind: Kind) -> Path | None:
    directory = cache() / kind.name
    candidates = [
        (Version(version), path)
        for path in (directory.iterdir() if directory.is_dir() else ())
        for version in [path.name.rpartition("-")[0]]
        if version and not path.name.startswith(".") and _fits(kind, version)
    ]
    return max(candidates)[1] if candidates else None


def _pinned_files(kind: Kind) -> Iterator[Path]:
    for pin in kind.pins:
        path = CHECKOUT / pin
        if path.is_file():
            yield path
        yield from (file for file in path.rglob("*") if file.is_file())
