"""What a request costs the hub, exported all in: plain, under af-otel, and under upstream.

A real hub serves `GET /hub/health` on one connection. Measured is the CPU time of its whole process
with all its threads, so exporting is in it: spans every second, metrics every minute. Upstream is
opentelemetry-instrumentation-tornado with the SDK and OTLP over HTTP with protobuf. Both send to a
server that takes everything. Rounds are interleaved, on hubs that have served some requests before.
Two hubs of a kind differ by a few per cent as long as they live, so there are several of each.

    python benchmarks/hub_request.py [--starts 8] [--rounds 10] [--requests 500] [--json]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from af_otel import payload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Hubs = Mapping[str, tuple[subprocess.Popen[bytes], http.client.HTTPConnection]]

CONFIG = """
import os
from jupyterhub.proxy import Proxy

class Nowhere(Proxy):
    should_start = False
    async def add_route(self, routespec, target, data):
        pass
    async def delete_route(self, routespec):
        pass
    async def get_all_routes(self):
        return {}

c.JupyterHub.proxy_class = Nowhere
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.hub_port = int(os.environ["HUB_PORT"])
c.JupyterHub.db_url = "sqlite:///:memory:"
c.JupyterHub.last_activity_interval = 3600
c.JupyterHub.log_level = "ERROR"
if os.environ.get("UPSTREAM"):
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.tornado import TornadoInstrumentor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=1000))
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    TornadoInstrumentor().instrument(tracer_provider=tracers, meter_provider=meters)
"""
WARM = 1000
STARTED = 60.0  # seconds


class Sink(BaseHTTPRequestHandler):
    """Takes what is exported."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read the request and answer that all is well."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def sink() -> Iterator[str]:
    """Run a server that takes everything and yield its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def hub(
    env: dict[str, str],
) -> Iterator[tuple[subprocess.Popen[bytes], http.client.HTTPConnection]]:
    """Run a hub and yield its process and a connection to it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Sink) as free:
        port = free.server_port
    connection = http.client.HTTPConnection("127.0.0.1", port)
    directory = tempfile.TemporaryDirectory()
    config = Path(directory.name) / "config.py"
    config.write_text(CONFIG)
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterhub", "-f", str(config)],
        env={**env, "HUB_PORT": str(port)},
        cwd=directory.name,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + STARTED
        while True:
            try:
                request(connection, 1)
                break
            except OSError:
                connection.close()
                if process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.2)
        yield process, connection
    finally:
        process.terminate()
        process.wait()
        directory.cleanup()


def request(connection: http.client.HTTPConnection, times: int) -> None:
    """Ask for the hub's health."""
    for _ in range(times):
        connection.request("GET", "/hub/health")
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise ConnectionError(answer.status)


def cpu_time(process: subprocess.Popen[bytes]) -> int:
    """Return the nanoseconds of CPU time that all threads of a process have taken so far."""
    # CPUCLOCK_SCHED of the process, as clock_getcpuclockid(3) makes it.
    return time.clock_gettime_ns((~process.pid << 3) | 2)


def measure(hubs: Hubs, rounds: int, requests: int) -> Iterator[tuple[str, float]]:
    """Yield the microseconds of CPU time that one request takes each hub, in each round."""
    for _, connection in hubs.values():
        request(connection, WARM)
    for _ in range(rounds):
        for name, (process, connection) in hubs.items():
            before = cpu_time(process)
            request(connection, requests)
            yield name, (cpu_time(process) - before) / requests / 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plain = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    taken: dict[str, list[float]] = {}
    with sink() as url:
        exporting = {
            "AF_OTEL_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
        }
        variants = {
            "plain": plain,
            "plain again": plain,
            "af-otel": plain | payload.environment(payload.cached(), plain) | exporting,
            "upstream": {**plain, **exporting, "UPSTREAM": "1"},
        }
        for _ in range(options.starts):
            with ExitStack() as running:
                hubs = {name: running.enter_context(hub(env)) for name, env in variants.items()}
                for name, spent in measure(hubs, options.rounds, options.requests):
                    taken.setdefault(name, []).append(spent)
    medians = {name: round(statistics.median(times), 1) for name, times in taken.items()}
    if options.json:
        print(json.dumps({"starts": options.starts, "rounds": options.rounds, "us": medians}))
        return
    rounds = options.starts * options.rounds
    print(f"µs of CPU per request of the hub, medians of {rounds} rounds\n")
    for name, median in medians.items():
        more = median - medians["plain"]
        print(f"{name:14}{median:8.1f}{more:+9.1f}{median / medians['plain']:8.2f} x plain")


if __name__ == "__main__":
    main()
