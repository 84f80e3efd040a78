"""What a running facility says of itself: its services, addresses and state, in one JSON file."""

from __future__ import annotations

import dataclasses
import json
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from af_otel.backends.certificates import Certificates
from af_otel.backends.http import Access
from af_otel.local.state import write_private

# Asks a supervisor to start again what has died.
START_AGAIN = signal.SIGUSR1

# `unresponsive`: it was ready, its process runs, and it does not answer now.
Condition = Literal["waiting", "starting", "ready", "unresponsive", "dead", "stopping", "stopped"]
Phase = Literal["starting", "ready", "failed", "stopping", "stopped"]


@dataclass
class ServiceStatus:
    """One service: where it is, how it does."""

    url: str
    port: int
    log: str
    state: Condition = "waiting"
    pid: int | None = None
    needs: list[str] = field(default_factory=list)
    started: float | None = None
    seconds_to_ready: float | None = None
    ended: str = ""  # how: "exit code 1", "killed by SIGKILL"; empty while it runs

    @property
    def elapsed(self) -> float | None:
        """Seconds from start to ready, so far when it is not."""
        if self.seconds_to_ready is not None or self.started is None:
            return self.seconds_to_ready
        return max(0.0, time.time() - self.started)


@dataclass
class Facility:
    """A facility as its supervisor sees it; times are seconds since the epoch."""

    name: str
    state: str
    pid: int
    started: float
    phase: Phase = "starting"
    ready: bool = False  # all services are, now
    seconds_to_ready: float | None = None
    services: dict[str, ServiceStatus] = field(default_factory=dict)
    hub: dict[str, str] = field(default_factory=dict)
    login: dict[str, str] = field(default_factory=dict)  # for the page and Dask's dashboards
    keys: str = ""  # the directory of `Certificates` that the stores and the Collector want
    urls: dict[str, str] = field(default_factory=dict)
    trace_store: str = ""  # the kind of store at `urls["traces"]`, as `backends.connect` takes it
    spans_file: str = ""
    payload: str = ""
    notes: list[str] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)  # what, where, hint

    @property
    def dead(self) -> list[str]:
        """The services that ended by themselves."""
        return [name for name, service in self.services.items() if service.state == "dead"]

    @property
    def unresponsive(self) -> list[str]:
        """The services that run and do not answer."""
        return [name for name, service in self.services.items() if service.state == "unresponsive"]

    def access(self) -> Access:
        """Return what its stores and its Collector require of their clients."""
        return Access(tls=Certificates(Path(self.keys)).client())

    def as_json(self) -> dict[str, Any]:
        """All of it, as plain data."""
        return dataclasses.asdict(self)

    def write(self, path: Path) -> None:
        """Replace the file in one step: readers see this facility or the one before, whole."""
        write_private(path, json.dumps(self.as_json(), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Facility | None:
        """The facility that wrote the file; None when there is no such file."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            services = {
                name: ServiceStatus(**service) for name, service in content.pop("services").items()
            }
            return cls(**content, services=services)
        except (OSError, ValueError, KeyError, TypeError):
            return None
