"""A machine's clock that is set back while a local facility runs."""

from __future__ import annotations

import json
import time
import urllib.request

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from otlp import resource_metrics

from servers import running_prometheus, wait_for

HOUR = 3600


def test_metrics_are_stored_though_the_clock_is_set_back_by_hours(tmp_path):
    """Every sample is then older than those before it, until the clock has caught up."""
    with running_prometheus(tmp_path, "--web.enable-otlp-receiver") as prometheus:
        now = time.time()
        times = [now, now - 3 * HOUR, now - 3 * HOUR + 5, now - 23 * HOUR]
        for value, at in enumerate(times):
            write(prometheus, at, value)

        (series,) = wait_for(lambda: prometheus.query("clock[30h]"), "the samples")
        assert [int(value) for _, value in series["values"]] == [3, 1, 2, 0]


def write(prometheus, at, value):
    """Send a gauge straight to Prometheus: the Collector's own bounds follow its clock."""
    point = {"timeUnixNano": str(int(at * 1e9)), "asDouble": value}
    metric = {"name": "clock", "gauge": {"dataPoints": [point]}}
    group = resource_metrics([metric], {"service.name": "test"})
    message = json_format.Parse(
        json.dumps({"resourceMetrics": [group]}), ExportMetricsServiceRequest()
    )
    request = urllib.request.Request(
        f"{prometheus.url}/api/v1/otlp/v1/metrics",
        message.SerializeToString(),
        {"Content-Type": "application/x-protobuf"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
