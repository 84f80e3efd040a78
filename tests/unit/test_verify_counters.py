"""What the Collector counts of itself."""

from __future__ import annotations

from af_otel.verify.counters import Counters, parse

TEXT = """\
# HELP otelcol_receiver_accepted_spans_total Number of spans
# TYPE otelcol_receiver_accepted_spans_total counter
otelcol_receiver_accepted_spans_total{receiver="otlp",transport="http"} 120
otelcol_receiver_accepted_spans_total{receiver="otlp",transport="grpc"} 1e+01
otelcol_receiver_accepted_spans_total{receiver="otlp/loopback",transport="grpc"} 700
otelcol_receiver_refused_spans_total{receiver="otlp"} 3
otelcol_receiver_refused_spans_total{receiver="otlp/loopback"} 5
otelcol_exporter_sent_spans_total{exporter="otlp_http/traces"} 100
otelcol_exporter_sent_spans_total{exporter="otlp_grpc/journal"} 700
otelcol_exporter_send_failed_spans_total{exporter="otlp_http/traces"} 2
otelcol_exporter_enqueue_failed_spans_total{exporter="otlp_grpc/journal"} 3
otelcol_exporter_queue_size{exporter="otlp_http/traces"} 7
otelcol_receiver_accepted_metric_points_total{receiver="otlp",transport="http"} 40
otelcol_receiver_accepted_metric_points_total{receiver="prometheus/self",transport="http"} 60
otelcol_receiver_accepted_metric_points_total{receiver="otlp/loopback",transport="grpc"} 90
otelcol_exporter_sent_metric_points_total{exporter="otlp_grpc/metrics"} 90
otelcol_exporter_sent_metric_points_total{exporter="prometheus_remote_write"} 20
otelcol_exporter_sent_metric_points_total{exporter="prometheus_remote_write/points"} 65
otelcol_exporter_send_failed_metric_points_total{exporter="prometheus_remote_write"} 44
otelcol_exporter_send_failed_metric_points_total{exporter="otlp_grpc/metrics"} 5
otelcol_exporter_enqueue_failed_metric_points_total{exporter="otlp_grpc/metrics"} 10
"""


def test_what_came_and_what_left_is_counted_once():
    """Labels are summed over, but for the Collector's own loopback; what is not there is zero."""
    assert parse(TEXT) == Counters(received=130, refused=3, sent=100, failed=2, dropped=0)
    assert str(parse(TEXT)) == "130 received, 3 refused, 100 sent, 2 failed, 0 dropped"
    points = parse(TEXT, "metric_points")
    assert points == Counters(received=100, refused=0, sent=85, failed=5, dropped=10)
    assert parse("") == Counters()


def test_rises_are_counted_and_a_new_start_is_no_fall():
    """A Collector that has started again counts from zero: all it says is new."""
    before = Counters(received=100, sent=90)
    assert Counters(received=130, sent=120).since(before) == Counters(received=30, sent=30)
    assert Counters(received=5, sent=1).since(before) == Counters(received=5, sent=1)
