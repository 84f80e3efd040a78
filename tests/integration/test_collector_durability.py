"""What a Collector has accepted is not lost: killed, stopped, or without its stores."""

from __future__ import annotations

import http.client
import http.server
import secrets
import signal
import threading
import time

from gateways import ALL, NONE, running_gateway, running_store, self_metrics, stored_names
from otlp import new_counter, new_span

from servers import (
    COLLECTOR_CONFIGS,
    ROOT,
    free_port,
    running_collector,
    running_jaeger,
    running_prometheus,
    wait_for,
)

LOCAL = tuple(ROOT / "collector-config" / name for name in ("base.yaml", "local.yaml"))


class Load:
    """Sends without a pause, and remembers what was accepted: each span's id by its trace's."""

    def __init__(self, gateway, senders=2, spans=20):
        self.gateway = gateway
        self.spans = spans
        self.accepted = {}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(senders)]

    def _send(self):
        while not self._stop.is_set():
            trace = secrets.token_hex(16)
            spans = [new_span("cell", trace_id=trace) for _ in range(self.spans)]
            try:
                self.gateway.send(*spans)
            except (OSError, http.client.HTTPException):
                self._stop.wait(0.05)
            else:
                self.accepted[trace] = {span["spanId"] for span in spans}
                self._stop.wait(0.01)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def missing(self, spans):
        """What was accepted and is not among them."""
        return set().union(*self.accepted.values()) - {span["span_id"] for span in spans}


def test_nothing_accepted_is_lost_when_it_is_killed(tmp_path):
    """Killed under load, again and again, also just after a start: each span that was accepted is
    stored in the end.
    """
    with running_store(tmp_path / "store") as store:
        env = {**ALL, "AF_OTEL_TRACES_OTLP": store.endpoint}
        with running_gateway(tmp_path / "gateway", env) as gateway:
            with Load(gateway) as load:
                for pause in (4, 1.5, 0.2, 3, 1):
                    time.sleep(pause)
                    gateway.kill()
                    gateway.start(60)
                time.sleep(1)

            assert len(load.accepted) > 20
            wait_for(lambda: not load.missing(store.spans()), "every span that was accepted", 120)


def test_nothing_accepted_by_a_local_facility_is_lost_when_it_is_killed(tmp_path):
    """Nor is much of it sent twice: at each kill ten requests at most, which were under way."""
    with running_store(tmp_path / "store") as store:
        env = {"AF_OTEL_TRACES_OTLP": store.endpoint}
        with running_collector(tmp_path / "collector", LOCAL, env) as collector:
            with Load(collector) as load:
                for pause in (4, 1.5, 0.2, 3, 1):
                    time.sleep(pause)
                    collector.kill()
                    collector.start(60)
                time.sleep(1)

            assert len(load.accepted) > 100
            wait_for(lambda: not load.missing(store.spans()), "every span that was accepted", 120)
            stored = [span["span_id"] for span in store.spans()]
            assert len(stored) - len(set(stored)) <= 5 * 10 * load.spans


def test_nothing_accepted_by_a_local_facility_is_lost_without_its_store(tmp_path):
    """The Collector is killed while Jaeger is away."""
    with running_jaeger(tmp_path / "jaeger") as jaeger:
        jaeger.kill()
        env = {"AF_OTEL_TRACES_OTLP": jaeger.otlp_endpoint}
        with running_collector(tmp_path / "collector", LOCAL, env) as collector:
            with Load(collector, senders=1, spans=10) as load:
                time.sleep(3)
                collector.kill()
                collector.start(60)
                time.sleep(1)
            jaeger.start()

            assert len(load.accepted) > 10
            wait_for(lambda: is_stored(jaeger.client, load), "every span that was accepted", 120)


def test_what_is_kept_is_kept_when_it_is_killed(tmp_path):
    """Killed while traces are undecided, it decides on them anew, whole as they are."""
    with running_store(tmp_path / "store") as store:
        env = {**NONE, "AF_OTEL_TRACES_OTLP": store.endpoint, "AF_OTEL_DECISION_WAIT": "5s"}
        with running_gateway(tmp_path / "gateway", env) as gateway:
            traces = [secrets.token_hex(16) for _ in range(20)]
            gateway.send(*(new_span("failed", trace_id=t, status={"code": 2}) for t in traces))
            gateway.send(*(new_span("its part", trace_id=t) for t in traces), new_span("fine"))
            gateway.kill()
            gateway.start(60)

            wait_for(lambda: len(store.spans()) >= 40, "both spans of each trace", 60)

        assert set(stored_names(store)) == {"failed", "its part"}


def test_stopping_ends_and_loses_nothing(tmp_path):
    """At its end it decides on what it has, and what its destination did not take is sent by the
    next one.
    """
    with running_store(tmp_path / "store") as store:
        env = {**ALL, "AF_OTEL_TRACES_OTLP": store.endpoint, "AF_OTEL_DECISION_WAIT": "60s"}
        with running_gateway(tmp_path / "gateway", env) as gateway:
            gateway.grace = 60  # that it ends by itself is asked here, on a busy machine, too
            gateway.send(new_span("undecided"))
            store.stop()
            gateway.stop()

            assert gateway.process.returncode in {0, -signal.SIGTERM}, "it had to be killed"

            store.start()
            gateway.start(60)
            store.wait_for_span("undecided", 60)


def test_nothing_is_lost_while_the_trace_store_is_down(tmp_path):
    """The store is away for all of the load, the Collector is killed meanwhile, and once both are
    back everything is stored.
    """
    with running_jaeger(tmp_path / "jaeger") as jaeger:
        jaeger.kill()
        env = {**ALL, "AF_OTEL_TRACES_OTLP": jaeger.otlp_endpoint}
        with running_gateway(tmp_path / "gateway", env) as gateway:
            with Load(gateway, senders=1, spans=10) as load:
                time.sleep(6)
                gateway.kill()
                gateway.start(60)
                time.sleep(2)
            jaeger.start()

            assert len(load.accepted) > 10
            wait_for(lambda: is_stored(jaeger.client, load), "every span that was accepted", 120)
            failed = "otelcol_exporter_send_failed_spans"
            said = self_metrics(gateway)
            assert not sum(value for key, value in said.items() if key.startswith(failed))


def test_a_store_that_is_away_until_the_disk_is_full_loses_nothing(tmp_path):
    """Senders are refused once the journal is full, too. When the store is back, all that was
    accepted is stored, nothing was dropped, and the files are small again.
    """
    queue, port = tmp_path / "queue", free_port()
    env = {
        **ALL,
        "AF_OTEL_QUEUE_DIR": str(queue),
        "AF_OTEL_TRACES_OTLP": f"http://127.0.0.1:{port}",
        "AF_OTEL_TRACES_QUEUE_BYTES": "16000000",
        "AF_OTEL_JOURNAL_BYTES": "8000000",
        "AF_OTEL_COMPACT_ABOVE_MIB": "8",
        "AF_OTEL_COMPACT_BELOW_MIB": "2",
    }
    text = {"text": "x" * 20_000}
    accepted, refused = set(), 0
    with running_gateway(tmp_path / "gateway", env) as gateway:
        full = time.monotonic() + 60
        while refused < 50 and time.monotonic() < full:
            span = new_span("cell", attributes=text)
            try:
                gateway.send(span)
            except OSError:
                refused += 1
                time.sleep(0.1)
            else:
                accepted.add(span["spanId"])
        said = self_metrics(gateway)
        assert refused == 50
        grown = (queue / "exporter_otlp_http_traces_traces").stat().st_size
        assert grown > 8 * 2**20

        with running_collector(
            tmp_path / "store", COLLECTOR_CONFIGS, {"AF_OTEL_OTLP_HTTP": f"127.0.0.1:{port}"}
        ) as store:
            store.wait_for_spans(
                lambda spans: accepted <= {span["span_id"] for span in spans}, "all", 90
            )
            wait_for(lambda: total(queue) < grown / 2, "the files are small again", 60)
        dropped = 'otelcol_exporter_enqueue_failed_spans{exporter="otlp_http/traces"'
        assert not [key for key in said if key.startswith(dropped)]


def total(directory):
    return sum(file.stat().st_size for file in directory.iterdir())


def is_stored(store, load):
    """Whether the store has each span of each trace that was accepted."""
    for trace, accepted in load.accepted.items():
        stored = {span.span_id for span in store.trace(trace)}
        if not accepted <= stored:
            return False
    return True


def test_metrics_wait_for_prometheus_on_disk(tmp_path):
    """What was counted while Prometheus was away, by a Collector that was killed since, is in it
    once it is back.
    """
    with running_prometheus(tmp_path / "prometheus") as prometheus:
        prometheus.kill()
        env = {"AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url}
        with running_gateway(tmp_path / "gateway", env) as gateway:
            gateway.send_metrics(new_counter("cells", 5), resource={"service.name": "kernel"})
            queue = 'otelcol_exporter_queue_size{data_type="metrics",exporter="otlp_grpc/metrics"}'
            wait_for(lambda: self_metrics(gateway).get(queue), "metrics on disk")
            gateway.kill()
            gateway.start(60)
            prometheus.start()

            found = wait_for(lambda: prometheus.query("cells_total"), "the counter", 90)

    assert found[0]["value"][1] == "5"
