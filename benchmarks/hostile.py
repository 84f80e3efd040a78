"""What a hostile sender does to others: victims' items, delays, the Collector's memory and queues.

Victims send a trace of three spans and a point each second, and try again for 10 s when they are
refused, as SDKs do. Meanwhile one sender makes the same wrong request each second. For every case
and overlay it prints how much of the victims' telemetry is stored in the end, in real Jaeger and
Prometheus, how long the slowest took, the most memory that the Collector had, what is left in its
queues ten seconds later, and what was refused, by reason. The Collector of kubernetes.yaml decides
on traces after 2 s and keeps all.

    python benchmarks/hostile.py [--seconds 60] [--every 1] [--overlay local] [--all]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from attacks import ATTACKS, gauge, metric_groups, point, post, trace_groups
from gateways import ALL, running_gateway, self_metrics
from otlp import new_span, resource_metrics, resource_spans

from af_otel.backends import refused
from af_otel.backends.prometheus import Prometheus
from af_otel.errors import AfOtelError
from servers import ROOT, running_collector, running_jaeger, running_prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attacks import Request

    from servers import Collector, TraceStore
    from servers import Prometheus as Server

LOCAL = (ROOT / "collector-config" / "base.yaml", ROOT / "collector-config" / "local.yaml")
CASES = (
    "point a year ahead",
    "point of 1970",
    "native histogram whose count is wrong",
    "histogram of deltas",
    "label of 1 MB",
    "span without a trace id",
    "span's name of 17 MB",
    "attribute of 8 MB",
    "status of a cell that is a list",
    "100,000 spans of one trace",
    "two points of a series at one time",
    "8,000 traces",
    "1,000,000 empty spans",
    "lists 50,000 deep",
)
TRY_FOR = 10.0  # seconds, as an SDK does
SETTLE = 10.0  # seconds after the last request


@dataclass
class Facility:
    """A Collector between senders and stores."""

    collector: Collector
    jaeger: TraceStore
    prometheus: Server

    def refused(self) -> Counter[str]:
        """Return what was refused so far, by kind and reason."""
        total: Counter[str] = Counter()
        with contextlib.suppress(AfOtelError):
            for item in refused.read(Prometheus(self.prometheus.url)):
                total[f"{item.kind} {item.reason}"] += item.count
        return total

    def waiting(self) -> float:
        """Return what is queued for the stores; the journal keeps each span for a while."""
        with contextlib.suppress(OSError):
            return sum(
                value
                for name, value in self_metrics(self.collector).items()
                if name.startswith("otelcol_exporter_queue_size")
                and "journal" not in name
                and "pause" not in name
            )
        return -1


@dataclass
class Victim:
    """A process that sends ordinary telemetry; `traces` and `points` are when each was sent."""

    name: str
    url: str
    stopped: threading.Event
    traces: dict[str, float] = field(default_factory=dict)
    points: dict[int, float] = field(default_factory=dict)
    lost: int = 0

    def run(self) -> None:
        """Send each second until it is told to stop."""
        resource = {"service.name": "victim", "service.instance.id": self.name}
        number = 0
        while not self.stopped.is_set():
            began = time.time()
            number += 1
            root = new_span("cell")
            ids = {"trace_id": root["traceId"], "parent_id": root["spanId"]}
            spans = [root, new_span("part", **ids), new_span("part", **ids)]
            if self._sent(trace_groups(resource_spans(spans, resource))):
                self.traces[root["traceId"]] = began
            value = gauge(point(asDouble=float(number)), name="victim.points")
            if self._sent(metric_groups(resource_metrics([value], resource))):
                self.points[number] = began
            self.stopped.wait(max(0.0, began + 1 - time.time()))

    def _sent(self, request: Request) -> bool:
        until, pause = time.time() + TRY_FOR, 0.5
        while post(self.url, request, timeout=5) != 200:
            if time.time() + pause > until:
                self.lost += 1
                return False
            time.sleep(pause)
            pause *= 1.5
        return True


class Watcher:
    """Ask the stores, again and again, what has arrived since."""

    def __init__(self, facility: Facility, victims: list[Victim]) -> None:
        self.facility = facility
        self.victims = victims
        self._named = {victim.name: victim for victim in victims}
        self.seen: set[str | tuple[str, int]] = set()
        self.slowest = 0.0

    def look(self) -> None:
        """Note what has arrived, and how late."""
        with contextlib.suppress(AfOtelError, OSError):
            for victim in self.victims:
                for trace, sent in list(victim.traces.items()):
                    if trace not in self.seen:
                        if not self.facility.jaeger.client.trace(trace):
                            break  # what came after it is asked for next time
                        self._note(trace, sent)
        with contextlib.suppress(OSError):
            for series in self.facility.prometheus.query("victim_points[5m]"):
                # On Kubernetes, the pod comes first.
                name = series["metric"]["instance"].rpartition("/")[2]
                victim = self._named.get(name)
                if victim is None:  # of an earlier case
                    continue
                for _, value in series["values"]:
                    number = int(float(value))
                    if number in victim.points and (name, number) not in self.seen:
                        self._note((name, number), victim.points[number])

    def _note(self, item: str | tuple[str, int], sent: float) -> None:
        self.seen.add(item)
        self.slowest = max(self.slowest, time.time() - sent)

    @property
    def share(self) -> float:
        """Return the per cent of what was tried that is stored."""
        tried = sum(len(v.traces) + len(v.points) + v.lost for v in self.victims)
        return 100 * len(self.seen) / max(1, tried)


def attack(
    facility: Facility, name: str, seconds: float, every: float, victims: int
) -> dict[str, Any]:
    """Try one case, with a request in so many seconds, and return a row of the table."""
    collector = facility.collector
    assert collector.process is not None
    process = psutil.Process(collector.process.pid)
    stopped = threading.Event()
    run = f"{time.time():.0f}"
    senders = [Victim(f"{run}-{n}", collector.endpoint, stopped) for n in range(victims)]
    threads = [threading.Thread(target=sender.run) for sender in senders]
    watcher, before = Watcher(facility, senders), facility.refused()
    answers: Counter[int] = Counter()
    peak = 0.0

    def hostile() -> None:
        due = time.time()
        while not stopped.is_set():
            answers[post(collector.endpoint, ATTACKS[name].make())] += 1
            due = max(due + every, time.time())
            stopped.wait(due - time.time())

    threads.append(threading.Thread(target=hostile))
    for thread in threads:
        thread.start()
    ends = time.time() + seconds
    while time.time() < ends:
        watcher.look()
        peak = max(peak, process.memory_info().rss / 2**20)
        time.sleep(0.2)
    stopped.set()
    for thread in threads:
        thread.join(2 * TRY_FOR)
    ends = time.time() + SETTLE  # until then its counts are in Prometheus, too
    while time.time() < ends:
        watcher.look()
        time.sleep(0.2)
    return {
        "case": name,
        "stored": watcher.share,
        "slowest": watcher.slowest,
        "memory": peak,
        "queued": facility.waiting(),
        "answers": dict(answers),
        "refused": dict(facility.refused() - before),
    }


@contextlib.contextmanager
def running(overlay: str, directory: Path) -> Iterator[Facility]:
    """Run the Collector with an overlay, and the stores behind it."""
    with (
        running_jaeger(directory / "jaeger") as jaeger,
        running_prometheus(directory / "prometheus") as prometheus,
    ):
        targets = directory / "targets.json"
        env = {
            "AF_OTEL_TRACES_OTLP": jaeger.otlp_endpoint,
            "AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url,
            "AF_OTEL_SPAN_METRICS_INTERVAL": "5s",
            "AF_OTEL_SCRAPE_INTERVAL": "2s",
            "AF_OTEL_SCRAPE_TARGETS": str(targets),
        }
        started = (
            running_collector(directory / "collector", LOCAL, env)
            if overlay == "local"
            else running_gateway(directory / "collector", {**ALL, **env})
        )
        with started as collector:
            itself = {
                "targets": [collector.metrics_url.split("/")[2]],
                "labels": {"job": "collector"},
            }
            targets.write_text(json.dumps([itself]), encoding="utf-8")
            yield Facility(collector, jaeger, prometheus)


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in row["refused"].items())
    answers = ", ".join(
        f"{status or 'closed'} x {count}" for status, count in row["answers"].items()
    )
    return (
        f"{row['case']:<42} {row['stored']:6.1f} % {row['slowest']:5.1f} s"
        f" {row['memory']:5.0f} MiB {row['queued']:6.0f}  {answers}; {reasons or '-'}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every", type=float, default=1, help="seconds between wrong requests")
    parser.add_argument("--victims", type=int, default=20)
    parser.add_argument("--overlay", action="append", choices=("local", "kubernetes"))
    parser.add_argument("--case", action="append", choices=tuple(ATTACKS), metavar="NAME")
    parser.add_argument("--all", action="store_true", help="every attack of tests/attacks.py")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cases = options.case or (tuple(ATTACKS) if options.all else CASES)
    for overlay in options.overlay or ("local", "kubernetes"):
        if not options.json:
            print(f"\n{overlay}.yaml\n{'case':<42} {'stored':>8} {'slowest':>7} {'memory':>9} "
                  f"{'queued':>6}  answers; refused")  # fmt: skip
        with tempfile.TemporaryDirectory() as temporary, running(overlay, Path(temporary)) as one:
            for name in cases:
                row = attack(one, name, options.seconds, options.every, options.victims)
                print(json.dumps({"overlay": overlay, **row}) if options.json else line(row))
                sys.stdout.flush()


if __name__ == "__main__":
    main()
