"""Real servers for tests: on ports of their own, in a directory of the test's, gone with it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from otlp import read_points, read_spans, resource_metrics, resource_spans

from af_otel.backends.connect import connect
from af_otel.collector.config import FLAGS
from af_otel.local.servers import (
    COLLECTOR_ENV,
    JAEGER_ENV,
    PROMETHEUS_FLAGS,
    find,
)

if TYPE_CHECKING:
    import socketserver
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otlp import Point, Span

    from af_otel.backends import store as backends

ROOT = Path(__file__).parents[1]
COLLECTOR_CONFIGS = (
    ROOT / "collector-config" / "base.yaml",
    ROOT / "tests" / "config" / "collector-file.yaml",
)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None)  # loaded here, as after a fork no lock may be waited for
START_ATTEMPTS = 3  # a free port may be taken by another process before the server binds it
T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, timeout: float = 30) -> T:
    """Return the first true value of `condition`; fail, naming `what`, when none comes in time."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            message = f"not within {timeout:g} s: {what}"
            raise AssertionError(message)
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def program(name: str, setting: str) -> str:
    """The path of a server's program: its setting as it is, else what the project finds."""
    if os.environ.get(setting):
        return os.environ[setting]
    return str(find(name).path)


def get_json(url: str, timeout: float = 10, **query: str) -> Any:
    if query:
        url += "?" + urllib.parse.urlencode(query)
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return json.load(answer)


def post_json(url: str, body: Any, timeout: float = 10) -> int:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return int(answer.status)


@contextlib.contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[str]:
    """Serve on a thread, at the address that is given; close the server at the end."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return 200 <= answer.status < 300
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def accepting() -> Iterator[tuple[str, list[Any]]]:
    """Accept all telemetry and drop it; yield the endpoint and the address of each request."""
    senders: list[Any] = []

    class Accepting(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            senders.append(self.client_address)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Accepting)) as endpoint:
        yield endpoint, senders


def _end_with_parent() -> None:
    """Have the kernel end a server whose test run was killed and could not."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Server:
    """A process that can be stopped, killed and started again on the same ports and directory."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    directory: Path
    ready_url: str
    grace: float = 15  # seconds between SIGTERM and SIGKILL
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    def start(self, timeout: float = 30) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.env},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to the test, which then stops its servers in order.
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, no lock
            )
        process = self.process
        try:
            wait_for(
                lambda: process.poll() is not None or answers(self.ready_url), self.name, timeout
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._last_words()}") from None
        if process.poll() is not None:
            raise ServerEnded(f"{self.name} ended with {process.returncode}\n{self._last_words()}")

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process; one that does not follow is killed."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(self.grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(self.grace)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)


class ServerEnded(AssertionError):
    """A server ended before it answered."""


@dataclass
class Collector(Server):
    endpoint: str = ""  # OTLP over HTTP, as in OTEL_EXPORTER_OTLP_ENDPOINT
    grpc_endpoint: str = ""
    metrics_url: str = ""  # what the Collector says of itself
    spans_file: Path = Path()
    metrics_file: Path = Path()

    @property
    def settings(self) -> dict[str, str]:
        """The variables of a process that sends here, and is busy for longer than it should be."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint, "AF_OTEL_FLUSH_TIMEOUT": "30000"}

    def spans(self, name: str | None = None) -> list[Span]:
        """All spans let out so far, in the order of their arrival; by `name` if given."""
        found = read_spans(self.spans_file)
        return found if name is None else [span for span in found if span["name"] == name]

    def points(self, name: str | None = None) -> list[Point]:
        """All metric points let out so far (OTel names), in the order of their arrival."""
        found = read_points(self.metrics_file)
        return found if name is None else [point for point in found if point["name"] == name]

    def wait_for_span(self, name: str, timeout: float = 30) -> Span:
        """The first span of this name."""
        return wait_for(lambda: self.spans(name), f"a span `{name}`", timeout)[0]

    def wait_for_spans(
        self, enough: Callable[[list[Span]], object], what: str = "spans", timeout: float = 30
    ) -> list[Span]:
        """All spans, as soon as `enough` says yes to them."""

        def condition() -> list[Span] | None:
            spans = self.spans()
            return spans if enough(spans) else None

        found = wait_for(condition, what, timeout)
        assert found is not None
        return found

    def send(self, *spans: dict[str, Any], resource: Mapping[str, Any] | None = None) -> None:
        """POST spans (OTLP JSON objects) of one resource."""
        body = {"resourceSpans": [resource_spans(spans, resource or {"service.name": "test"})]}
        post_json(f"{self.endpoint}/v1/traces", body)

    def send_metrics(self, *metrics: dict[str, Any], resource: Mapping[str, Any]) -> None:
        """POST metrics (OTLP JSON objects) of one resource."""
        body = {"resourceMetrics": [resource_metrics(metrics, resource)]}
        post_json(f"{self.endpoint}/v1/metrics", body)


@dataclass
class TraceStore(Server):
    """A real trace store; `client` asks it as the product does."""

    kind: str = ""
    url: str = ""
    otlp_endpoint: str = ""  # OTLP over HTTP

    @cached_property
    def client(self) -> backends.TraceStore:
        return connect(self.kind, self.url)

    def raw(self, trace_id: str) -> str:
        """The text with which the store answers for a trace; empty if it has none."""
        path = {"tempo": "/api/traces", "jaeger": "/api/v3/traces"}[self.kind]
        try:
            with urllib.request.urlopen(f"{self.url}{path}/{trace_id}", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return ""
            raise


@dataclass
class Prometheus(Server):
    url: str = ""

    @property
    def write_url(self) -> str:
        return f"{self.url}/api/v1/write"

    def query(self, promql: str) -> list[dict[str, Any]]:
        """The instant vector of `promql`, now."""
        found: list[dict[str, Any]] = get_json(f"{self.url}/api/v1/query", query=promql)["data"][
            "result"
        ]
        return found


@contextlib.contextmanager
def running_collector(
    directory: Path,
    configs: Sequence[Path] = COLLECTOR_CONFIGS,
    env: Mapping[str, str] | None = None,
) -> Iterator[Collector]:
    """A Collector with base.yaml and an overlay that writes all it lets out to files."""

    def make() -> Collector:
        http, grpc, health, own = (free_port() for _ in range(4))
        spans, metrics = directory / "spans.jsonl", directory / "metrics.jsonl"
        settings = {
            "AF_OTEL_OTLP_HTTP": f"127.0.0.1:{http}",
            "AF_OTEL_OTLP_GRPC": f"127.0.0.1:{grpc}",
            "AF_OTEL_HEALTH": f"127.0.0.1:{health}",
            "AF_OTEL_SELF_METRICS_PORT": str(own),
            "AF_OTEL_SPANS_FILE": str(spans),
            "AF_OTEL_QUEUE_DIR": str(directory / "queue"),
            "AF_OTEL_METRICS_FILE": str(metrics),
        }
        options = [option for config in configs for option in ("--config", str(config))]
        return Collector(
            name="collector",
            command=[program("collector", "AF_OTEL_COLLECTOR"), *options, FLAGS],
            env={**COLLECTOR_ENV, **settings, **(env or {})},
            directory=directory,
            ready_url=f"http://127.0.0.1:{health}/",
            endpoint=f"http://127.0.0.1:{http}",
            grpc_endpoint=f"127.0.0.1:{grpc}",
            metrics_url=f"http://127.0.0.1:{own}/metrics",
            spans_file=spans,
            metrics_file=metrics,
        )

    with _running(directory, make) as collector:
        yield collector


@contextlib.contextmanager
def running_jaeger(directory: Path) -> Iterator[TraceStore]:
    """A Jaeger with the local facility's own settings."""

    def make() -> TraceStore:
        http, otlp = (free_port() for _ in range(2))
        config = ROOT / "af_otel" / "local" / "config" / "jaeger.yaml"
        return TraceStore(
            kind="jaeger",
            name="jaeger",
            command=[program("jaeger", "AF_OTEL_JAEGER"), f"--config={config}"],
            env={
                **JAEGER_ENV,
                "AF_OTEL_JAEGER_HTTP": f"127.0.0.1:{http}",
                "AF_OTEL_JAEGER_OTLP_HTTP": f"127.0.0.1:{otlp}",
                "AF_OTEL_JAEGER_DATA": str(directory / "jaeger"),
            },
            directory=directory,
            ready_url=f"http://127.0.0.1:{http}/api/v3/services",
            url=f"http://127.0.0.1:{http}",
            otlp_endpoint=f"http://127.0.0.1:{otlp}",
        )

    with _running(directory, make) as jaeger:
        yield jaeger


@contextlib.contextmanager
def running_tempo(directory: Path) -> Iterator[TraceStore]:
    """A Tempo with the local facility's own settings, where `AF_OTEL_TEMPO` names one."""

    def make() -> TraceStore:
        http, grpc, otlp_http, otlp_grpc = (free_port() for _ in range(4))
        config = ROOT / "af_otel" / "local" / "config" / "tempo.yaml"
        return TraceStore(
            kind="tempo",
            name="tempo",
            command=[
                program("tempo", "AF_OTEL_TEMPO"),
                f"-config.file={config}",
                "-config.expand-env=true",
            ],
            env={
                "AF_OTEL_TEMPO_HTTP_PORT": str(http),
                "AF_OTEL_TEMPO_GRPC_PORT": str(grpc),
                "AF_OTEL_TEMPO_OTLP_HTTP": f"127.0.0.1:{otlp_http}",
                "AF_OTEL_TEMPO_OTLP_GRPC": f"127.0.0.1:{otlp_grpc}",
                "AF_OTEL_TEMPO_DATA": str(directory / "tempo"),
            },
            directory=directory,
            ready_url=f"http://127.0.0.1:{http}/ready",
            grace=2,  # see tempo.yaml: it may never end, but has its data safe long before
            url=f"http://127.0.0.1:{http}",
            otlp_endpoint=f"http://127.0.0.1:{otlp_http}",
        )

    with _running(directory, make) as tempo:
        yield tempo


@contextlib.contextmanager
def running_prometheus(directory: Path, *flags: str) -> Iterator[Prometheus]:
    """A Prometheus with the local facility's own settings, and nothing to scrape."""

    def make() -> Prometheus:
        port = free_port()
        config = directory / "prometheus.yaml"
        # Beside its configuration it looks for the targets to scrape: here are none.
        shutil.copyfile(ROOT / "af_otel" / "local" / "config" / "prometheus.yaml", config)
        return Prometheus(
            name="prometheus",
            command=[
                program("prometheus", "AF_OTEL_PROMETHEUS"),
                f"--config.file={config}",
                f"--storage.tsdb.path={directory / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{port}",
                *PROMETHEUS_FLAGS,
                *flags,
            ],
            env={},
            directory=directory,
            ready_url=f"http://127.0.0.1:{port}/-/ready",
            url=f"http://127.0.0.1:{port}",
        )

    with _running(directory, make) as prometheus:
        yield prometheus


S = TypeVar("S", bound=Server)


@contextlib.contextmanager
def _running(directory: Path, make: Callable[[], S]) -> Iterator[S]:
    directory.mkdir(parents=True, exist_ok=True)
    for attempt in range(START_ATTEMPTS):
        server = make()
        try:
            server.start()
        except ServerEnded as error:
            if "address already in use" not in str(error) or attempt == START_ATTEMPTS - 1:
                raise
        except BaseException:
            server.kill()
            raise
        else:
            break
    try:
        yield server
    finally:
        server.stop()
