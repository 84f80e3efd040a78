"""What a month of traces costs in Jaeger: a list, a session, memory, disk, and what a kill loses.

Send 10,000 sessions of 29 days (100 spans each: a spawn, a kernel, 20 cells, six of them with Dask)
to a Jaeger with the local facility's configuration, as the Collector does (OTLP protobuf over
HTTP); then ask for the page's list of the newest 50 sessions and for one session's story through
`af_otel.backends`, as the page does, and compare the answers with what was sent. Times of answers
are CPU seconds of Jaeger and of this process together; the wall clock is printed beside them. Then
send more while Jaeger is killed (SIGKILL) again and again, and count what was accepted and is not
stored.

    python benchmarks/trace_store.py [--sessions 10000] [--kills 5] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from af_otel.backends import find
from af_otel.backends.jaeger import Jaeger
from servers import running_jaeger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from servers import Jaeger as Server

DAYS = 29
CELLS = 20
DASK_CELLS = {3: 6, 6: 6, 9: 6, 12: 6, 15: 5, 18: 5}  # by number: spans of Dask's in it
FAILED_CELLS = (4, 11)
SPANS = 100  # a session
ROUNDS = 7
SENDERS = 2
SECOND = 1_000_000_000
QUIET = 0.1  # s of CPU within 5 s
USERS = 300


class Session:
    """One session to send; its ids follow from its number."""

    def __init__(self, number: int, began: int) -> None:
        self.number = number
        self.began = began
        self.random = random.Random(number)
        self.id = f"{number:032x}"
        self.user = f"{number % USERS:016x}"

    def request(self) -> bytes:
        """Return all of its spans as one export request."""
        request = ExportTraceServiceRequest()
        self._scopes = {}
        for service in ("jupyterhub", "jupyter-server", "jupyter-kernel", "dask-scheduler"):
            resource = request.resource_spans.add()
            _put(
                resource.resource.attributes,
                {
                    "service.name": service,
                    "service.namespace": "benchmark",
                    "service.instance.id": f"{service}-{self.number}",
                    "service.version": "1.0",
                },
            )
            self._scopes[service] = resource.scope_spans.add()
        spawn_trace, spawn = self._ids()
        outcome = {"jupyterhub.spawn.outcome": "ok"}
        self._span("jupyterhub", "spawn server", spawn_trace, spawn, b"", 0, 9 * SECOND, outcome)
        for name in ("start server", "add route", "pull image"):
            service = "jupyter-server" if name == "start server" else "jupyterhub"
            self._span(service, name, spawn_trace, self._id(8), spawn, SECOND, SECOND)
        trace, root = self._ids()
        self._span(
            "jupyter-server",
            "start kernel",
            trace,
            root,
            b"",
            10 * SECOND,
            SECOND,
            link=spawn_trace,
        )
        self._span("jupyter-server", "launch kernel", trace, self._id(8), root, 10 * SECOND, SECOND)
        for cell in range(CELLS):
            self._cell(cell, spawn_trace)
        return request.SerializeToString()

    def _cell(self, number: int, spawn_trace: bytes) -> None:
        trace, root = self._ids()
        at = (20 + 30 * number) * SECOND
        status = {"jupyter.cell.status": "error" if number in FAILED_CELLS else "ok"}
        self._span(
            "jupyter-server",
            "execute cell",
            trace,
            root,
            b"",
            at,
            5 * SECOND,
            status,
            link=spawn_trace,
            failed=number in FAILED_CELLS,
        )
        self._span("jupyter-server", "queue", trace, self._id(8), root, at, SECOND // 100)
        run = self._id(8)
        self._span(
            "jupyter-kernel",
            "run cell",
            trace,
            run,
            root,
            at,
            5 * SECOND,
            {**status, "jupyter.cell.execution_count": number + 1},
            failed=number in FAILED_CELLS,
        )
        for part in range(DASK_CELLS.get(number, 0)):
            name = "compute graph" if part == 0 else f"run tasks prefix-{part}"
            self._span("dask-scheduler", name, trace, self._id(8), run, at, 4 * SECOND)

    def _span(
        self,
        service: str,
        name: str,
        trace: bytes,
        span_id: bytes,
        parent: bytes,
        at: int,
        lasts: int,
        attributes: dict[str, str | int] | None = None,
        *,
        link: bytes = b"",
        failed: bool = False,
    ) -> None:
        span = self._scopes[service].spans.add()
        span.trace_id, span.span_id, span.parent_span_id = trace, span_id, parent
        span.name = name
        span.kind = 1
        span.start_time_unix_nano = self.began + at
        span.end_time_unix_nano = self.began + at + lasts
        _put(
            span.attributes,
            {"session.id": self.id, "user.hash": self.user, **(attributes or {})},
        )
        if link:
            one = span.links.add()
            one.trace_id, one.span_id = link, link[:8]
        if failed:
            span.status.code = 2

    def _ids(self) -> tuple[bytes, bytes]:
        return self._id(16), self._id(8)

    def _id(self, size: int) -> bytes:
        return self.random.randbytes(size)


def _put(target, attributes: dict[str, str | int]) -> None:  # noqa: ANN001 - protobuf's own
    for key, value in attributes.items():
        item = target.add()
        item.key = key
        if isinstance(value, str):
            item.value.string_value = value
        else:
            item.value.int_value = value


def main() -> int:
    """Run it all and print the figures."""
    options = _options()
    with tempfile.TemporaryDirectory() as directory, running_jaeger(Path(directory)) as jaeger:
        figures = {**_fill(jaeger, options.sessions), **_ask(jaeger, options.sessions)}
        figures["disk_mb_per_million_spans"] = (
            _disk(Path(directory)) / 1e6 / (options.sessions * SPANS / 1e6)
        )
        figures |= _kill(jaeger, options.sessions, options.kills)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        _print(figures)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _sessions(count: int) -> Iterator[Session]:
    """Yield sessions in order of time; the last began an hour ago."""
    until = time.time_ns() - 3600 * SECOND
    for number in range(count):
        yield Session(number, until - (count - number) * (DAYS * 86400 * SECOND // count))


def _fill(jaeger: Server, count: int) -> dict[str, float]:
    print(f"making {count:,} sessions", file=sys.stderr)
    with ThreadPoolExecutor(SENDERS) as pool:
        process = psutil.Process(jaeger.process.pid)
        before, began, seconds = _cpu(process), time.monotonic(), 0.0
        peak = 0.0
        # In steps, so that what is made here is not on the clock.
        batch: list[bytes] = []
        for number, session in enumerate(_sessions(count), 1):
            batch.append(session.request())
            if len(batch) == 200 or number == count:
                started = time.monotonic()
                list(pool.map(lambda body: _send(jaeger.otlp_endpoint, body), batch))
                seconds += time.monotonic() - started
                peak = max(peak, _anonymous(process))
                batch = []
                if sys.stderr.isatty():
                    print(f"\r{number:,} sent", end="", file=sys.stderr)
        print(f" in {time.monotonic() - began:.0f} s", file=sys.stderr)
    spans = count * SPANS
    return {
        "spans": spans,
        "ingest_spans_per_second": spans / seconds,
        "ingest_cpu_s_per_million_spans": (_cpu(process) - before) / (spans / 1e6),
        "ingest_anonymous_mib": peak,
    }


def _ask(jaeger: Server, count: int) -> dict[str, float]:
    store = Jaeger(jaeger.url)
    process = psutil.Process(jaeger.process.pid)
    _settle(process)
    now = time.time()
    page = store.sessions(now - 30 * 86400, now)
    expected = [f"{number:032x}" for number in range(count - 1, count - 51, -1)]
    assert [one.id for one in page.sessions] == expected, "the list is not the newest 50"
    assert {(one.cells, one.failures) for one in page.sessions} == {(CELLS, len(FAILED_CELLS))}
    story = find.session_story(store, expected[-1])
    assert sum(1 for _ in story.nodes()) == SPANS
    second = store.sessions(now - 30 * 86400, now, before=page.next)
    assert second.sessions[0].id == f"{count - 51:032x}"
    figures: dict[str, float] = {}
    for name, ask in (
        # A new client has counted no session yet; a page that stays open has.
        ("list", lambda: Jaeger(jaeger.url).sessions(now - 30 * 86400, now)),
        ("list_last_day", lambda: Jaeger(jaeger.url).sessions(now - 86400, now)),
        ("list_again", lambda: store.sessions(now - 30 * 86400, now)),
        ("story", lambda: find.session_story(store, expected[-1])),
        ("old_story", lambda: find.session_story(store, f"{count // 100:032x}")),
    ):
        cpu, wall = _timed(ask, process)
        figures[f"{name}_cpu_s"], figures[f"{name}_wall_s"] = cpu, wall
    figures["anonymous_mib"] = _anonymous(process)
    figures["resident_mib"] = process.memory_info().rss / 2**20
    return figures


def _kill(jaeger: Server, count: int, kills: int) -> dict[str, float]:
    """Send sessions while Jaeger is killed, and look for each that it accepted."""
    accepted: list[Session] = []
    lock, stop = threading.Lock(), threading.Event()
    numbers = iter(range(count, count + 1_000_000))

    def send() -> None:
        while not stop.is_set():
            with lock:
                session = Session(next(numbers), time.time_ns() - 3000 * SECOND)
            body = session.request()
            with contextlib.suppress(OSError, http.client.HTTPException):
                _send(jaeger.otlp_endpoint, body)
                accepted.append(session)

    starts = []
    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [pool.submit(send) for _ in range(SENDERS)]
        for _ in range(kills):
            time.sleep(3)
            jaeger.kill()
            began = time.monotonic()
            jaeger.start(timeout=60)
            starts.append(time.monotonic() - began)
        stop.set()
        for sender in senders:
            sender.result()
    store = Jaeger(jaeger.url)
    stored = sum(
        len(find.session_spans(store, one.id, start=time.time() - 86400)[0]) for one in accepted
    )
    return {
        "kills": kills,
        "accepted_spans": len(accepted) * SPANS,
        "lost_spans": len(accepted) * SPANS - stored,
        "start_after_kill_s": statistics.median(starts) if starts else 0.0,
    }


_connections = threading.local()


def _send(endpoint: str, body: bytes) -> None:
    connection = getattr(_connections, "it", None)
    if connection is None:
        connection = _connections.it = http.client.HTTPConnection(urlsplit(endpoint).netloc)
    try:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise OSError(f"answered {answer.status}")  # noqa: TRY301 - closes what is broken
    except BaseException:
        connection.close()
        raise


def _timed(ask: Callable[[], object], process: psutil.Process) -> tuple[float, float]:
    cpu, wall = [], []
    for _ in range(ROUNDS):
        before, began = _cpu(process) + time.process_time(), time.perf_counter()
        ask()
        wall.append(time.perf_counter() - began)
        cpu.append(_cpu(process) + time.process_time() - before)
    return statistics.median(cpu), statistics.median(wall)


def _settle(process: psutil.Process) -> None:
    """Wait until Jaeger has compacted what it took in."""
    before = -1.0
    while _cpu(process) - before > QUIET:
        before = _cpu(process)
        time.sleep(5)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _anonymous(process: psutil.Process) -> float:
    """Return the memory that is the process' own, in MiB: not its files, which are mapped."""
    text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def _disk(directory: Path) -> int:
    """Return the bytes that files take; Badger's are larger on paper."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return sum(path.stat().st_blocks * 512 for path in files)


def _print(figures: dict[str, float]) -> None:
    rows: Sequence[tuple[str, str]] = (
        ("spans", "{spans:,.0f}"),
        ("ingest", "{ingest_spans_per_second:,.0f} spans/s"),
        ("ingest, CPU", "{ingest_cpu_s_per_million_spans:.1f} s per 1 M spans"),
        ("list of the newest 50 of 30 days", "{list_cpu_s:.3f} s CPU, {list_wall_s:.3f} s"),
        ("list of the last day", "{list_last_day_cpu_s:.3f} s CPU, {list_last_day_wall_s:.3f} s"),
        ("the same list, kept open", "{list_again_cpu_s:.3f} s CPU, {list_again_wall_s:.3f} s"),
        ("story of a new session", "{story_cpu_s:.3f} s CPU, {story_wall_s:.3f} s"),
        ("story of an old session", "{old_story_cpu_s:.3f} s CPU, {old_story_wall_s:.3f} s"),
        ("anonymous memory, settled and asked", "{anonymous_mib:.0f} MiB"),
        ("anonymous memory, peak of ingest at full speed", "{ingest_anonymous_mib:.0f} MiB"),
        ("resident memory", "{resident_mib:.0f} MiB"),
        ("disk", "{disk_mb_per_million_spans:.0f} MB per 1 M spans"),
        ("accepted while killed {kills} times", "{accepted_spans:,.0f} spans"),
        ("of these lost", "{lost_spans:,.0f}"),
        ("ready after a kill", "{start_after_kill_s:.1f} s"),
    )
    for title, text in rows:
        print(f"{title.format(**figures):46} {text.format(**figures)}")


if __name__ == "__main__":
    sys.exit(main())
