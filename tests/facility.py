"""A whole facility for tests, as a person has it: by `af-otel up`, with what it says of itself."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil

from af_otel.backends.certificates import Certificates
from af_otel.backends.connect import connect
from af_otel.backends.find import session_spans
from af_otel.backends.http import Access
from af_otel.backends.prometheus import Prometheus
from af_otel.backends.store import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from af_otel.backends.spans import Span
    from af_otel.backends.store import TraceStore

ROOT = Path(__file__).parents[1]
AF_OTEL = str(Path(sys.executable).with_name("af-otel"))
UP_WITHIN = 180.0  # A machine that builds or tests other things meanwhile is slow.


@dataclass
class LocalFacility:
    """A running facility; `info` is what `up --json` printed."""

    state: Path
    info: dict[str, Any]

    @property
    def hub(self) -> dict[str, str]:
        return self.info["hub"]

    @property
    def urls(self) -> dict[str, str]:
        return self.info["urls"]

    @cached_property
    def access(self) -> Access:
        """What its stores and its Collector want of the owner's programs."""
        return Access(tls=Certificates(Path(self.info["keys"])).client())

    @cached_property
    def http(self) -> httpx.Client:
        """Asks them."""
        return httpx.Client(verify=self.access.tls or True, timeout=60)

    @property
    def login(self) -> tuple[str, str]:
        """User and password of the page and of Dask's dashboard."""
        return self.info["login"]["user"], self.info["login"]["password"]

    @property
    def sender(self) -> dict[str, str]:
        """The variables of a process that sends to its Collector."""
        keys = Certificates(Path(self.info["keys"]))
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.urls["collector_otlp"],
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(keys.authority),
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(keys.certificate),
            "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(keys.key),
        }

    @property
    def store(self) -> TraceStore:
        """The trace store, as `af-otel trace` asks it."""
        return connect(self.info["trace_store"], self.urls["traces"], self.access)

    @property
    def prometheus(self) -> Prometheus:
        """Prometheus, as `af-otel verify` asks it."""
        return Prometheus(self.urls["prometheus"], self.access)

    def session(self, session_id: str) -> list[Span]:
        """The spans of a session's traces, as far as they are stored."""
        return session_spans(self.store, session_id, start=time.time() - DAY)[0]

    @property
    def spans_file(self) -> Path:
        return Path(self.info["spans_file"])

    def now(self) -> dict[str, Any]:
        """What it says of itself at this moment."""
        content: dict[str, Any] = json.loads((self.state / "facility.json").read_text())
        return content

    def pid(self, service: str) -> int:
        return int(self.now()["services"][service]["pid"])

    def log(self, service: str) -> str:
        return (self.state / "logs" / f"{service}.log").read_text(errors="replace")

    def command(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `af-otel` with this facility's `--state`."""
        return af_otel(*arguments, "--state", str(self.state), timeout=timeout)


def af_otel(
    *arguments: str, timeout: float = 60, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [AF_OTEL, *arguments],
        env=clean_env(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without what another facility's processes have, and with `extra`."""
    foreign = ("JUPYTERHUB_", "JPY_", "DASK_", "OTEL_", "TRACEPARENT", "BAGGAGE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {**kept, **(extra or {})}


def up(
    state: Path, *options: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `af-otel up --detach --json` to its end."""
    arguments = ("up", "--detach", "--json", "--state", str(state), *options)
    return af_otel(*arguments, timeout=UP_WITHIN, env=env)


def processes(state: Path) -> list[str]:
    """The command lines of all processes that belong to the facility in `state`."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("AF_OTEL_STATE") == str(state):
                found.append(" ".join(process.cmdline()))
    return found


@contextlib.contextmanager
def running_facility(
    state: Path, *options: str, env: Mapping[str, str] | None = None
) -> Iterator[LocalFacility]:
    """A facility in `state`, gone with its directory when the block ends."""
    started = up(state, *options, env=env)
    try:
        assert started.returncode == 0, started.stderr
        yield LocalFacility(state, json.loads(started.stdout))
    finally:
        down = af_otel("down", "--state", str(state))
        left = processes(state)
        shutil.rmtree(state, ignore_errors=True)
        assert down.returncode == 0, down.stderr
        assert not left, left
