"""The hub's sessions, as its metrics tell of them."""

from __future__ import annotations

from af_otel_instrumentation.jupyterhub.session import Session, Sessions
from af_otel_semconv import metrics
from opentelemetry.metrics._internal import _ProxyMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader


def test_a_server_counts_that_was_found_before_the_sdk_was_there():
    """As after a restart of the hub: what is recorded before that is dropped."""
    proxy, reader = _ProxyMeterProvider(), InMemoryMetricReader()
    sessions = Sessions(proxy)
    sessions.prepare()
    session = Session((1, ""), began=None)
    sessions.begin(session)
    sessions.started(session)
    proxy.on_set_meter_provider(MeterProvider([reader]))

    def active():
        (resource,) = reader.get_metrics_data().resource_metrics
        (scope,) = resource.scope_metrics
        found = {metric.name: metric.data.data_points for metric in scope.metrics}
        return [point.value for point in found[metrics.SERVER_ACTIVE.name]]

    assert active() == [1]
    sessions._end(session, "user")
    assert active() == [0]
