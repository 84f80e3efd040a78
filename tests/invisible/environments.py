"""Run a program plain and injected, and compare the environment that it finds."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from servers import serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Environment = Mapping[str, str]

AF_OTEL = Path(sys.executable).with_name("af-otel")
# What injection may add to or change in a process' environment. The carriers hold the context that
# the process was started in; servers and kernels remove the span and keep the baggage.
OURS = "AF_OTEL_"
INJECTED = {"PYTHONPATH"}
CARRIERS = {"TRACEPARENT", "TRACESTATE", "BAGGAGE"}

# Nothing of a test run itself, so that a comparison is about the injection alone.
PLAIN = {
    name: value
    for name, value in os.environ.items()
    if name in {"PATH", "HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME"}
}

# `record` makes telemetry with the SDK and the exporter of the payload, and waits for both.
# Without injection it does nothing.
RECORD = """
import os, sys, time
def record():
    if "_af_otel_boot" not in sys.modules:
        return
    from af_otel import metrics
    metrics.counter("recorded").add(1)
    from _af_otel.runtime import _lazy, activate
    tracer = _lazy.LazyTracerProvider(activate._loader).get_tracer("ours")
    while not tracer.start_span("waiting").is_recording():
        time.sleep(0.01)
    tracer.start_span("recorded").end()
"""
SHOW = "import json, os; print(json.dumps(dict(os.environ)))\n"


def run(command: Sequence[str | Path], env: Environment, *, cwd: Path | None = None) -> str:
    """Return what a command prints on stdout."""
    done = subprocess.run(
        [*map(str, command)],
        env=dict(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(command: Sequence[str | Path], env: Environment) -> dict[str, str]:
    """Return the environment that a command ending in `SHOW` finds."""
    seen: dict[str, str] = json.loads(run(command, env).splitlines()[-1])
    return seen


def changed(plain: Environment, injected: Environment) -> set[str]:
    """Return the variables that are not the same in both."""
    return {name for name in plain.keys() | injected if plain.get(name) != injected.get(name)}


def foreign(names: Iterable[str]) -> set[str]:
    """Return those that injection has no business with."""
    return {name for name in names if not name.startswith(OURS) and name not in INJECTED | CARRIERS}


@dataclass(frozen=True)
class Request:
    """What a receiver was sent."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@contextlib.contextmanager
def receiving() -> Iterator[tuple[str, list[Request]]]:
    """Accept all telemetry; yield the endpoint and the requests that arrive there."""
    requests: list[Request] = []

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            requests.append(Request(self.path, headers, body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    # A client may keep its connection open.
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = True
    with serving(server) as endpoint:
        yield endpoint, requests
